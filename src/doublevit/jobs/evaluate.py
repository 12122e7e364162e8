"""Evaluation of a run's weights: on clean images, on corrupted ones, under attack, by transfer among runs."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from doublevit.attacks.checks import Finding
from doublevit.corrupted_sets.sets import CorruptedSet, on_the_fly, open_set
from doublevit.corruptions import VALIDATION
from doublevit.data.dataset import Dataset
from doublevit.data.identity import Cell
from doublevit.data.tiny_imagenet_c import fetch_published
from doublevit.device import this_process
from doublevit.errors import UserError
from doublevit.evaluators.accuracy import CellResults, CleanEvaluator, CorruptionEvaluator
from doublevit.evaluators.adaptation.adaptation import Adaptation
from doublevit.evaluators.attacks.evaluator import AttackEvaluator
from doublevit.evaluators.attacks.journal import JOURNAL_FOLDER
from doublevit.evaluators.attacks.transfer import TransferEvaluation
from doublevit.evaluators.evaluator import EvalModel, Evaluator, open_results
from doublevit.evaluators.prediction import accuracy_result
from doublevit.jobs.load import Trained, adapted, load_run, make_eval_model, note_command, require_same_images
from doublevit.jobs.options import EvalOptions, Evaluate, TransferOptions
from doublevit.models.top_k import recorded
from doublevit.recipes import from_dict
from doublevit.runs.conditions import Clean, ModelId
from doublevit.runs.folder import RunFolder
from doublevit.runs.results import Results
from doublevit.runs.row import Row


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """Holds every row that was asked for, measured now or before, and the findings of the checks of attacks.

    `class_ids` are those of the images, where these are others than a run's own.
    """

    run: RunFolder
    rows: list[Row]
    findings: list[Finding] = dataclasses.field(default_factory=list)
    class_ids: tuple[str, ...] = ()

    def of_kind(self, kind: type) -> list[Row]:
        """Return the rows whose condition is of a kind, such as `Corruption`."""
        return [row for row in self.rows if isinstance(row.condition, kind)]


def finish(trained: Trained) -> Evaluated:
    """Evaluate a run's last weights on clean images; predictions of the last validation are not computed again."""
    if trained.validation is None:
        return evaluate(Evaluate(trained.run.path))
    note_command(trained.run)
    recipe = from_dict(trained.run.recipe())
    model = make_eval_model(trained.run, recipe, trained.model, EvalOptions())
    result = accuracy_result(trained.validation, model.id, Clean())
    open_results(trained.run).add(result)
    return Evaluated(trained.run, list(result.rows))


def evaluate(options: Evaluate) -> Evaluated:
    """Evaluate a run's "last" or "best" weights, and add what is new to its results.

    Raises:
        UserError: a file, corrupted set or reference is missing, or options do not fit the run.
    """
    loaded = load_run(options.run, options)
    cache = loaded.recipe.data.cache
    return run_evaluators(options, loaded.model, loaded.dataset, loaded.run, loaded.results, cache)


def run_evaluators(
    options: Evaluate, model: EvalModel, dataset: Dataset, run: RunFolder, results: Results, cache: Path
) -> Evaluated:
    """Measure a model on a data set, and add what is new to the results of a run's folder.

    Raises:
        UserError: a corrupted set or reference is missing, or options do not fit the model or the images.
    """
    model, adaptation = adapted(model, options)
    evaluators = make_evaluators(options, dataset, cache, run, adaptation)
    note_command(run)
    rows: list[Row] = []
    for evaluator in evaluators:
        for result in evaluator.run(model, dataset, results):
            rows += result.rows
    attacks = [evaluator for evaluator in evaluators if isinstance(evaluator, AttackEvaluator)]
    findings = [finding for evaluator in attacks for finding in evaluator.findings]
    return Evaluated(run, rows, findings)


def make_evaluators(
    options: Evaluate, dataset: Dataset, cache: Path, run: RunFolder, adaptation: Adaptation | None = None
) -> list[Evaluator]:
    """Make the evaluators that `options` ask for, that of clean images first.

    Raises:
        UserError: a corrupted set or reference is missing, or does not fit.
    """
    config = options.robustness
    only_clean = not config.corruptions and not options.attack.names  # then measured again, since asked for again
    evaluators: list[Evaluator] = [CleanEvaluator(adaptation, again=only_clean)]
    if config.corruptions:
        corrupted = _corrupted_set(options, dataset, cache)
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
        return open_set(path, clean, config.cells, options.first, cache)
    return on_the_fly(clean, config, cache)


def _reference(path: Path, corrupted: CorruptedSet, cells: Sequence[Cell]) -> tuple[CellResults, ModelId]:
    """Return the newest results of another run, as trained, on the same cells, all with the same weights."""
    run = RunFolder.open(path)
    results, top_k = Results(run), recorded(from_dict(run.recipe()).model.top_k)
    as_trained = [row.model_id for row in reversed(results.rows) if not row.adapted and row.top_k == top_k]
    for model in dict.fromkeys(as_trained):
        expected = CorruptionEvaluator(corrupted, cells).expected_cells(model)
        measured = [result for cell in expected if (result := results.find(cell))]
        if len(measured) == len(cells):
            return dict(zip(cells, measured, strict=True)), model
    raise UserError(
        f"{path} was not measured on all of these corruptions with the same images and draws; first give doublevit"
        f" evaluate {path} the same options without `relative_to`"
    )


def transfer(options: TransferOptions) -> list[Row]:
    """Evaluate all runs on images attacked on each; a row for each pair, attack and epsilon is added to the results.

    Raises:
        UserError: a run cannot be loaded, or runs do not have the same images.
    """
    this_process()  # joins the others before any work, which may take some longer
    runs = [load_run(path, options) for path in options.runs]
    for other in runs[1:]:
        require_same_images(runs[0].run, runs[0].dataset, other.run, other.dataset)
    for loaded in runs:
        note_command(loaded.run)
    evaluation = TransferEvaluation(
        models=[loaded.model for loaded in runs],
        dataset=runs[0].dataset,
        config=options.attack,
        seed=options.seed,
        journal_folder=runs[0].run.path / JOURNAL_FOLDER,
        resume=options.resume,
        strict=options.strict,
    )
    return evaluation.run([loaded.results for loaded in runs])
