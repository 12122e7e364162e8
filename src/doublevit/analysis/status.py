"""The status of runs: how far each is trained, what of it was measured, how good it is; from files alone, quickly."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from doublevit import strict_json
from doublevit.analysis.descriptions import describe_network
from doublevit.analysis.training_status import Accuracy, TrainingStatus, training_status
from doublevit.corruptions.config import COMMON, VALIDATION
from doublevit.errors import UserError, first_line
from doublevit.files import folder_size
from doublevit.models.config import ELSEWHERE
from doublevit.runs.checkpoint_index import read_index
from doublevit.runs.conditions import Attack, Clean, Corruption, Speed, Transfer
from doublevit.runs.folder import RunFolder
from doublevit.runs.row import Row
from doublevit.runs.trackers import read_trackers

State = Literal["training", "stopped", "trained", "trained elsewhere", "evaluated", "not trained", "damaged"]


@dataclasses.dataclass(frozen=True)
class Measured:
    """Tells what was measured of a run's present weights.

    `cells` pairs of corruption and severity were measured, of as many as `all_cells` of the same groups of corruptions
    and severities; `attacks` are named in the order in which they were made.
    """

    clean: bool = False
    cells: int = 0
    all_cells: int = 0
    attacks: tuple[str, ...] = ()
    transfer: bool = False
    speed: bool = False

    def __bool__(self) -> bool:
        return bool(self.clean or self.cells or self.attacks or self.transfer or self.speed)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Names a checkpoint, for which it is kept ("last", "best"), and its size in bytes."""

    which: tuple[str, ...]
    name: str
    size: int


@dataclasses.dataclass(frozen=True)
class RunStatus:
    """Holds the status of a run; of a damaged one, only its name and what is wrong, in `problem`.

    `top1` is that of the last weights on clean images, as evaluated, or else as validated in training.
    """

    path: Path
    name: str
    state: State
    problem: str = ""
    model: str = ""
    data: str = ""
    training: TrainingStatus | None = None
    top1: Accuracy | None = None
    measured: Measured = Measured()
    checkpoints: tuple[Checkpoint, ...] = ()
    trackers: tuple[str, ...] = ()


def run_status(path: Path, name: str = "") -> RunStatus:
    """Read the status of a run; damage is told in its `problem`, and never raised."""
    name = name or path.resolve().name
    try:
        status = _read(RunFolder.open(path), name)
        strict_json.encode(status)  # which half a character, as JSON may hold, cannot
        return status
    except UserError as error:
        return RunStatus(path, name, "damaged", first_line(error))
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:  # JSON of another form than ours
        return RunStatus(path, name, "damaged", f"{path} is damaged ({type(error).__name__}: {first_line(error)})")


def find_runs(paths: Sequence[Path], root: Path) -> Iterator[tuple[Path, str]]:
    """Yield the folder and the name of each run that `paths` name: a run, a study, or a folder of runs.

    Without `paths`, those are the runs in the folder `root`; of studies in it only the names are told by `studies_in`.

    Raises:
        UserError: a path is neither.
    """
    for path in paths or (root,):
        if (path / "recipe.json").is_file():
            yield path, path.resolve().name
            continue
        runs = [folder for folder in _folders(path) if (folder / "recipe.json").is_file()]
        if not runs and not studies_in(path):
            raise UserError(
                f"{path}: expected a run, a study, or a folder of runs, as `doublevit run` leaves them, found none"
            )
        for run in runs:
            yield run, run.name if path == root else f"{path.resolve().name}/{run.name}"


def studies_in(root: Path) -> list[Path]:
    """Return the folders of studies in a folder of runs."""
    return [folder for folder in _folders(root) if (folder / "study.json").is_file()]


def _folders(path: Path) -> list[Path]:
    return sorted(folder for folder in path.iterdir() if folder.is_dir()) if path.is_dir() else []


def _read(run: RunFolder, name: str) -> RunStatus:
    recipe, index = run.recipe(), read_index(run.checkpoints)
    train = recipe["train"]
    training = training_status(run.path, int(train["epochs"]), int(train["batch_size"]))
    rows = [row for row in run.rows() if not index or row.checkpoint.name in index.values()]
    measured = _measured(rows)
    return RunStatus(
        path=run.path,
        name=name,
        state=_state(training, measured, recipe["model"]["weights"]),
        model=describe_network(recipe["model"]),
        data=_describe_data(recipe["data"]) if training.epochs or index else _evaluated_data(rows),
        training=training if training.epochs else None,
        top1=_top1(rows) or training.last,
        measured=measured,
        checkpoints=tuple(_checkpoints(run, index)),
        trackers=tuple(read_trackers(run.path)),
    )


def _state(training: TrainingStatus, measured: Measured, weights: str) -> State:
    if training.alive:
        return "training"
    if not training.is_done:
        return "stopped"
    if measured:
        return "evaluated"
    if weights == ELSEWHERE:
        return "trained elsewhere"
    return "trained" if training.epochs else "not trained"


def _describe_data(data: Mapping[str, Any]) -> str:
    name = Path(data["path"]).name if data["path"] else str(data["source"])
    return f"{name}, {data['per_class']:,} a class" if data["per_class"] else name


def _evaluated_data(rows: Sequence[Row]) -> str:
    """Describe the images of a folder that only holds results: its recipe trained on none."""
    names = (row.dataset.source.removeprefix("images in ") for row in rows if row.dataset)
    return ", ".join(dict.fromkeys(names))


def _measured(rows: Sequence[Row]) -> Measured:
    conditions = [row.condition for row in rows]
    cells = {(each.corruption, each.severity) for each in conditions if isinstance(each, Corruption)}
    severities = {severity for _, severity in cells}
    groups = [group for group in (COMMON, VALIDATION) if any(name in group for name, _ in cells)]
    attacks = (each.part_of or each.attack for each in conditions if isinstance(each, Attack))
    return Measured(
        clean=any(isinstance(each, Clean) for each in conditions),
        cells=len(cells),
        all_cells=sum(map(len, groups)) * len(severities),
        attacks=tuple(dict.fromkeys(attacks)),
        transfer=any(isinstance(each, Transfer) for each in conditions),
        speed=any(isinstance(each, Speed) for each in conditions),
    )


def _top1(rows: Sequence[Row]) -> Accuracy | None:
    """Return the newest top-1 of the last weights on clean images, of those on the most images."""
    clean = [row for row in rows if isinstance(row.condition, Clean) and row.metric == "top-1" and not row.adapted]
    of_last = [row for row in clean if row.checkpoint.which == "last"]
    newest = max(reversed(of_last), key=lambda row: row.count, default=None)
    return Accuracy(newest.value, newest.low, newest.high) if newest else None


def _checkpoints(run: RunFolder, index: dict[str, str]) -> Iterator[Checkpoint]:
    for name in dict.fromkeys(index.values()):
        which = tuple(key for key, value in index.items() if value == name)
        yield Checkpoint(which, name, folder_size(run.checkpoints / name))
