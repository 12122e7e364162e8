"""The cells of a study, each with its recipe, its seed and its run's folder."""

import dataclasses
from pathlib import Path

from doublevit import checkpoint
from doublevit.corrupted.config import RobustnessConfig
from doublevit.errors import UserError, unknown
from doublevit.jobs.options import Evaluate
from doublevit.jobs.train import with_absolute_paths
from doublevit.models.top_k import AS_TRAINED
from doublevit.recipes import Recipe, from_dict
from doublevit.recipes.recipe import differences
from doublevit.recipes.study import Cell, Protocol, Study
from doublevit.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Request:
    """A study, its base as the user has changed it, and its folder; which photos to evaluate on; which cells (all).

    `attack_samples` are those of the study's protocol where it is None; none means no attacks. `seeds` are the base's
    own where there are none.
    """

    study: Study
    recipe: Recipe
    folder: Path
    samples: int | None = None
    photos: int | None = None
    cells: tuple[str, ...] | None = None
    attack_samples: int | None = None
    seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        names = [cell.name for cell in self.study.cells]
        if self.cells == ():
            raise UserError("--cells: expected names of cells; without --cells, all are done")
        for name in self.cells or ():
            if name not in names:
                raise unknown("cell", name, names)
        if self.attack_samples is not None and self.attack_samples < 0:
            raise UserError(f"--attack-samples: expected 0 (no attacks) or more, found {self.attack_samples}")
        if len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"--seeds {' '.join(map(str, self.seeds))}: expected each once")
        for seed in self.seeds:
            dataclasses.replace(self.recipe, seed=seed)  # complains of what is no seed
        self.evaluation(self.folder)  # complains of samples and photos
        if (self.folder / "recipe.json").exists():
            raise UserError(f"{self.folder} is a run: expected a folder for runs; choose another --name")

    def evaluation(self, run: Path, top_k: str = AS_TRAINED) -> Evaluate:
        """How a run is to be evaluated."""
        return Evaluate(run, samples=self.samples, photos=self.photos, top_k=top_k)

    @property
    def protocol(self) -> Protocol:
        """What every cell is measured with."""
        asked = self.attack_samples
        if asked is None:
            return self.study.protocol
        own = self.study.protocol
        return dataclasses.replace(own, attacks=own.attacks if asked else (), attack_samples=asked)

    @property
    def corrupting(self) -> RobustnessConfig:
        """The protocol's corruptions."""
        protocol = self.study.protocol
        return (
            RobustnessConfig(protocol.corruptions, protocol.severities) if protocol.corruptions else RobustnessConfig()
        )

    def wants(self, cell: Cell) -> bool:
        """Whether the cell is to be done."""
        return self.cells is None or cell.name in self.cells


@dataclasses.dataclass(frozen=True)
class Planned:
    """A cell with a seed, its recipe, None where there is a `problem` with that, and its run, there already or not.

    `name` is the cell's own for the first seed, so that a study that was begun with one can go on with more.
    """

    name: str
    cell: Cell
    seed: int
    recipe: Recipe | None
    run: RunFolder
    problem: str = ""

    @property
    def top_ks(self) -> tuple[str, ...]:
        """What to evaluate it with."""
        if self.recipe is None:
            return ()
        return tuple(dict.fromkeys(self.cell.inference or (self.recipe.model.top_k,)))

    @property
    def epochs(self) -> int | None:
        """Epochs that are trained and saved; None before there is a checkpoint."""
        if not checkpoint.exists(self.run.checkpoints):
            return None
        return int(checkpoint.name_of(self.run.checkpoints, "last").split("-")[1])

    @property
    def trained(self) -> bool:
        """Whether it is trained to its end."""
        return self.recipe is not None and self.epochs is not None and self.epochs >= self.recipe.train.epochs


def make_plan(request: Request) -> list[Planned]:
    """All cells of the study, with the first seed, then with the next; equal recipes share the first one's run.

    Raises:
        UserError: the run of a cell that is wanted was made by another recipe.
    """
    plan: list[Planned] = []
    for number, seed in enumerate(request.seeds or (request.recipe.seed,)):
        for cell in request.study.cells:
            name = f"{cell.name}-seed-{seed}" if number else cell.name
            plan.append(_planned(request, Planned(name, cell, seed, None, RunFolder(request.folder / name)), plan))
    return plan


def _planned(request: Request, bare: Planned, before: list[Planned]) -> Planned:
    """With its recipe, or with what is wrong with that."""
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
            f"{problem}; give the options that the study was begun with, choose another --name, or delete {run.path}"
        )
    return dataclasses.replace(bare, recipe=None if problem else recipe, run=run, problem=problem)


def _problem(run: RunFolder, recipe: Recipe) -> str:
    """Why a folder that is there cannot be a cell's, if it cannot."""
    if not run.path.exists():
        return ""
    found = from_dict(RunFolder.open(run.path).recipe())
    gaps = [f"{path} {_shown(old)} (now {_shown(new)})" for path, (old, new) in differences(found, recipe).items()]
    return f"cell {run.path.name} was made with {', '.join(gaps)}" if gaps else ""


def _shown(value: object) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
