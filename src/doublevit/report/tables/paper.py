"""The paper's numbers beside ours, and whether they add up."""

import dataclasses
from collections.abc import Callable, Mapping

from doublevit.analysis.paper import COLUMNS_1, MINUTES_PER_EPOCH, TABLE_1, TABLE_2, VAL_IMAGES, checks
from doublevit.report.table import Cell, Table, text, words
from doublevit.statistics import wilson_interval

GROUP = "the paper's own numbers"
ASSUMED = f"the paper's; its interval assumes n = {VAL_IMAGES:,}, which it does not say"
APART = "The paper's rows are of other images, weights and conditions: nothing is tested against them."
V100 = "on a Tesla V100, as section 4.1 says"


def with_paper(table: Table) -> Table:
    """The same table with the paper's rows below ours, where the paper has such a table."""
    rows = PRINTED[table.name]() if table.name in PRINTED else []
    if not rows:
        return table
    width, groups = len(table.columns), table.groups or ("",) * len(table.rows)
    groups = tuple(group or "these runs" for group in groups)
    filled = tuple((*row[:width], *[Cell("-")] * (width - len(row))) for row in rows)
    caption = f"{table.caption} {APART}"
    return dataclasses.replace(table, caption=caption, rows=table.rows + filled, groups=groups + (GROUP,) * len(filled))


def check_table() -> Table:
    """What the paper states, recomputed from its own cells."""
    rows = tuple(
        tuple(map(text, (check.claim, check.stated, check.recomputed, "yes" if check.agrees else "NO")))
        for check in checks()
    )
    wrong = sum(not check.agrees for check in checks())
    caption = (
        f"In brackets: what it can be, given that the cells are rounded. {wrong} of {len(rows)} statements do not"
        " follow from the paper's other numbers."
    )
    heads = tuple(map(words, ("what", "stated", "recomputed", "agrees")))
    return Table("paper", "The paper's arithmetic", heads, rows, caption)


def _accuracy() -> list[tuple[Cell, ...]]:
    return [
        (
            *(text(model), *map(_printed, texts), Cell("-")),
            *(text(_augmented(model)), text("top-k" if "Sparse" in model else "dense")),
        )
        for model, texts in TABLE_2.items()
    ]


def _augmented(model: str) -> str:
    return "augmix" if "Aug" in model or "Double" in model else "none"


def _robustness() -> list[tuple[Cell, ...]]:
    average = COLUMNS_1.index("Average")  # of five measurements: no binomial interval is its own
    return [
        (
            text(model),
            *map(_printed, texts[:average]),
            *(Cell(digits, value=float(digits) / 100) for digits in texts[average:]),
        )
        for model, texts in TABLE_1.items()
    ]


def _speed() -> list[tuple[Cell, ...]]:
    return [
        (text(model), Cell(f"{60 * float(minutes):,.0f}", value=60 * float(minutes), notes=(V100,)))
        for model, minutes in MINUTES_PER_EPOCH.items()
    ]


def _printed(digits: str) -> Cell:
    """A number in percent as it is printed."""
    value = float(digits) / 100
    low, high = wilson_interval(round(value * VAL_IMAGES), VAL_IMAGES)
    return Cell(digits, f"{100 * low:.1f} to {100 * high:.1f}", value, low, high, notes=(ASSUMED,))


PRINTED: Mapping[str, Callable[[], list[tuple[Cell, ...]]]] = {
    "accuracy": _accuracy,
    "robustness-paper": _robustness,
    "speed": _speed,
}
