"""What was measured of a network on corrupted photos, group by group."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from doublevit.report.candidates import Candidate, Contender, photo_set
from doublevit.report.groups import TITLES, Group, named, other
from doublevit.report.measured import describe_set, is_published, of_all_members, reading, said_of_photos
from doublevit.report.readings import Reading
from doublevit.results import Row
from doublevit.statistics import Estimate, mean_accuracy, relative_change


@dataclasses.dataclass(frozen=True)
class Corrupted:
    """A network on a group of corruptions, all at the same severities; `clean` on the same photos where they are.

    `cells` are rows of top-1 by corruption and severity, in the order of the group; `said`, photos and set in words.
    """

    candidate: Candidate
    clean: Row
    cells: Mapping[tuple[str, int], Row]
    said: str

    @property
    def seed(self) -> int:
        """Of the network's training."""
        return self.candidate.seed

    @property
    def some(self) -> Row:
        """One of the cells."""
        return next(iter(self.cells.values()))

    @property
    def matched(self) -> bool:
        """Whether the corrupted photos are the clean ones."""
        return not is_published(self.some)

    def clean_reading(self) -> Reading:
        """Of the clean photos."""
        return reading(self.candidate, self.clean, said=self.said)

    def mean(self, corruption: str | None = None, severity: int | None = None) -> Reading:
        """Mean accuracy over the cells of a corruption, or of a severity, or over all."""
        rows = [
            row
            for (name, strength), row in self.cells.items()
            if corruption in (None, name) and severity in (None, strength)
        ]
        if len(rows) == 1:
            return reading(self.candidate, rows[0], said=self.said)
        hits = self._hits(rows)
        if hits is None:
            value = float(np.mean([row.value for row in rows]))
            return self.reading(Estimate(value, float("nan"), float("nan")))
        return self.reading(mean_accuracy(hits, self.matched), hits.mean(axis=0))

    def change(self) -> Reading | None:
        """The paper's % change: of the mean over all cells against the clean accuracy, as a share of that."""
        hits, clean = self.hits(), self.candidate.scores(self.clean)
        if hits is None or clean is None or not clean.any():
            return None
        return self.reading(relative_change(clean, hits, matched=self.matched))

    def hits(self) -> np.ndarray | None:
        """Of all cells, bool (C, N)."""
        return self._hits(list(self.cells.values()))

    def reading(self, estimate: Estimate, scores: np.ndarray | None = None) -> Reading:
        """Something that was worked out of the cells."""
        bounds, row = (estimate.value, estimate.low, estimate.high), self.some
        return Reading(*bounds, row.count, self.said, self.said, row.precision, scores, seed=self.candidate.seed)

    def _hits(self, rows: Sequence[Row]) -> np.ndarray | None:
        found = [hits for row in rows if (hits := self.candidate.scores(row)) is not None]
        return np.stack(found) if len(found) == len(rows) else None


def corrupted(candidate: Candidate, group: Group) -> dict[str, tuple[int, Corrupted]]:
    """A group of corruptions where all were measured at the same severities, by photos, set and severities."""
    found: dict[tuple[str, str], dict[tuple[str, int], Row]] = {}
    for row in candidate.of_kind("corruption", "top-1"):
        if is_published(row) != group.published:
            continue
        cell = row.condition["corruption"], row.condition["severity"]
        words = f"{said_of_photos(row)}, {describe_set(row.condition)}"
        found.setdefault((words, row.precision), {})[cell] = row
    whole = {}
    for (words, _), cells in found.items():
        severities = _common_severities(cells, group.corruptions)
        kept = {(name, severity): cells[name, severity] for name in group.corruptions for severity in severities}
        if kept and (clean := _clean_beside(candidate, next(iter(kept.values())))):
            one = Corrupted(candidate, clean, kept, _said(words, severities, clean, next(iter(kept.values()))))
            whole[one.said] = (one.some.count, one)
    return whole


def measured_groups(contenders: Sequence[Contender]) -> list[Group]:
    """The groups of corruptions that any was measured on whole; of one that has none whole, all that it has."""
    by_name = [named(name, published=published) for published in (False, True) for name in TITLES]
    found = dict.fromkeys(group for group in by_name if any(_has(one, group) for one in contenders))
    for one in contenders:
        for published in (False, True):
            whole = any(_has(one, group) for group in by_name if group.published == published)
            rows = [row for row in one.first.of_kind("corruption", "top-1") if is_published(row) == published]
            if rows and not whole:
                names = tuple(dict.fromkeys(row.condition["corruption"] for row in rows))
                found |= dict.fromkeys(group for group in [other(names, published=published)] if _has(one, group))
    return list(found)


def _has(one: Contender, group: Group) -> bool:
    return bool(of_all_members(one, lambda member: corrupted(member, group)))


def _said(words: str, severities: Sequence[int], clean: Row, cell: Row) -> str:
    """What distinguishes such measurements; of a published set, also which clean photos they are compared with."""
    strengths = f"{words}, severit{'ies' if len(severities) > 1 else 'y'} {' '.join(map(str, severities))}"
    other = "" if _same_photos(clean, cell) else f", clean accuracy of {said_of_photos(clean)}"
    return strengths + other


def _common_severities(cells: Mapping[tuple[str, int], Row], names: Sequence[str]) -> list[int]:
    """The severities at which every corruption was measured."""
    severities = sorted({severity for _, severity in cells})
    return [severity for severity in severities if all((name, severity) in cells for name in names)]


def _clean_beside(candidate: Candidate, cell: Row) -> Row | None:
    """The clean photos that a cell is compared with, in the same precision: its own, of a published set the most."""
    rows = [row for row in candidate.of_kind("clean", "top-1") if row.precision == cell.precision]
    if is_published(cell):
        return max(rows, key=lambda row: row.count, default=None)
    return next((row for row in reversed(rows) if _same_photos(row, cell)), None)


def _same_photos(one: Row, other: Row) -> bool:
    return (photo_set(one), one.count) == (photo_set(other), other.count)
