"""What was measured of a network on clean and on corrupted photos, as readings that tables and plots are made of."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from doublevit.corrupted.config import GROUPS
from doublevit.report.candidates import Candidate, Contender, photo_set
from doublevit.report.readings import Chosen, Reading
from doublevit.results import Row
from doublevit.statistics import Estimate, mean_accuracy, relative_change

Options = Mapping[str, tuple[int, Chosen]]


def of_all_members(
    contender: Contender, found: Callable[[Candidate], Options[Chosen]]
) -> dict[str, tuple[int, list[Chosen]]]:
    """What every member has, by sort: photos, and one of each member."""
    each = [found(member) for member in contender.members]
    shared = [sort for sort in each[0] if all(sort in other for other in each)]
    return {sort: (each[0][sort][0], [mine[sort][1] for mine in each]) for sort in shared}


def clean_rows(candidate: Candidate) -> dict[str, tuple[int, dict[str, Row]]]:
    """Rows of clean photos by metric, by which photos they are of."""
    found: dict[str, dict[str, Row]] = {}
    for row in candidate.of_kind("clean"):
        found.setdefault(f"{photo_set(row)[1]} n={row.count}", {})[row.metric] = row
    return {sort: (next(iter(rows.values())).count, rows) for sort, rows in found.items()}


def reading(candidate: Candidate, row: Row, sort: str = "", said: str = "") -> Reading:
    """Of a row; what nothing else is said of is told apart by its photos."""
    words = said or said_of_photos(row)
    scores = candidate.scores(row)
    return Reading(row.value, row.low, row.high, row.count, sort or words, words, row.precision, scores)


def said_of_photos(row: Row) -> str:
    """Which photos a row is of."""
    return photo_set(row)[1] or f"all {row.count:,} photos"


@dataclasses.dataclass(frozen=True)
class Corrupted:
    """A network on a group of corruptions, all at the same severities; `clean` on the same photos where they are.

    `cells` are rows of top-1 by corruption and severity.
    """

    candidate: Candidate
    clean: Row
    cells: Mapping[tuple[str, int], Row]
    said: str

    @property
    def matched(self) -> bool:
        """Whether the corrupted photos are the clean ones."""
        return next(iter(self.cells.values())).condition.get("set") != "published"

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
            return self._reading(Estimate(value, float("nan"), float("nan")), None)
        return self._reading(mean_accuracy(hits), hits.mean(axis=0))

    def change(self) -> Reading | None:
        """The paper's % change: of the mean over all cells against the clean accuracy, as a share of that."""
        hits, clean = self._hits(list(self.cells.values())), self.candidate.scores(self.clean)
        if hits is None or clean is None or not clean.any():
            return None
        return self._reading(relative_change(clean, hits, matched=self.matched), None)

    def hits(self) -> np.ndarray | None:
        """Of all cells, bool (C, N)."""
        return self._hits(list(self.cells.values()))

    def _hits(self, rows: Sequence[Row]) -> np.ndarray | None:
        found = [hits for row in rows if (hits := self.candidate.scores(row)) is not None]
        return np.stack(found) if len(found) == len(rows) else None

    def _reading(self, estimate: Estimate, scores: np.ndarray | None) -> Reading:
        bounds = estimate.value, estimate.low, estimate.high
        return Reading(*bounds, self.clean.count, self.said, self.said, self.clean.precision, scores)


def corrupted(candidate: Candidate, group: str) -> dict[str, tuple[int, Corrupted]]:
    """A group of corruptions where all were measured at the same severities, by photos, set and severities."""
    found: dict[str, dict[tuple[str, int], Row]] = {}
    for row in candidate.of_kind("corruption", "top-1"):
        if row.condition["corruption"] in GROUPS[group]:
            cell = row.condition["corruption"], row.condition["severity"]
            found.setdefault(f"{said_of_photos(row)}, {describe_set(row.condition)}", {})[cell] = row
    whole = {}
    for words, cells in found.items():
        common = _common_severities(cells, GROUPS[group])
        kept = {cell: row for cell, row in cells.items() if cell[1] in common}
        clean = _clean_beside(candidate, next(iter(cells.values())))
        if common and clean is not None:
            said = f"{words}, severities {' '.join(map(str, common))}"
            whole[said] = (clean.count, Corrupted(candidate, clean, kept, said))
    return whole


def describe_set(condition: Mapping[str, Any]) -> str:
    """A corrupted set, as its rows describe it: what can never be left out beside a number."""
    words = {"constants": "constants", "corruption_seed": "seed", "frost": "frost:", "saved": "saved as"}
    parts = [f"{word} {condition[key]}" for key, word in words.items() if key in condition]
    version = condition.get("corruptions_version", 1)
    return ", ".join([f"{condition['set']} corruptions", *parts, *([f"version {version}"] if version != 1 else [])])


def _common_severities(cells: Mapping[tuple[str, int], Row], names: Sequence[str]) -> list[int]:
    """The severities at which every corruption was measured."""
    severities = sorted({severity for _, severity in cells})
    return [severity for severity in severities if all((name, severity) in cells for name in names)]


def _clean_beside(candidate: Candidate, cell: Row) -> Row | None:
    """The clean photos that a cell is compared with: its own, else the most."""
    rows = candidate.of_kind("clean", "top-1")
    if cell.condition.get("set") == "published":
        return max(rows, key=lambda row: row.count, default=None)
    return next((row for row in rows if (row.dataset, row.count) == (cell.dataset, cell.count)), None)
