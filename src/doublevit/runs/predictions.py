"""What a network predicted for every image, kept beside the rows that were read from it. Nothing here needs torch."""

import dataclasses
import zipfile
import zlib
from pathlib import Path

import numpy as np

from doublevit.errors import UserError
from doublevit.files import whole_file


@dataclasses.dataclass(frozen=True)
class Predictions:
    """A model's predictions for every sample: enough for paired tests, confusion and calibration without the model.

    `labels` (N,); `classes` and `probabilities` (N, k), the k most probable classes, best first;
    `label_log_probability` (N,), of the true class.
    """

    labels: np.ndarray
    classes: np.ndarray
    probabilities: np.ndarray
    label_log_probability: np.ndarray

    def correct(self, k: int) -> np.ndarray:
        """Whether the true class is among the first k, bool (N,)."""
        if not 1 <= k <= self.classes.shape[1]:
            raise UserError(f"top-{k} cannot be read: predictions hold the first {self.classes.shape[1]} classes")
        return (self.classes[:, :k] == self.labels[:, None]).any(axis=1)

    def replaced(self, others: "Predictions", where: np.ndarray) -> "Predictions":
        """These, but the others' for the samples of `where`, bool (N,)."""
        merged = self.at(np.arange(len(self.labels)))
        merged.put(where, others.at(where))
        return merged

    def put(self, indices: np.ndarray, others: "Predictions") -> None:
        """Overwrite some samples, named by indices or by a mask, with the `others`, as many."""
        for field in dataclasses.fields(self):
            getattr(self, field.name)[indices] = getattr(others, field.name)

    def at(self, indices: np.ndarray) -> "Predictions":
        """Copies of the predictions for some samples, named by indices or by a mask."""
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
