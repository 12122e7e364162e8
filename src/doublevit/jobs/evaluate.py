"""Evaluation of a run's weights on clean and on corrupted photos."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from doublevit.adversarial.evaluation import Attacked, Evaluation
from doublevit.corrupted.config import RobustnessConfig
from doublevit.corrupted.opening import open_set
from doublevit.corrupted.sets import CorruptedSet, condition_of, on_the_fly
from doublevit.corruptions import VALIDATION
from doublevit.data.dataset import Dataset
from doublevit.data.tiny_imagenet_c import Cell, fetch_published
from doublevit.errors import UserError
from doublevit.jobs.opening import adapting, make_bench, measured_once, note_command, open_run
from doublevit.jobs.options import Evaluate
from doublevit.jobs.train import Trained
from doublevit.models.top_k import alike, mention
from doublevit.processes import this_process
from doublevit.recipes import from_dict
from doublevit.results import Row
from doublevit.robustness.bench import Bench, Measurement, find, subject_of
from doublevit.robustness.together import Cells, Robustness
from doublevit.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """Rows of the clean photos, of every cell, and of the cells together; and of attacks."""

    clean: list[Row]
    cells: list[Row] = dataclasses.field(default_factory=list)
    together: list[Row] = dataclasses.field(default_factory=list)
    attacked: Attacked = dataclasses.field(default_factory=Attacked)


def finish(trained: Trained) -> Evaluated:
    """Of a run's last weights on clean photos; what the last validation has said of them is not computed again."""
    if trained.measured is None:
        return evaluate(Evaluate(trained.run.path))
    note_command(trained.run)
    bench = make_bench(trained.run, from_dict(trained.run.recipe()), trained.model, Evaluate(trained.run.path))
    return Evaluated(bench.keep(trained.measured).rows)


def evaluate(options: Evaluate) -> Evaluated:
    """Of a run's "last" or "best" weights, added to its results.

    Cells of corruptions that were measured before are not measured again, nor photos attacked that were.

    Raises:
        UserError: something of what is asked for is not there, or does not fit.
    """
    opened, robustness = adapting(open_run(options.run, options), options), options.robustness
    bench, clean = opened.bench, opened.photos
    corrupted = _corrupted_set(options, clean, opened.recipe.data.cache) if robustness.corruptions else None
    other = robustness.relative_to
    reference = _reference(other, corrupted, robustness.cells) if corrupted and other else None
    note_command(bench.run)
    alone = corrupted is None and not options.attack.names  # asked for once more, measured once more
    before = bench.measure(clean) if alone else measured_once(opened)
    cells, together = _corrupted_rows(bench, before, corrupted, robustness, reference) if corrupted else ([], [])
    attacked = _attack(bench, clean, options).attack(before.hits["top-1"]) if options.attack.names else Attacked()
    return Evaluated(before.rows, cells, together, attacked)


def _corrupted_rows(
    bench: Bench, before: Measurement, corrupted: CorruptedSet, config: RobustnessConfig, reference: Cells | None
) -> tuple[list[Row], list[Row]]:
    """Of every cell, and of the cells together."""
    cells = bench.measure_cells(corrupted, config.cells)
    name = _name(reference) if reference else ""
    robustness = Robustness(before, cells, corrupted.matched, corrupted.condition, reference, name)
    together = list(robustness.rows())
    if this_process().is_main_process:
        known = bench.run.rows()
        bench.run.add_rows(row for row in together if row not in known)
    return [row for cell in cells.values() for row in cell.rows], together


def _attack(bench: Bench, clean: Dataset, options: Evaluate) -> Evaluation:
    return Evaluation(
        run=bench.run,
        model=bench.model,
        subject=bench.subject,
        dataset=clean,
        config=options.attack,
        seed=options.seed,
        batch_size=options.batch_size,
        resume=options.resume,
        strict=options.strict,
    )


def _name(reference: Cells) -> str:
    row = next(iter(reference.values())).rows[0]
    return f"{row.model} ({row.checkpoint}, {row.precision}{mention(row.top_k, ', ')})"


def _corrupted_set(options: Evaluate, clean: Dataset, cache: Path) -> CorruptedSet:
    config, path = options.robustness, options.robustness.corrupted_set
    if config.download_corrupted_set:
        path = fetch_published(cache, four=config.names[0] in VALIDATION)
    if path is not None:
        return open_set(path, clean, config.cells, options.photos)
    return on_the_fly(clean, config, cache)


def _reference(path: Path, corrupted: CorruptedSet, cells: Sequence[Cell]) -> Cells:
    """The same cells, as another run was measured on them, always with the same weights, as trained: the newest."""
    run = RunFolder.open(path)
    rows, top_k = run.rows(), alike(from_dict(run.recipe()).model.top_k)
    as_trained = [row for row in reversed(rows) if not row.adapted and row.top_k == top_k]
    for subject in dict.fromkeys(map(subject_of, as_trained)):
        found = {cell: find(run, rows, corrupted.cell(cell), condition_of(corrupted, cell), subject) for cell in cells}
        if all(found.values()):
            return {cell: measurement for cell, measurement in found.items() if measurement}
    raise UserError(
        f"{path} was not measured on all of these corruptions with the same photos and draws; first give doublevit"
        f" evaluate {path} the same options without --relative-to"
    )
