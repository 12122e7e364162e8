"""Models by name: `ModelConfig` describes one, `classifier.build` makes it.

Every model maps images (B, 3, H, W), float in [0, 1] or uint8, to logits (B, classes).
"""

from doublevit.models.config import BACKBONES, HEADS, Backbone, CrossConfig, ModelConfig

__all__ = ["BACKBONES", "HEADS", "Backbone", "CrossConfig", "ModelConfig"]
