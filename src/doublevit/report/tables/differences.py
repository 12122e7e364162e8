"""The table that compares every network with the baseline, on the same images."""

from doublevit.analysis.comparison import Comparison
from doublevit.analysis.differences import Difference
from doublevit.report.table import Cell, Column, Table, p_value_cell, points_cell, text_column
from doublevit.report.tables.cells import method_cell

CAPTION = (
    "Points more than {base} on the same images, with 95 % intervals. Clean: McNemar's test.{corrupted} p values are"
    " corrected by Holm's method for all {count} comparisons with {base}, what several rows share counted once. They"
    " are of these very networks: what another seed would change is not in them, but where a footnote names several."
)
CORRUPTED = (
    " Corrupted: mean accuracy under {group}, paired bootstrap, and t test of the images' means. % change: the paper's"
    " measure, in points, bootstrap."
)
HEADS = {"clean": "clean", "corrupted": "corrupted", "change": "% change"}


def difference_table(comparison: Comparison) -> Table | None:
    """Return differences of clean accuracy, and of mean and change under corruptions; None if there are none."""
    if len(comparison.methods) < 2 or not comparison.differences.family_size:
        return None
    differences, base = comparison.differences, comparison.methods[comparison.baseline]
    others = [index for index in range(len(comparison.methods)) if index != comparison.baseline]
    rows = tuple(
        (
            method_cell(comparison.methods[index]),
            *(cell for column in differences.by_measure.values() for cell in _cells(column[index])),
        )
        for index in others
    )
    heads = [
        column for name in differences.by_measure for column in (Column(HEADS[name], name), Column("p", f"{name}_p"))
    ]
    return Table(
        name="differences",
        title=f"Compared with {base.label}",
        columns=(text_column("model"), *heads),
        rows=rows,
        caption=CAPTION.format(
            base=base.label,
            count=differences.family_size,
            corrupted=CORRUPTED.format(group=differences.group.title) if differences.group else "",
        ),
        groups=tuple(comparison.methods[index].group for index in others),
    )


def _cells(difference: Difference | None) -> tuple[Cell, Cell]:
    if difference is None or difference.corrected_p is None:
        return Cell("-"), Cell("-")
    estimate = difference.estimate
    cell = points_cell(estimate.value, estimate.low, estimate.high)
    notes = (f"mean over {difference.seeds} seeds, paired by seed; t test",) if difference.seeds > 1 else ()
    shown = Cell(cell.text, cell.interval, cell.value, cell.low, cell.high, notes=notes)
    return shown, p_value_cell(difference.corrected_p)
