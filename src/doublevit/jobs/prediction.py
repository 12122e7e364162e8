"""Predictions, and what a model needs to make them of files. Nothing here imports torch."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from doublevit.data.decode import Decoding, decode_upright
from doublevit.geometry import to_square
from doublevit.runs.model_info import ModelInfo

TOP = 5
BATCH_SIZE = 32


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model makes of an image: its first class, and the `top` few with their probabilities, best first."""

    label: str
    probability: float
    top: tuple[tuple[str, float], ...]
    path: Path | None = None


class Predicts(Protocol):
    """A model as it is used on files: a `Model`, or an exported one that needs no torch."""

    @property
    def info(self) -> ModelInfo: ...

    def decode(self, data: bytes) -> np.ndarray:
        """Decode the bytes of an image file to uint8 (H, W, 3), or raise `BadImage`."""

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Bring an image uint8 (H, W, 3) to the size that `predict_arrays` takes."""

    def predict_arrays(self, images: np.ndarray, paths: Sequence[Path | None], top: int = TOP) -> list[Prediction]:
        """Predict for a batch of prepared images of one size, uint8 (B, H, W, 3)."""


def prepared(info: ModelInfo, image: np.ndarray) -> np.ndarray:
    """Bring an image uint8 (H, W, 3) of any size to uint8 (side, side, 3), as a model's description says."""
    return to_square(image, info.geometry)


def decoded(info: ModelInfo, data: bytes) -> np.ndarray:
    """Decode the bytes of an image file to uint8 (H, W, 3), as a model's description says.

    Raises:
        BadImage: they are no image, or a damaged one.
    """
    return decode_upright(data, Decoding(info.bits))


@dataclasses.dataclass(frozen=True)
class Preparation:
    """Brings images to the size that a model's description names."""

    info: ModelInfo

    def decode(self, data: bytes) -> np.ndarray:
        """Decode the bytes of an image file to uint8 (H, W, 3), or raise `BadImage`."""
        return decoded(self.info, data)

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Bring an image uint8 (H, W, 3) to uint8 (side, side, 3)."""
        return prepared(self.info, image)
