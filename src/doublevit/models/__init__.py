"""Networks by name and how they are put together: `ModelConfig` says what, `models.build` makes it.

Every model takes images (B, 3, H, W), float in [0, 1] or uint8, and gives logits (B, classes).
"""

from doublevit.models.config import BACKBONES, HEADS, Backbone, CrossConfig, ModelConfig

__all__ = ["BACKBONES", "HEADS", "Backbone", "CrossConfig", "ModelConfig"]
