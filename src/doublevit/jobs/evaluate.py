"""Evaluation of a run's weights: on clean images, on corrupted ones, under attack, by transfer among runs."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from doublevit.attacks.checks import Finding
from doublevit.corrupted_sets.layout import describe_images
from doublevit.corrupted_sets.sets import CorruptedSet, on_the_fly, open_set
from doublevit.corruptions import VALIDATION
from doublevit.data.dataset import Dataset
from doublevit.data.identity import Cell
from doublevit.data.tiny_imagenet_c import fetch_published
from doublevit.errors import UserError
from doublevit.evaluators.accuracy import CellResults, CleanEvaluator, CorruptionEvaluator
from doublevit.evaluators.adaptation.adaptation import Adaptation
from doublevit.evaluators.attacks.evaluator import AttackEvaluator
from doublevit.evaluators.attacks.journal import JOURNAL_FOLDER
from doublevit.evaluators.attacks.transfer import TransferEvaluation
from doublevit.evaluators.evaluator import Evaluator, open_results
from doublevit.evaluators.prediction import accuracy_result
from doublevit.jobs.load import LoadedRun, Trained, adapted, load_run, make_eval_model, note_command
from doublevit.jobs.options import EvalOptions, Evaluate, TransferOptions
from doublevit.models.top_k import recorded
from doublevit.recipes import Recipe, from_dict
from doublevit.runs.conditions import Clean, ModelId
from doublevit.runs.folder import RunFolder
from doublevit.runs.results import Results
from doublevit.runs.row import Row


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """Every row that was asked for, measured now or before, and what the checks of attacks have found."""

    run: RunFolder
    rows: list[Row]
    findings: list[Finding] = dataclasses.field(default_factory=list)

    def of_kind(self, kind: type) -> list[Row]:
        """The rows whose condition is of a kind, such as `Corruption`."""
        return [row for row in self.rows if isinstance(row.condition, kind)]


def finish(trained: Trained) -> Evaluated:
    """Evaluate a run's last weights on clean images; what the last validation has predicted is not computed again."""
    if trained.measured is None:
        return evaluate(Evaluate(trained.run.path))
    note_command(trained.run)
    recipe = from_dict(trained.run.recipe())
    model = make_eval_model(trained.run, recipe, trained.model, EvalOptions())
    result = accuracy_result(trained.measured, model.id, Clean())
    open_results(trained.run).add(result)
    return Evaluated(trained.run, list(result.rows))


def evaluate(options: Evaluate) -> Evaluated:
    """Measure a run's "last" or "best" weights, and add what is new to its results.

    Raises:
        UserError: something of what is asked for is not there, or does not fit.
    """
    loaded = load_run(options.run, options)
    model, adaptation = adapted(loaded.model, options)
    evaluators = make_evaluators(options, loaded.dataset, loaded.recipe, loaded.run, adaptation)
    note_command(loaded.run)
    rows: list[Row] = []
    for evaluator in evaluators:
        for result in evaluator.run(model, loaded.dataset, loaded.results):
            rows += result.rows
    findings = [finding for each in evaluators if isinstance(each, AttackEvaluator) for finding in each.findings]
    return Evaluated(loaded.run, rows, findings)


def make_evaluators(
    options: Evaluate, dataset: Dataset, recipe: Recipe, run: RunFolder, adaptation: Adaptation | None = None
) -> list[Evaluator]:
    """Clean images first, then what is asked for.

    Raises:
        UserError: a corrupted set or reference is not there, or does not fit.
    """
    config = options.robustness
    alone = not config.corruptions and not options.attack.names  # asked for once more, measured once more
    evaluators: list[Evaluator] = [CleanEvaluator(adaptation, again=alone)]
    if config.corruptions:
        corrupted = _corrupted_set(options, dataset, recipe.data.cache)
        reference = _reference(config.relative_to, corrupted, config.cells) if config.relative_to else (None, None)
        evaluators.append(CorruptionEvaluator(corrupted, config.cells, adaptation, *reference))
    if options.attack.names:
        folder = run.path / JOURNAL_FOLDER
        attack = AttackEvaluator(options.attack, options.seed, folder, resume=options.resume, strict=options.strict)
        evaluators.append(attack)
    return evaluators


def _corrupted_set(options: Evaluate, clean: Dataset, cache: Path) -> CorruptedSet:
    config, path = options.robustness, options.robustness.corrupted_set
    if config.download_corrupted_set:
        path = fetch_published(cache, validation=config.names[0] in VALIDATION)
    if path is not None:
        return open_set(path, clean, config.cells, options.first)
    return on_the_fly(clean, config, cache)


def _reference(path: Path, corrupted: CorruptedSet, cells: Sequence[Cell]) -> tuple[CellResults, ModelId]:
    """The same cells, as another run was measured on them, always with the same weights, as trained: the newest."""
    run = RunFolder.open(path)
    results, top_k = Results(run), recorded(from_dict(run.recipe()).model.top_k)
    as_trained = [row.model_id for row in reversed(results.rows) if not row.adapted and row.top_k == top_k]
    for model in dict.fromkeys(as_trained):
        expected = CorruptionEvaluator(corrupted, cells).expected_cells(model)
        found = [result for each in expected if (result := results.find(each))]
        if len(found) == len(cells):
            return dict(zip(cells, found, strict=True)), model
    raise UserError(
        f"{path} was not measured on all of these corruptions with the same images and draws; first give doublevit"
        f" evaluate {path} the same options without `relative_to`"
    )


def transfer(options: TransferOptions) -> list[Row]:
    """Images made on each run, shown to all; a row for each pair, attack and epsilon, added to the results.

    Raises:
        UserError: a run cannot be loaded, or they are not on the same images.
    """
    loaded = [load_run(path, options) for path in options.runs]
    for other in loaded[1:]:
        _require_same_images(loaded[0], other)
    for each in loaded:
        note_command(each.run)
    evaluation = TransferEvaluation(
        models=[each.model for each in loaded],
        dataset=loaded[0].dataset,
        config=options.attack,
        seed=options.seed,
        journal_folder=loaded[0].run.path / JOURNAL_FOLDER,  # beside the first run
        resume=options.resume,
        strict=options.strict,
    )
    return evaluation.run([each.results for each in loaded])


def _require_same_images(first: LoadedRun, other: LoadedRun) -> None:
    ours, theirs = first.dataset, other.dataset
    same_kind = ours.class_ids == theirs.class_ids and ours.images.shape == theirs.images.shape
    if not same_kind or not np.array_equal(describe_images(ours), describe_images(theirs)):
        raise UserError(
            f"{first.run.path} and {other.run.path} are not on the same images"
            f" ({ours.id}; {theirs.id}): images of one mean nothing to the other"
        )
