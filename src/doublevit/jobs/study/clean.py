"""The task of every study: accuracy on clean photos."""

import dataclasses

from doublevit.jobs.evaluate import evaluate
from doublevit.jobs.options import Evaluate
from doublevit.jobs.study.cost import Cost
from doublevit.jobs.study.task import Known
from doublevit.results import Row
from doublevit.robustness.bench import CLEAN, find


@dataclasses.dataclass(frozen=True)
class Clean:
    """Accuracy on `count` photos as they are, with one sparse attention."""

    options: Evaluate
    count: int
    name = "clean"

    def row(self, known: Known) -> Row | None:
        """Its first row, if it is there."""
        photos, subject = known.photos(self.options), known.subject_with(self.options.top_k)
        found = find(known.run, known.rows, photos, CLEAN, subject)
        return found.rows[0] if found else None

    def done(self, known: Known) -> bool:
        """See `Task`."""
        return self.row(known) is not None

    def do(self) -> None:
        """See `Task`."""
        evaluate(self.options)

    def seconds(self, cost: Cost) -> float:
        """See `Task`."""
        return cost.opening + self.count * cost.recognise[self.options.top_k]
