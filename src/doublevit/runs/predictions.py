"""Predictions of a network for every image, stored beside the rows computed from them. Nothing here needs torch."""

import dataclasses
import zipfile
import zlib
from pathlib import Path

import numpy as np

from doublevit.errors import UserError
from doublevit.files import whole_file


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Holds predictions for every sample: enough for paired tests, confusion and calibration without the model.

    `labels` (N,) are the true classes; `classes` and `probabilities` (N, k) are those of the k most probable classes,
    best first; `label_log_probability` (N,) is that of the true class.
    """

    labels: np.ndarray
    classes: np.ndarray
    probabilities: np.ndarray
    label_log_probability: np.ndarray

    def correct(self, k: int) -> np.ndarray:
        """Return whether the true class is among the first k, bool (N,).

        Raises:
            UserError: predictions hold fewer than k classes, or k is less than 1.
        """
        if not 1 <= k <= self.classes.shape[1]:
            raise UserError(f"top-{k} cannot be read: predictions hold the first {self.classes.shape[1]} classes")
        return (self.classes[:, :k] == self.labels[:, None]).any(axis=1)

    def replaced(self, others: "Predictions", where: np.ndarray) -> "Predictions":
        """Return a copy with the samples of the mask `where`, bool (N,), taken from `others`."""
        merged = self.at(np.arange(len(self.labels)))
        merged.put(where, others.at(where))
        return merged

    def put(self, indices: np.ndarray, others: "Predictions") -> None:
        """Overwrite the samples that `indices` (or a mask) select with `others`, which has as many."""
        for field in dataclasses.fields(self):
            getattr(self, field.name)[indices] = getattr(others, field.name)

    def at(self, indices: np.ndarray) -> "Predictions":
        """Return copies of the predictions for the samples that `indices` (or a mask) select."""
        return Predictions(**{field.name: getattr(self, field.name)[indices] for field in dataclasses.fields(self)})

    def save(self, path: Path) -> None:
        """Write all arrays to a compressed .npz, whole or not at all."""
        path.parent.mkdir(exist_ok=True)
        with whole_file(path) as handle:
            np.savez_compressed(handle, **dataclasses.asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Predictions":
        """Read what `save` wrote; no pickled object is accepted.

        Raises:
            UserError: the file is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(**{field.name: arrays[field.name] for field in dataclasses.fields(cls)})
        except (OSError, ValueError, EOFError, KeyError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(f"{path} is damaged ({type(error).__name__}); delete it and evaluate again") from error
