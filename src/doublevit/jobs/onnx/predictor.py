"""Predictions by an exported model with onnxruntime and NumPy alone: images of any size go into the graph as they are.

Nothing here imports torch.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from doublevit.jobs.onnx.file import MAX_PIXELS, OnnxFile, open_file
from doublevit.jobs.prediction import TOP, Prediction, decoded
from doublevit.runs.model_info import ModelInfo


class OnnxPredictor:
    """An exported model as `doublevit.jobs.predict` uses it; its own graph resizes and normalizes."""

    def __init__(self, file: OnnxFile) -> None:
        self.file = file

    @classmethod
    def open(cls, path: Path) -> "OnnxPredictor":
        """Open a file that `doublevit export --format onnx` wrote.

        Raises:
            UserError: see `open_file`.
        """
        return cls(open_file(path))

    @property
    def info(self) -> ModelInfo:
        """The model's description."""
        return self.file.info

    def decode(self, data: bytes) -> np.ndarray:
        """Decode the bytes of an image file to uint8 (H, W, 3), or raise `BadImage`."""
        return decoded(self.info, data)

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Return an image as it is."""
        return image

    def predict_arrays(self, images: np.ndarray, paths: Sequence[Path | None], top: int = TOP) -> list[Prediction]:
        """Predict for images of one size, uint8 (B, H, W, 3), as many at a time as memory allows."""
        step = max(1, MAX_PIXELS // (images.shape[1] * images.shape[2]))
        parts = [self.file.run(images[start : start + step])[1] for start in range(0, len(images), step)]
        rows = zip(np.concatenate(parts), paths, strict=True)
        return [self._prediction(probabilities, path, top) for probabilities, path in rows]

    def _prediction(self, probabilities: np.ndarray, path: Path | None, top: int) -> Prediction:
        best = np.argsort(-probabilities, kind="stable")[:top].tolist()
        pairs = tuple((self.info.class_names[index], float(probabilities[index])) for index in best)
        return Prediction(*pairs[0], pairs, path)
