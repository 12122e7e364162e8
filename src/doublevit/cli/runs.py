"""`doublevit run`, `train` and `evaluate`. What is slow to import is imported when the arguments have been read."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from doublevit.augment import describe
from doublevit.cli.names import print_recipes
from doublevit.cli.parse import parse
from doublevit.cli.terminal import STOPPED, fail, out, say
from doublevit.errors import UserError
from doublevit.progress import is_main_process
from doublevit.recipes import Recipe, from_dict, get_recipe
from doublevit.results import Row
from doublevit.run_folder import RunFolder

if TYPE_CHECKING:
    from doublevit.jobs import Trained

CONTENTS = {
    "results.jsonl": "every number, with its interval",
    "predictions": "per photo",
    "checkpoints": "weights",
    "log.jsonl": "the course of training",
    "recipe.json": "what it takes to repeat it, with environment.json",
}


@dataclasses.dataclass(frozen=True)
class Start:
    """Options of a run, beside those of its recipe."""

    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    name: str | None = None
    """Name of the run's folder; if not given, recipe and time."""
    runs: Path = Path("runs")
    """Folder that holds all runs."""


@dataclasses.dataclass(frozen=True)
class Resume:
    """Go on with a run from its last checkpoint, with the recipe it was started with."""

    resume: Path
    """The run's folder."""


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Top-1 and top-3 accuracy of a run on its validation photos, with 95 % intervals, added to its results."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    checkpoint: Literal["last", "best"] = "last"
    """last, or best: that was chosen on the same photos, so its accuracy is a little too good."""
    batch_size: int = 100
    """Photos at a time; changes nothing but speed and memory."""
    precision: Literal["auto", "float32", "bfloat16"] | None = None
    """What matrix products run in; if not given, as in training."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UserError(f"--batch-size: expected at least 1, found {self.batch_size}")


def run(arguments: Sequence[str]) -> None:
    """Train by a recipe, evaluate, show the result: `run RECIPE [options]`, or `run --resume RUN`."""
    trained = _train(arguments, "run")
    from doublevit import jobs

    _show_result(trained.run, jobs.finish(trained))


def train(arguments: Sequence[str]) -> None:
    """Only train: `train RECIPE [options]`, or `train --resume RUN`."""
    folder = _train(arguments, "train").run
    if is_main_process():
        say(f"trained; everything is in {folder.path}\nnow: doublevit evaluate {folder.path}")


def evaluate(arguments: Sequence[str]) -> None:
    """Top-1 and top-3 accuracy of a run, with intervals: `evaluate RUN [options]`."""
    options = parse(Evaluate, "doublevit evaluate", arguments)
    from doublevit import jobs

    rows = jobs.evaluate(options.run, options.checkpoint, options.batch_size, options.precision)
    _show_result(RunFolder(options.run), rows)


def _train(arguments: Sequence[str], command: str) -> "Trained":
    options = _parse(arguments, command)
    from doublevit import jobs
    from doublevit.train.interrupt import Stopped

    try:
        if isinstance(options, Resume):
            return jobs.resume(options.resume)
        return jobs.start(options.recipe, options.runs, options.name)
    except Stopped as stopped:
        fail(f"stopped; everything is saved. Go on with: doublevit {command} --resume {stopped}", STOPPED)


def _parse(arguments: Sequence[str], command: str) -> Start | Resume:
    prog = f"doublevit {command}"
    if any(argument.split("=")[0] == "--resume" for argument in arguments):
        return parse(Resume, prog, arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        say(f"usage: {prog} RECIPE [options]\n       {prog} --resume RUN\n\nall options: {prog} RECIPE --help\n")
        print_recipes()
        raise SystemExit(0)
    recipe = get_recipe(arguments[0])
    prog = f"{prog} {recipe.name}"
    return parse(Start, prog, arguments[1:], description=recipe.note, default=Start(recipe))


def _show_result(folder: RunFolder, rows: list[Row]) -> None:
    if not is_main_process():
        return
    from doublevit.summary import result_table

    recipe = from_dict(folder.recipe())
    note = f"trained with augmentation {describe(recipe.augment)}" if recipe.train.epochs else "not trained"
    out.print(result_table(rows, folder.path, note))
    for part, meaning in CONTENTS.items():
        if (folder.path / part).exists():
            say(f"  {folder.path / part}  {meaning}")
