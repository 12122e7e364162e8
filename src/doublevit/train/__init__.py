"""Training: `TrainConfig` configures it, `train.loop` does it."""

from doublevit.train.config import TrainConfig

__all__ = ["TrainConfig"]
