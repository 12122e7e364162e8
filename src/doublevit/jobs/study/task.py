"""What a task of a study is, and what it can ask of a run."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from doublevit.data.dataset import Dataset
from doublevit.evaluate import Subject
from doublevit.jobs.options import Measuring
from doublevit.jobs.study.cost import Cost
from doublevit.models.top_k import alike
from doublevit.results import Row
from doublevit.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Known:
    """A trained run: its rows, its weights as they are now (`subject`), and the photos that options ask for."""

    run: RunFolder
    rows: list[Row]
    subject: Subject
    photos: Callable[[Measuring], Dataset]
    cache: Path

    def subject_with(self, top_k: str) -> Subject:
        """The same weights with a sparse attention."""
        return dataclasses.replace(self.subject, top_k=alike(top_k))


class Task(Protocol):
    """Something to measure of a run; two that are equal are the same work."""

    @property
    def name(self) -> str:
        """Which kind of work it is."""

    def done(self, known: Known) -> bool:
        """Whether the run's results have all of it, of the weights that the run has now and of these very photos."""

    def do(self) -> None:
        """Measure what the results do not have of it.

        Raises:
            UserError: something that it takes is not there, or does not fit.
        """

    def seconds(self, cost: Cost) -> float:
        """About how long all of it takes."""
