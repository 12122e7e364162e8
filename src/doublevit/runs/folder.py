"""The folder that a run leaves behind: recipe and environment to repeat it, log, weights, results."""

import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import platform
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from doublevit import strict_json
from doublevit.errors import UserError
from doublevit.files import writable_folder, write_text
from doublevit.jsonl import append_lines, read_lines
from doublevit.models.config import of_older
from doublevit.runs.conditions import Attack, Corruption, Transfer
from doublevit.runs.predictions import Predictions
from doublevit.runs.row import ROW_VERSION, OtherVersion, Row, row_from
from doublevit.version import __version__

COMMANDS = "commands.jsonl"
METADATA = "doublevit"  # the key of model.json's text in the metadata of a safetensors file
RECIPE_PARTS = ("data", "augment", "model", "train")
LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "accelerate",
    "foolbox",
    "numpy",
    "scipy",
    "pillow",
    "simplejpeg",
    "scikit-learn",
)


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Reads and writes a run's folder: recipe, environment, commands, log, checkpoints, results and predictions."""

    path: Path

    @classmethod
    def create(cls, recipe: Mapping[str, Any], runs: Path, name: str | None = None) -> "RunFolder":
        """Make a new folder in `runs`, called `name` or after recipe and time; write recipe and environment into it.

        Raises:
            UserError: the name is taken or is no plain name, or `runs` is not writable.
        """
        writable_folder(runs, "the folder of all runs")
        path = _new_folder(runs, name) if name else _dated_folder(runs, recipe["name"])
        try:
            write_text(path / "recipe.json", json.dumps(recipe, indent=2) + "\n")
            write_text(path / "environment.json", json.dumps(environment(), indent=2) + "\n")
        except BaseException:
            shutil.rmtree(path)  # so that its name is free for the next try
            raise
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open the folder of an existing run.

        Raises:
            UserError: there is no run at `path`.
        """
        if not (path / "recipe.json").is_file():
            raise UserError(f"{path} is no run: expected a folder with recipe.json, as `doublevit run` leaves it")
        return cls(path)

    @property
    def name(self) -> str:
        """The name of the run in rows and tables."""
        return self.path.resolve().name

    @property
    def checkpoints(self) -> Path:
        """The folder of the weights."""
        return self.path / "checkpoints"

    def recipe(self) -> dict[str, Any]:
        """Read the recipe as it was written when the run began.

        Raises:
            UserError: the file is damaged.
        """
        path = self.path / "recipe.json"
        try:
            recipe = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{path} is damaged ({error}); the run cannot be repeated") from error
        if not isinstance(recipe, dict) or any(not isinstance(recipe.get(part), dict) for part in RECIPE_PARTS):
            raise UserError(f"{path} is damaged: expected {', '.join(RECIPE_PARTS)}; the run cannot be repeated")
        return _renamed(recipe)

    def metadata(self) -> dict[str, str]:
        """Return what a file of the run's weights says of them: the text of model.json, if there is one."""
        path = self.path / "model.json"
        return {"format": "pt"} | ({METADATA: path.read_text()} if path.is_file() else {})

    def log(self, entry: Mapping[str, Any]) -> None:
        """Append an entry to log.jsonl, the course of the training."""
        append_lines(self.path / "log.jsonl", [entry])

    def note_command(self) -> None:
        """Append the command of this process to commands.jsonl, unless it is the last there already."""
        noted = list(read_lines(self.path / COMMANDS))
        if not noted or noted[-1].get("command") != sys.argv:
            append_lines(self.path / COMMANDS, [environment()])

    def cut_log(self, step: int) -> None:
        """Remove entries of the log after `step`: a resumed run writes them anew."""
        path = self.path / "log.jsonl"
        entries = [entry for entry in read_lines(path) if entry["step"] <= step]
        write_text(path, "".join(json.dumps(entry) + "\n" for entry in entries))

    def add_rows(self, rows: Iterable[Row]) -> None:
        """Append rows to results.jsonl; see `Results.add` for those with predictions."""
        append_lines(self.path / "results.jsonl", rows)

    def predictions_path(self, row: Row) -> Path:
        """Return the path of the predictions that a row was computed from."""
        condition, key = row.condition, row.key
        words = [condition.__struct_config__.tag]
        if isinstance(condition, Corruption):
            words += [condition.corruption, condition.severity]
        elif isinstance(condition, Attack | Transfer):
            words.append(condition.attack)
        facts = [key.dataset, condition, row.count, row.top_k, row.adapted]
        digest = hashlib.sha256(strict_json.canonical(facts)).hexdigest()[:8]
        name = "-".join([*map(str, words), *row.checkpoint.weights, row.precision, digest])
        return self.path / "predictions" / f"{name}.npz"

    def rows(self) -> list[Row]:
        """Read all rows of results.jsonl, oldest first; a half-written last line is skipped.

        Raises:
            UserError: a line is damaged, or a row is of another version of doublevit.
        """
        path, rows = self.path / "results.jsonl", []
        for number, entry in enumerate(read_lines(path), 1):
            try:
                rows.append(row_from(entry))
            except OtherVersion as version:
                raise UserError(
                    f"{path} holds rows of {version}, and this doublevit ({__version__}) reads version {ROW_VERSION}:"
                    f" delete that file and evaluate again: doublevit evaluate {self.path}"
                ) from None
            except ValueError as error:
                raise UserError(f"{path}, entry {number} is no row ({error}); remove that line") from error
        return rows


def _renamed(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe under the names that fields have now, where an older run has others."""
    train, augment = recipe["train"], recipe["augment"]
    if "optimiser" in train:
        recipe["train"] = {"optimizer" if key == "optimiser" else key: value for key, value in train.items()}
    recipe["data"] = _older_data(recipe["data"])
    if augment.get("place") == "photo":
        recipe["augment"] = augment | {"place": "image"}
    recipe["model"] = of_older(recipe["model"])
    return recipe


def _older_data(data: dict[str, Any]) -> dict[str, Any]:
    """Options of the data, with what older runs did where theirs do not say: they knew no split, no geometry."""
    data = {"split": "count", "names": "exact"} | data
    if "fit" in data:
        return data
    if data.get("source") == "folder":
        return data | {"fit": "older"}
    return {key: value for key, value in data.items() if key != "size"}  # which other sources never had


def read_predictions(path: Path, row: Row) -> Predictions:
    """Read from `path` what was predicted for every image of a row's measurement.

    Raises:
        UserError: the file is damaged, or does not give the row's value.
    """
    predictions = Predictions.load(path)
    classes = predictions.classes
    lengths = {len(array) for array in dataclasses.asdict(predictions).values() if array.ndim}
    fits = lengths == {row.count} and classes.ndim == 2 and classes.shape == predictions.probabilities.shape
    if not fits or int(predictions.correct(row.top).sum()) != round(row.value * row.count):
        raise UserError(
            f"{path} is not what its row in results.jsonl was read from (expected {row.value:.2%} of"
            f" {row.count:,} right); delete it and evaluate again"
        )
    return predictions


def environment() -> dict[str, Any]:
    """Return what it takes to repeat a run besides its recipe: command, time, versions, machine."""
    return {
        "command": sys.argv,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "doublevit": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def require_free(runs: Path, name: str) -> None:
    """Raise `UserError` unless a new run can have that name."""
    if not re.fullmatch(r"[\w][\w.+-]*", name):
        raise UserError(f"{name!r} is no name for a run: letters, digits and . _ + - only, and no folder in it")
    if (runs / name).exists():
        raise UserError(
            f"run folder {runs / name} exists; choose another `name`, or go on with it by `resume={runs / name}`"
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
    raise UserError(f"a hundred runs named {base}: pass `name`")
