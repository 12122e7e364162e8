"""The cells of a study, each with its recipe, its seed, its run's folder, and what it is measured with."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import msgspec

from doublevit.attacks.config import AttackConfig
from doublevit.corrupted_sets.config import RobustnessConfig
from doublevit.data.dataset import Dataset
from doublevit.errors import UserError, unknown
from doublevit.evaluators.evaluator import Evaluator, is_done
from doublevit.jobs.evaluate import evaluate, make_evaluators
from doublevit.jobs.load import model_id_for
from doublevit.jobs.options import EvalOptions, Evaluate, SpeedOptions
from doublevit.jobs.speed import make_speed_evaluator, measure_speed
from doublevit.models.top_k import AS_TRAINED, recorded
from doublevit.recipes import Recipe, from_dict
from doublevit.recipes.recipe import differences, with_absolute_paths
from doublevit.runs import checkpoint
from doublevit.runs.folder import RunFolder
from doublevit.runs.results import Results
from doublevit.studies.study import Protocol, Study, StudyCell

SPEED_SECONDS = 1.0  # to time each of inference and training, of which a study has many


@dataclasses.dataclass(frozen=True)
class StudyRequest:
    """A study, its base as the user has changed it, and its folder; which images to evaluate on; which cells (all).

    `attack_samples` are those of the study's protocol where it is None; none means no attacks. `seeds` are the base's
    own where there are none.
    """

    study: Study
    recipe: Recipe
    folder: Path
    samples: int | None = None
    first: int | None = None
    cells: tuple[str, ...] | None = None
    attack_samples: int | None = None
    seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        names = [cell.name for cell in self.study.cells]
        if self.cells == ():
            raise UserError("`cells`: expected names of cells; without `cells`, all are done")
        for name in self.cells or ():
            if name not in names:
                raise unknown("cell", name, names)
        if self.attack_samples is not None and self.attack_samples < 0:
            raise UserError(f"`attack_samples`: expected 0 (no attacks) or more, found {self.attack_samples}")
        if len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"`seeds` {' '.join(map(str, self.seeds))}: expected each once")
        for seed in self.seeds:
            dataclasses.replace(self.recipe, seed=seed)  # complains of what is no seed
        self.options(self.folder)  # complains of samples and images
        if (self.folder / "recipe.json").exists():
            raise UserError(f"{self.folder} is a run: expected a folder for runs; choose another `name`")

    def options(self, run: Path, top_k: str = AS_TRAINED) -> Evaluate:
        """How a run is to be evaluated on clean images."""
        return Evaluate(run, samples=self.samples, first=self.first, top_k=top_k)

    @property
    def protocol(self) -> Protocol:
        """What every cell is measured with."""
        own, asked = self.study.protocol, self.attack_samples
        if asked is None:
            return own
        return dataclasses.replace(own, attacks=own.attacks if asked else (), attack_samples=asked)

    def wants(self, cell: StudyCell) -> bool:
        """Whether the cell is to be done."""
        return self.cells is None or cell.name in self.cells


class TrainedCell:
    """What a cell has once it is trained: a run with results, its network as it was trained, images to validate.

    All of the weights are read, to tell them from others: that takes seconds where they are many.
    """

    def __init__(self, run: RunFolder, recipe: Recipe, val: Dataset) -> None:
        self.run, self.recipe, self.val = run, recipe, val
        self.model = model_id_for(run, recipe, EvalOptions())
        self.results = Results(run)


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What the evaluator called `name` is to measure of a run, with the options that a command for it would have."""

    name: str
    options: Evaluate | SpeedOptions

    def measure(self) -> None:
        """Measure what the results do not have of it.

        Raises:
            UserError: something that it takes is not there, or does not fit.
        """
        if isinstance(self.options, SpeedOptions):
            measure_speed(self.options)
        else:
            evaluate(self.options)

    def is_done(self, trained: TrainedCell) -> bool:
        """Whether the results have all of it, of the weights that the run has now and of these very images."""
        model, dataset = trained.model, trained.val
        if not isinstance(self.options, SpeedOptions):
            dataset = self.options.subset(dataset)
            if self.options.top_k != AS_TRAINED:
                model = msgspec.structs.replace(model, top_k=recorded(self.options.top_k))
        try:
            return is_done(self._evaluator(trained, dataset), model, dataset, trained.results)
        except UserError:  # it cannot be measured on such images, which is told when it is tried
            return False

    def _evaluator(self, trained: TrainedCell, dataset: Dataset) -> Evaluator:
        if isinstance(self.options, SpeedOptions):
            return make_speed_evaluator(trained.run, trained.recipe, self.options, dataset)
        evaluators = make_evaluators(self.options, dataset, trained.recipe, trained.run)
        return next(evaluator for evaluator in evaluators if evaluator.name == self.name)


@dataclasses.dataclass(frozen=True)
class PlannedCell:
    """A cell with a seed, its recipe, None where there is a `problem` with that, and its run, there already or not.

    `name` is the cell's own for the first seed, so that a study that was begun with one can go on with more.
    """

    name: str
    cell: StudyCell
    seed: int
    recipe: Recipe | None
    run: RunFolder
    problem: str = ""

    @property
    def top_ks(self) -> tuple[str, ...]:
        """The sparse attentions to evaluate it with."""
        if self.recipe is None:
            return ()
        return tuple(dict.fromkeys(self.cell.inference or (self.recipe.model.top_k,)))

    @property
    def epochs(self) -> int | None:
        """Epochs that are trained and saved; None before there is a checkpoint."""
        folder = self.run.checkpoints
        return checkpoint.epochs_of(folder) if checkpoint.exists(folder) else None

    @property
    def trained(self) -> bool:
        """Whether it is trained to its end."""
        return self.recipe is not None and self.epochs is not None and self.epochs >= self.recipe.train.epochs

    def measurements(self, request: StudyRequest, count: int) -> Iterator[Measurement]:
        """Each sparse attention on clean images, then the protocol, as it was trained; `count` images to validate."""
        run, protocol = self.run.path, request.protocol
        for top_k in self.top_ks:
            yield Measurement("clean", request.options(run, top_k))
        if protocol.corruptions:
            config = RobustnessConfig(protocol.corruptions, protocol.severities)
            yield Measurement("corruptions", dataclasses.replace(request.options(run), robustness=config))
        if protocol.attacks:
            attack = AttackConfig(protocol.attacks, epsilons=protocol.epsilons)
            yield Measurement("attacks", Evaluate(run, samples=min(protocol.attack_samples, count), attack=attack))
        if protocol.speed:
            yield Measurement("speed", SpeedOptions(run, seconds=SPEED_SECONDS))


def make_plan(request: StudyRequest) -> list[PlannedCell]:
    """All cells of the study, with the first seed, then with the next; equal recipes share the first one's run.

    Raises:
        UserError: the run of a cell that is wanted was made by another recipe.
    """
    plan: list[PlannedCell] = []
    for number, seed in enumerate(request.seeds or (request.recipe.seed,)):
        for cell in request.study.cells:
            name = f"{cell.name}-seed-{seed}" if number else cell.name
            plan.append(_planned(request, PlannedCell(name, cell, seed, None, RunFolder(request.folder / name)), plan))
    return plan


def _planned(request: StudyRequest, bare: PlannedCell, before: list[PlannedCell]) -> PlannedCell:
    """The cell with its recipe, or with what is wrong with that."""
    base = dataclasses.replace(request.recipe, seed=bare.seed)
    try:
        recipe = with_absolute_paths(request.study.recipe_of(bare.cell, base))
    except UserError as error:
        return dataclasses.replace(bare, problem=str(error))
    same = [other.run for other in before if other.recipe and not differences(other.recipe, recipe)]
    run = same[0] if same else bare.run
    try:
        problem = _problem(run, recipe)
    except UserError as error:  # a damaged run is its cell's failure, not the study's
        return dataclasses.replace(bare, problem=f"{run.path}: {error}")
    if problem and request.wants(bare.cell):
        raise UserError(
            f"{problem}; give the options that the study was begun with, choose another `name`, or delete {run.path}"
        )
    return dataclasses.replace(bare, recipe=None if problem else recipe, run=run, problem=problem)


def _problem(run: RunFolder, recipe: Recipe) -> str:
    """Why a folder that is there cannot be a cell's, if it cannot."""
    if not run.path.exists():
        return ""
    other = from_dict(RunFolder.open(run.path).recipe())
    gaps = [f"{path} {_shown(old)} (now {_shown(new)})" for path, (old, new) in differences(other, recipe).items()]
    return f"cell {run.path.name} was made with {', '.join(gaps)}" if gaps else ""


def _shown(value: object) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
