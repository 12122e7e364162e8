"""The plan of a study: each cell with its recipe, seed, run folder and measurements."""

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
from doublevit.jobs.geometry import with_geometry
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

SPEED_SECONDS = 1.0  # for inference and again for training, short since a study times many networks


@dataclasses.dataclass(frozen=True)
class StudyRequest:
    """Holds what the user asks of a study: base recipe, folder, images to evaluate on, and `cells` (None: all).

    `attack_samples` None means as many as in the study's protocol, 0 no attacks; without `seeds`, the seed is that of
    the base recipe.
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
            dataclasses.replace(self.recipe, seed=seed)  # raises if it is no seed
        self.options(self.folder)  # raises if `samples` or `first` is wrong
        if (self.folder / "recipe.json").exists():
            raise UserError(f"{self.folder} is a run: expected a folder for runs; choose another `name`")

    def options(self, run: Path, top_k: str = AS_TRAINED) -> Evaluate:
        """Return the options for evaluating a run on clean images."""
        return Evaluate(run, samples=self.samples, first=self.first, top_k=top_k)

    @property
    def protocol(self) -> Protocol:
        """The measurements of every cell, with the number of attacked images that the user asks for."""
        protocol, samples = self.study.protocol, self.attack_samples
        if samples is None:
            return protocol
        return dataclasses.replace(protocol, attacks=protocol.attacks if samples else (), attack_samples=samples)

    def wants(self, cell: StudyCell) -> bool:
        """Return whether the cell is asked for."""
        return self.cells is None or cell.name in self.cells


class TrainedCell:
    """Holds a trained cell: its run with results, the identity of its weights, and the validation images.

    All weights are read for their digest, which takes seconds for a large network.
    """

    def __init__(self, run: RunFolder, recipe: Recipe, val: Dataset) -> None:
        self.run, self.recipe, self.val = run, recipe, val
        self.model = model_id_for(run, recipe, EvalOptions())
        self.results = Results(run)


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Describes what the evaluator called `name` is to measure of a run, with the options of the job that does it."""

    name: str
    options: Evaluate | SpeedOptions

    def measure(self) -> None:
        """Measure what is missing from the results.

        Raises:
            UserError: a file is missing, or options do not fit the run.
        """
        if isinstance(self.options, SpeedOptions):
            measure_speed(self.options)
        else:
            evaluate(self.options)

    def is_done(self, trained: TrainedCell) -> bool:
        """Return whether the results are complete for the run's present weights and these images."""
        model, dataset = trained.model, trained.val
        if not isinstance(self.options, SpeedOptions):
            dataset = self.options.subset(dataset)
            if self.options.top_k != AS_TRAINED:
                model = msgspec.structs.replace(model, top_k=recorded(self.options.top_k))
        try:
            return is_done(self._evaluator(trained, dataset), model, dataset, trained.results)
        except UserError:  # such images cannot be measured, which measuring them will report
            return False

    def _evaluator(self, trained: TrainedCell, dataset: Dataset) -> Evaluator:
        if isinstance(self.options, SpeedOptions):
            return make_speed_evaluator(trained.run, trained.recipe, self.options, dataset)
        evaluators = make_evaluators(self.options, dataset, trained.recipe.data.cache, trained.run)
        return next(evaluator for evaluator in evaluators if evaluator.name == self.name)


@dataclasses.dataclass(frozen=True)
class PlannedCell:
    """Holds a cell with a seed, its recipe (None if it has a `problem`), and its run, whether that exists or not.

    For the first seed, `name` is that of the cell, so that a study that was begun with one seed can go on with more.
    """

    name: str
    cell: StudyCell
    seed: int
    recipe: Recipe | None
    run: RunFolder
    problem: str = ""

    @property
    def top_ks(self) -> tuple[str, ...]:
        """The sparse attentions to evaluate with."""
        if self.recipe is None:
            return ()
        return tuple(dict.fromkeys(self.cell.inference or (self.recipe.model.top_k,)))

    @property
    def epochs(self) -> int | None:
        """The number of epochs trained and saved; None before there is a checkpoint."""
        folder = self.run.checkpoints
        return checkpoint.epochs_of(folder) if checkpoint.exists(folder) else None

    @property
    def trained(self) -> bool:
        """Whether all epochs are trained."""
        return self.recipe is not None and self.epochs is not None and self.epochs >= self.recipe.train.epochs

    def measurements(self, request: StudyRequest, count: int) -> Iterator[Measurement]:
        """Yield the measurements: clean images with each sparse attention, then the protocol for the model as trained.

        Args:
            request: the study that the cell belongs to.
            count: number of validation images.
        """
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
    """Plan all cells of the study with the first seed, then with the next; cells of equal recipes have the same run.

    Raises:
        UserError: the run of a cell that is asked for was made by another recipe.
    """
    plan: list[PlannedCell] = []
    for number, seed in enumerate(request.seeds or (request.recipe.seed,)):
        for cell in request.study.cells:
            name = f"{cell.name}-seed-{seed}" if number else cell.name
            plan.append(_planned(request, PlannedCell(name, cell, seed, None, RunFolder(request.folder / name)), plan))
    return plan


def _planned(request: StudyRequest, bare: PlannedCell, before: list[PlannedCell]) -> PlannedCell:
    """Return the cell with its recipe, or with the problem that the recipe has."""
    base = dataclasses.replace(request.recipe, seed=bare.seed)
    try:
        recipe = with_geometry(with_absolute_paths(request.study.recipe_of(bare.cell, base)))
    except UserError as error:
        return dataclasses.replace(bare, problem=str(error))
    equal = [other.run for other in before if other.recipe and not differences(other.recipe, recipe)]
    run = equal[0] if equal else bare.run
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
    """Return why an existing folder cannot be the cell's run; "" if it can, or does not exist."""
    if not run.path.exists():
        return ""
    other = from_dict(RunFolder.open(run.path).recipe())
    gaps = [f"{path} {_shown(old)} (now {_shown(new)})" for path, (old, new) in differences(other, recipe).items()]
    return f"cell {run.path.name} was made with {', '.join(gaps)}" if gaps else ""


def _shown(value: object) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
