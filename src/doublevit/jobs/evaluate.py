"""Evaluation of a run's weights on clean and on corrupted photos."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from doublevit import checkpoint
from doublevit.corrupted.config import RobustnessConfig
from doublevit.corrupted.opening import open_set
from doublevit.corrupted.sets import CorruptedSet, condition_of, on_the_fly
from doublevit.corruptions import VALIDATION
from doublevit.data.dataset import Dataset
from doublevit.data.tiny_imagenet_c import Cell, fetch_published
from doublevit.errors import UserError
from doublevit.evaluate import Subject
from doublevit.jobs.materials import materials
from doublevit.jobs.options import Evaluate
from doublevit.jobs.train import Trained
from doublevit.models.classifier import Classifier
from doublevit.precision import choose
from doublevit.processes import this_process
from doublevit.recipes import Recipe, from_dict
from doublevit.results import Row
from doublevit.robustness.bench import CLEAN, Bench, find, subject_of
from doublevit.robustness.together import Cells, Robustness
from doublevit.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """Rows of the clean photos, of every cell, and of the cells together."""

    clean: list[Row]
    cells: list[Row] = dataclasses.field(default_factory=list)
    together: list[Row] = dataclasses.field(default_factory=list)


def finish(trained: Trained) -> Evaluated:
    """Of a run's last weights on clean photos; what the last validation has said of them is not computed again."""
    if trained.measured is None:
        return evaluate(Evaluate(trained.run.path))
    bench = _bench(trained.run, from_dict(trained.run.recipe()), trained.model, Evaluate(trained.run.path))
    return Evaluated(bench.keep(trained.measured).rows)


def evaluate(options: Evaluate) -> Evaluated:
    """Of a run's "last" or "best" weights, added to its results; cells that were measured before are not again.

    Raises:
        UserError: something of what is asked for is not there, or does not fit.
    """
    run = RunFolder.open(options.run)
    recipe = from_dict(run.recipe())
    splits, model = materials(recipe, from_scratch=True)
    clean = splits["val"] if options.photos is None else splits["val"].first(options.photos)
    robustness = options.robustness
    corrupted = _corrupted_set(options, clean, recipe.data.cache) if robustness.corruptions else None
    other = robustness.relative_to
    reference = _reference(other, corrupted, robustness.cells) if corrupted and other else None
    checkpoint.load_weights(run.checkpoints, options.checkpoint, model)
    bench = _bench(run, recipe, model.to(this_process().device), options)
    if corrupted is None:
        return Evaluated(bench.measure(clean).rows)
    return _all_rows(bench, clean, corrupted, robustness, reference)


def _all_rows(
    bench: Bench, clean: Dataset, corrupted: CorruptedSet, config: RobustnessConfig, reference: Cells | None
) -> Evaluated:
    before = bench.known([(clean, CLEAN)])[0] or bench.measure(clean)
    cells = bench.measure_cells(corrupted, config.cells)
    name = _name(reference) if reference else ""
    robustness = Robustness(before, cells, corrupted.matched, corrupted.condition, reference, name)
    together = list(robustness.rows())
    if this_process().is_main_process:
        known = bench.run.rows()
        bench.run.add_rows(row for row in together if row not in known)
    return Evaluated(before.rows, [row for cell in cells.values() for row in cell.rows], together)


def _name(reference: Cells) -> str:
    row = next(iter(reference.values())).rows[0]
    return f"{row.model} ({row.checkpoint}, {row.precision})"


def _bench(run: RunFolder, recipe: Recipe, model: Classifier, options: Evaluate) -> Bench:
    dtype = choose(options.precision or recipe.train.precision, this_process().device)
    which = options.checkpoint
    weights = f"{which}, {checkpoint.name_of(run.checkpoints, which)}-{checkpoint.digest_of(run.checkpoints, which)}"
    subject = Subject(run.path.resolve().name, recipe.seed, weights, str(dtype).removeprefix("torch."))
    return Bench(run, model, subject, dtype, options.batch_size)


def _corrupted_set(options: Evaluate, clean: Dataset, cache: Path) -> CorruptedSet:
    config, path = options.robustness, options.robustness.corrupted_set
    if config.download_corrupted_set:
        path = fetch_published(cache, four=config.names[0] in VALIDATION)
    if path is not None:
        return open_set(path, clean, config.cells, options.photos)
    return on_the_fly(clean, config, cache)


def _reference(path: Path, corrupted: CorruptedSet, cells: Sequence[Cell]) -> Cells:
    """The same cells, as another run was measured on them, all with the same weights: the newest that have them all."""
    run = RunFolder.open(path)
    rows = run.rows()
    for subject in dict.fromkeys(subject_of(row) for row in reversed(rows)):
        found = {cell: find(run, rows, corrupted.cell(cell), condition_of(corrupted, cell), subject) for cell in cells}
        if all(found.values()):
            return {cell: measurement for cell, measurement in found.items() if measurement}
    raise UserError(
        f"{path} was not measured on all of these corruptions with the same photos and draws; first give doublevit"
        f" evaluate {path} the same options without --relative-to"
    )
