"""The result in a sentence or two, with its interval."""

from doublevit.analysis.comparison import Comparison, CorruptedComparison
from doublevit.analysis.corrupted import CorruptedScores
from doublevit.analysis.descriptions import describe_severities
from doublevit.analysis.scores import ScoreColumn
from doublevit.report.table import Cell
from doublevit.report.tables.cells import score_cell


def result_sentence(comparison: Comparison) -> str:
    """Return accuracy, lead over the next, and accuracy on corrupted images of the most accurate network."""
    top1 = comparison.clean["top-1"]
    if not top1.ranked:
        return "No accuracy on clean images is known."
    best, *others = top1.ranked
    cell, label = score_cell(top1, best), comparison.methods[best].label
    result = f"{_of_how_many(comparison, top1)}{label} recognizes {_accuracy(cell, len(top1.scores[best]))}"
    lead = _lead(comparison, best, others[0]) if others else ""
    return f"{result} of the {cell.count:,} clean images{lead}{_robust(comparison, best)}."


def _of_how_many(comparison: Comparison, top1: ScoreColumn) -> str:
    measured = [
        method
        for index, method in enumerate(comparison.methods)
        if top1.scores[index] and index not in comparison.duplicates
    ]
    if len(measured) < 2:
        return ""
    runs = len({member.run.path for method in measured for member in method.members})
    uses = f" in {len(measured)} ways of use" if len(measured) > runs else ""
    return f"Of {runs} networks{uses}, "


def _accuracy(cell: Cell, seeds: int) -> str:
    over = f", over {seeds} seeds" if seeds > 1 else ""
    return f"{cell.text} % (95 % interval {cell.interval}{over})"


def _lead(comparison: Comparison, best: int, next_: int) -> str:
    label, difference = comparison.methods[next_].label, comparison.clean_difference(best, next_)
    if difference is None:
        return f"; the next is {label}"
    estimate, p = difference.estimate, difference.p if difference.corrected_p is None else difference.corrected_p
    points, low, high = (f"{round(100 * v, 1) + 0.0:.1f}" for v in (estimate.value, estimate.low, estimate.high))
    test = "McNemar's" if difference.seeds == 1 else f"paired t test over {difference.seeds} seeds,"
    exactly = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    count = comparison.differences.family_size
    corrected = (
        f", by Holm's method for {count} comparisons" if difference.corrected_p is not None and count > 1 else ""
    )
    verdict = "" if p < 0.05 else ", no difference that can be told from chance"
    return (
        f"; the next, {label}, {points} points ({low} to {high}) less on the same images"
        f" ({test} {exactly}{corrected}{verdict})"
    )


def _robust(comparison: Comparison, best: int) -> str:
    """Return the mean accuracy under the first group of corruptions that the network was measured on."""
    corrupted = next((group for group in comparison.corrupted if group.scores[best]), None)
    if corrupted is None:
        return ""
    first, mean = corrupted.scores[best][0], score_cell(corrupted.average, best)
    bounds = f"{mean.interval}; " if mean.interval else ""
    details = f"{bounds}n = {mean.count:,}{_change(corrupted, best)}; {_set(first)}"
    return f"; under {corrupted.group.title}, {mean.text} % ({details})"


def _change(corrupted: CorruptedComparison, index: int) -> str:
    scores, changes = corrupted.scores[index], corrupted.change.scores[index]
    if len(scores) > 1 or not changes:
        return ""
    clean = scores[0].clean
    images = "the same images" if scores[0].matched else f"{clean.count:,} other images"
    return f", a change of {100 * changes[0].value:+.1f} % from {100 * clean.value:.1f} % of {images}"


def _set(scores: CorruptedScores) -> str:
    return f"{scores.source.kind}, {describe_severities(scores.severities)}"
