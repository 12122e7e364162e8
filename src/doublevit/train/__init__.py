"""Training: `TrainConfig` says how, `train.loop` does it."""

from doublevit.train.config import TrainConfig

__all__ = ["TrainConfig"]
