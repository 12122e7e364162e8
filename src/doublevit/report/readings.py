"""Numbers that stand in one column: chosen so that they can be compared, compared, and marked where they cannot."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np

from doublevit.report.table import Cell, share
from doublevit.statistics import holm, mcnemar, over_seeds, paired_mean_test

SIGNIFICANT = 0.05
OTHERWISE = "measured otherwise"
"""How the footnote of a number begins that is not comparable with most of its column."""
Chosen = TypeVar("Chosen")


class HasSeed(Protocol):
    """What belongs to a training of some seed."""

    @property
    def seed(self) -> int: ...


Show = Callable[[float, float, float, int | None], Cell]


@dataclasses.dataclass(frozen=True)
class Reading:
    """A number and its interval, of `count` photos; `scores` float or bool (N,), what each of them contributes.

    `sort` tells apart what cannot be compared: other photos, another attack; `said` is the same for a footnote; `seed`
    is that of the training.
    """

    value: float
    low: float
    high: float
    count: int
    sort: str
    said: str
    precision: str = ""
    scores: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    seed: int = 0


def choose(options: Sequence[Mapping[str, tuple[int, Chosen]]]) -> list[Chosen | None]:
    """Of each row's options, by sort, that of the sort which most rows have; else its own with the most photos.

    Args:
        options: for each row, photos and whatever is to be chosen, by sort.
    """
    have = Counter(sort for mine in options for sort in mine)
    most = {sort: max(mine[sort][0] for mine in options if sort in mine) for sort in have}
    ranks = {sort: (have[sort], most[sort], sort) for sort in have}
    return [max(mine.items(), key=lambda entry: ranks[entry[0]])[1][1] if mine else None for mine in options]


def cells(readings: Sequence[Sequence[Reading]], show: Show = share, *, rising: bool = True) -> list[Cell]:
    """A column: a cell for each row, of one reading for each of its seeds.

    What was not measured as most rows were gets a footnote. The best (the highest, if `rising`) is marked if it beats
    every other that it can be compared with: a paired test on the same photos, or of the same seeds where there are
    several, by Holm's method over all of them.
    """
    usual = _usual(row[0].sort for row in readings if row)
    precision = _usual(row[0].precision for row in readings if row)
    shown = [_cell(row, show, usual, precision) if row else Cell("-") for row in readings]
    best = _best([row if row and row[0].sort == usual else () for row in readings], rising)
    return [dataclasses.replace(cell, best=number == best) for number, cell in enumerate(shown)]


def _usual(words: Iterable[str]) -> str:
    return next((word for word, _ in Counter(words).most_common(1)), "")


def _cell(row: Sequence[Reading], show: Show, usual: str, precision: str) -> Cell:
    notes = [f"{OTHERWISE}: {row[0].said}"] if row[0].sort != usual else []
    notes += [f"in {row[0].precision}"] if row[0].precision != precision else []
    notes += [note for reading in row for note in reading.notes]
    first = row[0]
    if len(row) == 1:
        cell = show(first.value, first.low, first.high, first.count)
    else:
        spread = over_seeds([reading.value for reading in row])
        cell = show(spread.mean, spread.low, spread.high, first.count)
        notes.append(f"mean of {spread.count} seeds; interval for the seed, not for the photos")
    return dataclasses.replace(cell, notes=tuple(dict.fromkeys([*cell.notes, *notes])))


def _best(rows: Sequence[Sequence[Reading]], rising: bool) -> int | None:
    known = [number for number, row in enumerate(rows) if row]
    if len(known) < 2:
        return None
    first, *others = sorted(known, key=lambda number: _mean(rows[number]), reverse=rising)
    tests = [_p_value(rows[first], rows[other]) for other in others]
    return first if all(p < SIGNIFICANT for p in holm(tests)) else None


def _mean(row: Sequence[Reading]) -> float:
    return float(np.mean([reading.value for reading in row]))


def _p_value(one: Sequence[Reading], other: Sequence[Reading]) -> float:
    """That both are equal; 1 where that cannot be tested."""
    pairs = same_seeds(one, other)
    if len(pairs) > 1:
        return paired_mean_test(*np.array([[mine.value, its.value] for mine, its in pairs]).T)
    if not pairs:
        return 1.0
    scores, others = pairs[0][0].scores, pairs[0][1].scores
    if scores is None or others is None or scores.shape != others.shape:
        return 1.0
    if scores.dtype == others.dtype == bool:
        return mcnemar(scores, others)
    return paired_mean_test(scores.astype(np.float64), others.astype(np.float64))


Seeded = TypeVar("Seeded", bound=HasSeed)


def same_seeds(one: Sequence[Seeded], other: Sequence[Seeded]) -> list[tuple[Seeded, Seeded]]:
    """What two rows have of the same seeds, in pairs; of two rows of one seed each, these, whatever seeds they are."""
    if len(one) == len(other) == 1:
        return [(one[0], other[0])]
    its = {each.seed: each for each in other}
    return [(mine, its[mine.seed]) for mine in one if mine.seed in its]
