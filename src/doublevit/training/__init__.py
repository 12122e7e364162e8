"""Training: `TrainConfig` configures it, `train.loop` does it."""

from doublevit.training.config import TrainConfig

__all__ = ["TrainConfig"]
