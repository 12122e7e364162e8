"""The cells of a study, each with its recipe and its run's folder."""

import dataclasses
from pathlib import Path

from doublevit import checkpoint
from doublevit.errors import UserError, unknown
from doublevit.jobs.options import Evaluate
from doublevit.jobs.train import with_absolute_paths
from doublevit.models.top_k import AS_TRAINED
from doublevit.recipes import Recipe, from_dict
from doublevit.recipes.recipe import differences
from doublevit.recipes.study import Cell, Study
from doublevit.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Request:
    """A study, its base as the user has changed it, its folder; which photos to evaluate on; which cells (all)."""

    study: Study
    recipe: Recipe
    folder: Path
    samples: int | None = None
    photos: int | None = None
    cells: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        names = [cell.name for cell in self.study.cells]
        if self.cells == ():
            raise UserError("--cells: expected names of cells; without --cells, all are done")
        for name in self.cells or ():
            if name not in names:
                raise unknown("cell", name, names)
        self.evaluation(self.folder)  # complains of samples and photos
        if (self.folder / "recipe.json").exists():
            raise UserError(f"{self.folder} is a run: expected a folder for runs; choose another --name")

    def evaluation(self, run: Path, top_k: str = AS_TRAINED) -> Evaluate:
        """How a run is to be evaluated."""
        return Evaluate(run, samples=self.samples, photos=self.photos, top_k=top_k)

    def wants(self, cell: Cell) -> bool:
        """Whether the cell is to be done."""
        return self.cells is None or cell.name in self.cells


@dataclasses.dataclass(frozen=True)
class Planned:
    """A cell with its recipe, None where there is a `problem` with that, and its run, there already or not."""

    cell: Cell
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
    """All cells of the study; those of the same recipe share the run that bears the first one's name.

    Raises:
        UserError: the run of a cell that is wanted was made by another recipe.
    """
    plan: list[Planned] = []
    for cell in request.study.cells:
        plan.append(_planned(request, cell, plan))
    return plan


def _planned(request: Request, cell: Cell, before: list[Planned]) -> Planned:
    own = RunFolder(request.folder / cell.name)
    try:
        recipe = with_absolute_paths(request.study.recipe_of(cell, request.recipe))
    except UserError as error:
        return Planned(cell, None, own, str(error))
    same = [other.run for other in before if other.recipe and not differences(other.recipe, recipe)]
    run = same[0] if same else own
    problem = _problem(run, recipe)
    if problem and request.wants(cell):
        raise UserError(
            f"{problem}; give the options that the study was begun with, choose another --name, or delete {run.path}"
        )
    return Planned(cell, None if problem else recipe, run, problem)


def _problem(run: RunFolder, recipe: Recipe) -> str:
    """Why a folder that is there cannot be a cell's, if it cannot."""
    if not run.path.exists():
        return ""
    found = from_dict(RunFolder.open(run.path).recipe())
    gaps = [f"{path} {_shown(old)} (now {_shown(new)})" for path, (old, new) in differences(found, recipe).items()]
    return f"cell {run.path.name} was made with {', '.join(gaps)}" if gaps else ""


def _shown(value: object) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
