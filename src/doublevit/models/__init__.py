"""Networks by name and how they are put together: `ModelConfig` says what, `models.build` makes it.

Every model takes float images (B, 3, H, W) in [0, 1] and gives logits (B, classes).
"""

from doublevit.models.config import BACKBONES, HEADS, Backbone, CrossConfig, ModelConfig

__all__ = ["BACKBONES", "HEADS", "Backbone", "CrossConfig", "ModelConfig"]
