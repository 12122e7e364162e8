"""Scores as cells of a table: numbers, intervals, footnotes."""

import dataclasses
from collections.abc import Callable

from doublevit.analysis.evaluated import Method
from doublevit.analysis.scores import Score, ScoreColumn
from doublevit.report.table import Cell, fraction_cell

Show = Callable[[float, float, float, int | None], Cell]
"""Value, low, high and count -> a cell."""
BOLD = (
    " Bold: better than every row that was measured alike, by {test} on the same images (t test where there are several"
    " seeds; Holm, 5 %)."
)


def bold_note(rows: int, test: str = "McNemar's test") -> str:
    """Return the words of a caption on bold cells; "" for a single row."""
    return BOLD.format(test=test) if rows > 1 else ""


def score_cells(column: ScoreColumn, show: Show = fraction_cell) -> list[Cell]:
    """Return a cell for each method; the best is marked, what was measured otherwise than usual has a footnote."""
    return [score_cell(column, index, show) for index in range(len(column.scores))]


def score_cell(column: ScoreColumn, index: int, show: Show = fraction_cell) -> Cell:
    """Return the cell of one method."""
    scores, estimate = column.scores[index], column.estimate(index)
    if estimate is None:
        return Cell("-")
    cell = show(estimate.value, estimate.low, estimate.high, scores[0].count)
    notes = tuple(dict.fromkeys([*cell.notes, *_notes(column, index, scores)]))
    return dataclasses.replace(cell, notes=notes, best=index == column.best)


def method_cell(method: Method, further: tuple[str, ...] = ()) -> Cell:
    """Return a method's name, with a footnote if it is the same run as another, or if batch norm was adapted."""
    notes = [f"the same run as {method.same_as}"] if method.same_as else []
    notes += [f"adapted: {method.first.adapted}"] if method.first.adapted else []
    return Cell(method.label, value=method.label, notes=(*notes, *further))


def _notes(column: ScoreColumn, index: int, scores: tuple[Score, ...]) -> list[str]:
    first = scores[0]
    notes = [] if column.is_usual(index) else [f"measured otherwise: {first.description}"]
    notes += [f"in {first.precision}"] if first.precision != column.usual_precision else []
    notes += [note for score in scores for note in score.notes]
    if len(scores) > 1:
        notes.append(f"mean of {len(scores)} seeds; interval for the seed, not for the images")
    return notes
