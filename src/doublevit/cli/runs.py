"""`doublevit run` and `train`. What is slow to import is imported when the arguments have been read."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from doublevit.cli.evaluate import show_result
from doublevit.cli.names import print_recipes
from doublevit.cli.parse import parse
from doublevit.cli.terminal import STOPPED, fail, say
from doublevit.progress import is_main_process
from doublevit.recipes import Recipe, get_recipe

if TYPE_CHECKING:
    from doublevit.jobs.train import Trained


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


def run(arguments: Sequence[str]) -> None:
    """Train by a recipe, evaluate, show the result: `run RECIPE [options]`, or `run --resume RUN`."""
    trained = _train(arguments, "run")
    from doublevit.jobs.evaluate import finish

    show_result(trained.run, finish(trained))


def train(arguments: Sequence[str]) -> None:
    """Only train: `train RECIPE [options]`, or `train --resume RUN`."""
    folder = _train(arguments, "train").run
    if is_main_process():
        say(f"trained; everything is in {folder.path}\nnow: doublevit evaluate {folder.path}")


def _train(arguments: Sequence[str], command: str) -> "Trained":
    options = _parse(arguments, command)
    from doublevit.jobs import train as jobs
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
