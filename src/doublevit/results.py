"""What a run leaves behind: its folder, its rows (one measured number each) and its per-sample predictions.

Nothing here needs torch, so that reports can read runs anywhere.
"""

import dataclasses
import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from doublevit.errors import UserError
from doublevit.files import whole_file, write_text
from doublevit.row import Row

__all__ = ["Predictions", "Row", "append_lines", "is_cut_short", "read_lines"]


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a model said of every sample, enough for paired tests, confusion and calibration without the model.

    `labels` (N,); `classes` and `probabilities` (N, k), the k most probable classes, best first;
    `label_log_probability` (N,), of the true class.
    """

    labels: np.ndarray
    classes: np.ndarray
    probabilities: np.ndarray
    label_log_probability: np.ndarray

    def hits(self, k: int) -> np.ndarray:
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
        """Overwrite some samples, named by places or by a mask, with the `others`, as many."""
        for field in dataclasses.fields(self):
            getattr(self, field.name)[indices] = getattr(others, field.name)

    def at(self, places: np.ndarray) -> "Predictions":
        """Copies of those of some samples, named by places or by a mask."""
        return Predictions(**{field.name: getattr(self, field.name)[places] for field in dataclasses.fields(self)})

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


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The entries of a .jsonl file; the last line is passed over where a kill cut it short, and so are empty ones.

    Raises:
        UserError: another line is damaged.
    """
    lines = path.read_bytes().splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield dict(json.loads(line))
        except (ValueError, TypeError, RecursionError) as error:
            if number < len(lines):
                raise UserError(f"{path}, line {number} is damaged: {error}; remove the line") from error


def append_lines(path: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Add entries to a .jsonl file, mending a last line that a kill cut short."""
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    if _lacks_end(path):
        write_text(path, "".join(json.dumps(entry) + "\n" for entry in read_lines(path)))
    before = path.stat().st_size if path.exists() else 0
    try:
        with path.open("a") as file:
            file.write(text)
    except OSError:  # a disk that filled up in the middle: all of the entries, or none
        os.truncate(path, before)
        raise


def is_cut_short(path: Path) -> bool:
    """Whether the last line of a .jsonl file is damaged, as a kill leaves it, so that reading passes it over."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    try:
        return bool(lines) and not dict(json.loads(lines[-1]))
    except (ValueError, TypeError, RecursionError):
        return True


def _lacks_end(path: Path) -> bool:
    """Whether the last line has no end; looks at one byte, since a training adds a line every few steps."""
    if not path.exists() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"
