"""`doublevit run`, `train`, `evaluate`, `transfer` and `speed`. What is slow to import is imported after parsing."""

import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import tyro

from doublevit.attacks.config import AttackConfig
from doublevit.attacks.hyperparameters import Hyperparameters
from doublevit.augment import describe
from doublevit.cli.names import print_recipes
from doublevit.cli.parse import RENAMED, asks_help, parse, value_of, with_source
from doublevit.cli.terminal import INTERRUPTED, STOPPED, fail, out, say
from doublevit.errors import UserError
from doublevit.jobs.options import DeviceOptions, EvalOptions, EvaluateModel, SpeedOptions, TransferOptions
from doublevit.models.config import ELSEWHERE
from doublevit.progress import is_main_process
from doublevit.recipes import Recipe, fine_tuning, from_dict, get_recipe

if TYPE_CHECKING:
    from doublevit.jobs.evaluate import Evaluated
    from doublevit.jobs.load import Trained
    from doublevit.runs.folder import RunFolder
    from doublevit.runs.row import Row

CONTENTS = {
    "results.jsonl": "every number, with its interval",
    "predictions": "per image",
    "attacks": "what was broken by what, and images",
    "errors": "what is got wrong: classes, confusions, calibration, mistakes",
    "checkpoints": "weights",
    "log.jsonl": "the course of training; doublevit status tells it",
    "merge.json": "the runs whose weights its own are the mean of",
    "recipe.json": "what it takes to repeat it, with environment.json",
}
TRAINING_NAMES = {old: new for old, new in RENAMED.items() if new.startswith("--train.")}
USAGE = """usage: {prog} RECIPE [options]
       {prog} --model NAME --data PATH [options]
       {prog} --resume RUN

NAME is any network of timm, PATH a folder of class folders, labels.csv, hf:USER/SET, a folder of parquet,
"wds:shard-{{000..099}}.tar", or Tiny ImageNet's zip or folder.
All options: {prog} RECIPE --help
"""
RESULTS = ("accuracy", "robustness", "cells", "means", "attacks", "parts")
"""The tables of rows that were just measured, in the order in which they are printed."""
Options = TypeVar("Options", bound=EvalOptions)
HINT = "The hyperparameters of each attack, such as --attack.pgd.steps: {prog} --help-attacks."


@dataclasses.dataclass(frozen=True)
class Start(DeviceOptions):
    """Options of a run, beside those of its recipe."""

    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    name: str | None = None
    """Name of the run's folder; if not given, recipe and time."""
    runs: Annotated[Path, tyro.conf.arg(aliases=("--output",))] = Path("runs")
    """Folder that holds all runs."""
    log: tuple[str, ...] = ()
    """Trackers that it is logged to: tensorboard, wandb (offline, unless WANDB_MODE says otherwise), mlflow."""


@dataclasses.dataclass(frozen=True)
class Resume(DeviceOptions):
    """Go on with a run from its last checkpoint, with the recipe it was started with."""

    resume: Path
    """The run's folder."""
    data: Path | None = None
    """Where the run's images lie now, if elsewhere."""
    accept_changed_data: bool = False
    """Go on although the training images are others now; every row will say so."""
    log: tuple[str, ...] | None = None
    """Trackers that it is logged to from here on (tensorboard, wandb, mlflow); if not given, those that it has."""


def run(arguments: Sequence[str]) -> None:
    """Train by a recipe, evaluate, show the result: `run RECIPE [options]`, or `run --resume RUN`."""
    trained = _train(arguments, "run")
    from doublevit.jobs.evaluate import finish

    _show_result(finish(trained))


def train(arguments: Sequence[str]) -> None:
    """Train by a recipe, without evaluating: `train RECIPE [options]`, or `train --resume RUN`."""
    folder = _train(arguments, "train").run.path
    if is_main_process():
        say(f"trained; everything is in {folder}\nnow: doublevit evaluate {folder}")


def evaluate(arguments: Sequence[str]) -> None:
    """Measure accuracy of any model, clean, corrupted or attacked, with intervals: `evaluate MODEL [--data PATH]`."""
    options = parse_evaluation(EvaluateModel, "doublevit evaluate", arguments)
    from doublevit.jobs.several import evaluate_sets

    try:
        for of_set in evaluate_sets(options):
            _show_result(of_set.evaluated)
            if of_set.clean is not None and is_main_process():
                say(f"  {of_set.clean.run.path}  accuracy on the clean images of the same classes")
    except KeyboardInterrupt:
        fail(INTERRUPTED, STOPPED)


def transfer(arguments: Sequence[str]) -> None:
    """Test each run on images made to fool the others (black box), as a matrix: `transfer RUN RUN ... [options]`."""
    options = parse_evaluation(TransferOptions, "doublevit transfer", arguments)
    from doublevit.jobs.evaluate import transfer as measure

    try:
        rows = measure(options)
    except KeyboardInterrupt:
        fail(INTERRUPTED, STOPPED)
    if is_main_process():
        _show_transfer(rows)
        say("rows were added to the results of the run that each was tested on")


def speed(arguments: Sequence[str]) -> None:
    """Measure speed, memory, parameters and MACs of a run's network on this machine: `speed RUN [--batch-size 32]`."""
    options = parse(SpeedOptions, "doublevit speed", arguments)
    from doublevit.jobs.speed import measure_speed
    from doublevit.runs.folder import RunFolder

    rows = measure_speed(options)
    _show_rows(RunFolder(options.run), rows, ("speed",))
    say(f"  {options.run / 'results.jsonl'}  the same numbers, added")


def _train(arguments: Sequence[str], command: str) -> "Trained":
    options = _parse(arguments, command)
    from doublevit.jobs import train as jobs
    from doublevit.training.interrupt import Stopped

    try:
        if isinstance(options, Resume):
            data, accept = options.data, options.accept_changed_data
            return jobs.resume(options.resume, data_path=data, accept_changed_data=accept, log=options.log)
        return jobs.start(options.recipe, options.runs, options.name, options.log)
    except Stopped as stopped:
        fail(f"stopped; everything is saved. Go on with: doublevit {command} --resume {stopped}", STOPPED)


def _parse(arguments: Sequence[str], command: str) -> Start | Resume:
    prog = f"doublevit {command}"
    if any(argument.split("=")[0] == "--resume" for argument in arguments):
        return parse(Resume, prog, arguments)
    if asks_help(arguments):
        say(USAGE.format(prog=prog))
        print_recipes()
        raise SystemExit(0)
    recipe, rest = _chosen_recipe(arguments)
    options = parse(
        Start, f"{prog} {recipe.name}", rest, TRAINING_NAMES, description=recipe.note, default=Start(recipe)
    )
    data = with_source(options.recipe.data, rest)
    return dataclasses.replace(options, recipe=dataclasses.replace(options.recipe, data=data))


def _chosen_recipe(arguments: Sequence[str]) -> tuple[Recipe, Sequence[str]]:
    """Return the recipe that the first argument names, or that of --model, and the arguments that are left."""
    if not arguments[0].startswith("-"):
        return get_recipe(arguments[0]), arguments[1:]
    model = value_of(arguments, "--model", "--model.backbone")
    if not model:
        raise UserError("expected a recipe (see doublevit recipes), or `model`: any network of timm")
    return fine_tuning(model), arguments


def _show_result(evaluated: "Evaluated") -> None:
    """Print tables of what was measured, and what is in the run's folder."""
    if not is_main_process():
        return
    folder, recipe = evaluated.run.path, from_dict(evaluated.run.recipe())
    _show_rows(evaluated.run, evaluated.rows)
    say(f"  trained with augmentation {describe(recipe.augment)}" if recipe.train.epochs else _untrained(recipe))
    for finding in evaluated.findings:
        say(f"  finding: {finding}")
    for part, meaning in CONTENTS.items():
        if (folder / part).exists():
            say(f"  {folder / part}  {meaning}")


def _untrained(recipe: Recipe) -> str:
    if recipe.model.weights == ELSEWHERE:
        return "  trained elsewhere"
    if recipe.model.head_init == "probe":
        return "  trained: the head alone, as a linear probe"
    new_head = recipe.model.head_init == "zeros" and recipe.model.weights != "none"
    return "  not trained" + (": its head is new, and gives chance" if new_head else "")


def _show_rows(run: "RunFolder", rows: "Sequence[Row]", sections: Sequence[str] = RESULTS) -> None:
    """Print rows of a run that were just measured, in the tables of the page."""
    from doublevit.analysis.compare import compare_rows
    from doublevit.report.formats.terminal import print_tables
    from doublevit.report.tables.every import result_tables

    print_tables(result_tables(compare_rows(run, rows), sections), out)


def _show_transfer(rows: "Sequence[Row]") -> None:
    """Print transfers among some runs that were just measured, as matrices."""
    from doublevit.analysis.attacked import transfer_matrices
    from doublevit.report.formats.terminal import print_tables
    from doublevit.report.tables.attacks import transfer_tables

    print_tables(transfer_tables(transfer_matrices(((row.model, row) for row in rows), {})), out)


def parse_evaluation(kind: type[Options], prog: str, arguments: Sequence[str]) -> Options:
    """Fill an instance of `kind` from `arguments`, as `parse` does, with a shorter `--help`."""
    if "--help-attacks" in arguments:
        return parse(kind, prog, ["--help"])
    if {"--help", "-h"} & {*arguments}:
        return parse(
            _without_hyperparameters(kind),
            prog,
            ["--help"],
            description=f"{inspect.cleandoc(kind.__doc__ or '')}\n\n{HINT.format(prog=prog)}",
        )
    return parse(kind, prog, arguments)


@dataclasses.dataclass(frozen=True)
class _AttackConfig(AttackConfig):
    parameters: tyro.conf.Suppress[Hyperparameters] = Hyperparameters()


_AttackConfig.__doc__ = AttackConfig.__doc__


def _without_hyperparameters(kind: type[Options]) -> type[Options]:
    attack = ("attack", _AttackConfig, dataclasses.field(default=_AttackConfig()))
    return dataclasses.make_dataclass(kind.__name__, [attack], bases=(kind,), frozen=True, kw_only=True)
