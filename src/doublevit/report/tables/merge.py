"""The accuracies between two merged runs, from which alpha was chosen."""

from doublevit.report.table import Cell, Column, Table, fraction_cell
from doublevit.runs.merged import AlphaAccuracy, Interval, Selection

COLUMNS = (Column("alpha", "alpha"), Column("clean, %", "clean"), Column("corrupted, %", "corrupted"))


def alpha_table(selection: Selection) -> Table:
    """Return a table of every alpha, the chosen one marked."""
    best = selection.best
    rows = tuple(_row(each, each is best, selection.count) for each in selection.curve)
    seen = "which the runs were trained on, so that they look too easy" if selection.trained_on else "held out"
    caption = (
        f"Training images, {seen}, n = {selection.count:,}; corrupted: mean of {', '.join(selection.corruptions)} at"
        f" severity {selection.severity}. 95 % intervals. Bold: chosen by the mean of both columns."
    )
    return Table("alpha", "Accuracy by alpha", COLUMNS, rows, caption)


def _row(each: AlphaAccuracy, chosen: bool, count: int) -> tuple[Cell, ...]:
    def cell(accuracy: Interval) -> Cell:
        return fraction_cell(accuracy.value, accuracy.low, accuracy.high, count)

    return (
        Cell(f"{each.alpha:g}", value=each.alpha, best=chosen),
        cell(each.clean),
        cell(each.corrupted),
    )
