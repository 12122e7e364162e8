"""The paper's numbers below ours, and whether they add up."""

import dataclasses
from collections.abc import Callable, Mapping

from doublevit.analysis.paper import COLUMNS_1, MINUTES_PER_EPOCH, TABLE_1, TABLE_2, VAL_IMAGES, checks
from doublevit.report.table import Cell, Table, text_cell, text_column
from doublevit.statistics import wilson_interval

GROUP = "the paper's own numbers"
ASSUMED = f"the paper's; its interval assumes n = {VAL_IMAGES:,}, which it does not say"
APART = "The paper's rows are of other images, weights and conditions: nothing is tested against them."
V100 = "on a Tesla V100, as section 4.1 says"


def with_paper(table: Table) -> Table:
    """Return a table with the paper's rows below ours, if the paper has such a table."""
    rows = PRINTED[table.name]() if table.name in PRINTED else []
    if not rows:
        return table
    width, groups = len(table.columns), table.groups or ("",) * len(table.rows)
    groups = tuple(group or "these runs" for group in groups)
    filled = tuple((*row[:width], *[Cell("-")] * (width - len(row))) for row in rows)
    caption = f"{table.caption} {APART}"
    return dataclasses.replace(table, caption=caption, rows=table.rows + filled, groups=groups + (GROUP,) * len(filled))


def check_table() -> Table:
    """Return a table of what the paper states, recomputed from the cells of its tables."""
    rows = tuple(
        tuple(map(text_cell, (check.claim, check.stated, check.recomputed, "yes" if check.agrees else "NO")))
        for check in checks()
    )
    wrong = sum(not check.agrees for check in checks())
    caption = (
        f"In brackets: what it can be, given that the cells are rounded. {wrong} of {len(rows)} statements do not"
        " follow from the paper's other numbers."
    )
    heads = tuple(map(text_column, ("what", "stated", "recomputed", "agrees")))
    return Table("paper", "The paper's arithmetic", heads, rows, caption)


def _accuracy() -> list[tuple[Cell, ...]]:
    return [
        (
            *(text_cell(model), *map(_printed, texts), Cell("-")),
            *(text_cell(_augmented(model)), text_cell("top-k" if "Sparse" in model else "dense")),
        )
        for model, texts in TABLE_2.items()
    ]


def _augmented(model: str) -> str:
    return "augmix" if "Aug" in model or "Double" in model else "none"


def _robustness() -> list[tuple[Cell, ...]]:
    average = COLUMNS_1.index("Average")  # over five measurements: a binomial interval does not apply
    return [
        (
            text_cell(model),
            *map(_printed, texts[:average]),
            *(Cell(digits, value=float(digits) / 100) for digits in texts[average:]),
        )
        for model, texts in TABLE_1.items()
    ]


def _speed() -> list[tuple[Cell, ...]]:
    return [
        (text_cell(model), Cell(f"{60 * float(minutes):,.0f}", value=60 * float(minutes), notes=(V100,)))
        for model, minutes in MINUTES_PER_EPOCH.items()
    ]


def _printed(digits: str) -> Cell:
    """Return the cell of a percentage as it is printed in the paper."""
    value = float(digits) / 100
    low, high = wilson_interval(round(value * VAL_IMAGES), VAL_IMAGES)
    return Cell(digits, f"{100 * low:.1f} to {100 * high:.1f}", value, low, high, notes=(ASSUMED,))


PRINTED: Mapping[str, Callable[[], list[tuple[Cell, ...]]]] = {
    "accuracy": _accuracy,
    "robustness-paper": _robustness,
    "speed": _speed,
}
