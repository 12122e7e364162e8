"""The task of a protocol with corruptions."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from doublevit.corrupted.config import GROUPS
from doublevit.corrupted.sets import CorruptedSet, condition_of, on_the_fly
from doublevit.data.dataset import Dataset
from doublevit.errors import UserError
from doublevit.jobs.evaluate import evaluate
from doublevit.jobs.options import Evaluate
from doublevit.jobs.study.cost import Cost
from doublevit.jobs.study.task import Known
from doublevit.results import Row
from doublevit.robustness.bench import find, subject_of


@dataclasses.dataclass(frozen=True)
class Corrupted:
    """Accuracy on `count` photos under every corruption at every severity, and the means over these."""

    options: Evaluate
    count: int
    name = "corruptions"

    def done(self, known: Known) -> bool:
        """See `Task`."""
        photos = known.photos(self.options)
        try:
            corrupted = on_the_fly(photos, self.options.robustness, known.cache)
        except UserError:  # such photos cannot be corrupted so; that is told when it is tried
            return False
        return self._has_cells(known, corrupted) and self._has_means(known, photos, corrupted.condition)

    def do(self) -> None:
        """See `Task`."""
        evaluate(self.options)

    def seconds(self, cost: Cost) -> float:
        """See `Task`."""
        each = (cost.recognise[self.options.top_k] + cost.corrupt[name] for name, _ in self.options.robustness.cells)
        return cost.opening + self.count * sum(each)

    def _has_cells(self, known: Known, corrupted: CorruptedSet) -> bool:
        cells = [(corrupted.cell(cell), condition_of(corrupted, cell)) for cell in self.options.robustness.cells]
        return all(find(known.run, known.rows, *cell, known.subject) for cell in cells)

    def _has_means(self, known: Known, photos: Dataset, made: Mapping[str, Any]) -> bool:
        """Means are written after the last cell, so a kill may come between."""

        def is_mean(row: Row) -> bool:
            said = dict(row.condition)
            if (said.get("kind"), row.metric) != ("corruptions", "mean top-1"):
                return False
            names = set(GROUPS.get(said["of"], said["of"].split(", ")))
            same_cells = names <= set(config.names) and said["severities"] == sorted(set(config.severities))
            same_photos = (row.dataset, row.count) == (photos.source, len(photos))
            return same_cells and same_photos and made.items() <= said.items() and subject_of(row) == known.subject

        config = self.options.robustness
        return any(map(is_mean, known.rows))
