"""What a run leaves behind: its folder, its rows (one measured number each) and its per-sample predictions.

Nothing here needs torch, so that reports can read runs anywhere.
"""

import dataclasses
import datetime
import importlib.metadata
import json
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from doublevit import __version__
from doublevit.errors import UserError
from doublevit.files import whole_file, writable_folder, write_text

ROW_VERSION = 1
LIBRARIES = ("torch", "torchvision", "timm", "accelerate", "numpy", "pillow", "scikit-learn")


@dataclasses.dataclass(frozen=True)
class Row:
    """One measured number with all that it takes to know what it is. Accuracies are shares in 0..1.

    `condition` says what was done to the photos, `{"kind": "clean"}` at the least; `low` and `high` bound the 95 %
    interval; `checkpoint` says which weights, and whether as the last or the best (that was chosen on these photos);
    `seconds` is the wall time of the pass that gave it.
    """

    model: str
    dataset: str
    condition: Mapping[str, Any]
    metric: str
    value: float
    low: float
    high: float
    count: int
    seed: int
    checkpoint: str
    precision: str
    seconds: float
    version: int = ROW_VERSION


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

    def save(self, path: Path) -> None:
        """Write all arrays to a compressed .npz, whole or not at all."""
        path.parent.mkdir(exist_ok=True)
        with whole_file(path) as handle:
            np.savez_compressed(handle, **dataclasses.asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Predictions":
        """Read what `save` wrote; no pickled object is accepted."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{field.name: arrays[field.name] for field in dataclasses.fields(cls)})


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """A run's folder: recipe.json, environment.json, log.jsonl, checkpoints/, results.jsonl, predictions/."""

    path: Path

    @classmethod
    def create(cls, recipe: Mapping[str, Any], runs: Path, name: str | None = None) -> "RunFolder":
        """Make a new folder in `runs`, named after recipe and time or as told, and note recipe and environment.

        Raises:
            UserError: the name is taken, is no plain name, or the place is not writable.
        """
        writable_folder(runs, "the folder of all runs")
        path = _new_folder(runs, name) if name else _dated_folder(runs, recipe["name"])
        write_text(path / "recipe.json", json.dumps(recipe, indent=2) + "\n")
        write_text(path / "environment.json", json.dumps(environment(), indent=2) + "\n")
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run.

        Raises:
            UserError: there is no run at `path`.
        """
        if not (path / "recipe.json").is_file():
            raise UserError(f"{path} is no run: expected a folder with recipe.json, as `doublevit run` leaves it")
        return cls(path)

    @property
    def checkpoints(self) -> Path:
        """Where the weights lie."""
        return self.path / "checkpoints"

    def recipe(self) -> dict[str, Any]:
        """The recipe as it was written when the run began."""
        try:
            return dict(json.loads((self.path / "recipe.json").read_text()))
        except ValueError as error:
            raise UserError(f"{self.path / 'recipe.json'} is damaged ({error}); the run cannot be repeated") from error

    def log(self, entry: Mapping[str, Any]) -> None:
        """Add a line to log.jsonl, the course of the training."""
        _append(self.path / "log.jsonl", [entry])

    def cut_log(self, step: int) -> None:
        """Forget what was logged after `step`: a resumed run writes it anew."""
        path = self.path / "log.jsonl"
        kept = [entry for entry in read_lines(path) if entry["step"] <= step]
        write_text(path, "".join(json.dumps(entry) + "\n" for entry in kept))

    def add_results(self, rows: Iterable[Row], predictions: Predictions, name: str) -> None:
        """Append rows to results.jsonl and put the predictions they were read from beside them."""
        predictions.save(self.path / "predictions" / f"{name}.npz")
        _append(self.path / "results.jsonl", [dataclasses.asdict(row) for row in rows])

    def rows(self) -> list[Row]:
        """All rows of results.jsonl, oldest first; a half-written last line is passed over."""
        return [Row(**entry) for entry in read_lines(self.path / "results.jsonl")]


def environment() -> dict[str, Any]:
    """What it takes to repeat a run, besides the recipe: command, time, versions, machine."""
    return {
        "command": sys.argv,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "doublevit": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The entries of a .jsonl file; the last line is passed over where a kill cut it short.

    Raises:
        UserError: another line is damaged.
    """
    lines = path.read_text().splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise UserError(f"{path}, line {number} is damaged: {error}; remove the line") from error


def _append(path: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    if path.exists() and not path.read_bytes().endswith(b"\n"):
        write_text(path, "".join(json.dumps(entry) + "\n" for entry in read_lines(path)))
    with path.open("a") as file:
        file.write(text)


def require_free(runs: Path, name: str) -> None:
    """Raise `UserError` unless a new run can have that name."""
    if not re.fullmatch(r"[\w][\w.+-]*", name):
        raise UserError(f"{name!r} is no name for a run: letters, digits and . _ + - only, and no folder in it")
    if (runs / name).exists():
        raise UserError(
            f"run folder {runs / name} exists; choose another --name,"
            f" or go on with it: doublevit train --resume {runs / name}"
        )


def _new_folder(runs: Path, name: str) -> Path:
    require_free(runs, name)
    (runs / name).mkdir()
    return runs / name


def _dated_folder(runs: Path, recipe_name: str) -> Path:
    base = f"{recipe_name}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    for number in range(1, 100):
        path = runs / (base if number == 1 else f"{base}-{number}")
        try:
            path.mkdir()
            return path
        except FileExistsError:
            continue
    raise UserError(f"a hundred runs named {base}: pass --name")
