"""How far a study is: read from its runs' folders, kept in its study.json."""

import datetime
import statistics
from collections.abc import Iterator
from pathlib import Path

from doublevit import data
from doublevit.data.config import DataConfig
from doublevit.data.dataset import Dataset
from doublevit.jobs.opening import subject_for
from doublevit.jobs.study.plan import Planned, Request, make_plan
from doublevit.report.study import Entry, Record, read_record, write_record
from doublevit.report.study.record import FILE
from doublevit.results import Row
from doublevit.robustness.bench import CLEAN, find

Measurements = dict[tuple[Path, str], Row]
"""Rows by run and sparse attention."""


class Book:
    """The cells of a study, what is measured of them, and how long their training took; nothing is written on opening.

    Raises:
        UserError: the run of a cell that is wanted was made by another recipe, or photos cannot be had.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.plan = make_plan(request)
        old = read_record(request.folder) if (request.folder / FILE).exists() else Record("", "", "")
        self.problems = {entry.cell: entry.problem for entry in old.entries if entry.problem}
        self.problems |= {planned.cell.name: planned.problem for planned in self.plan if planned.problem}
        self.seconds = old.seconds
        self.rows: Measurements = {}
        self._photos: dict[DataConfig, Dataset] = {}
        for planned in self.plan:
            self.look(planned)

    @property
    def wanted(self) -> list[Planned]:
        """The cells to do or done, without those that are not asked for."""
        return [planned for planned in self.plan if self.request.wants(planned.cell)]

    def look(self, planned: Planned) -> None:
        """Find in a trained cell's results what is measured already, with the weights it has now."""
        if planned.recipe is None or not planned.trained:
            return
        run, rows, photos = planned.run, planned.run.rows(), self.photos(planned.recipe.data)
        for top_k in planned.top_ks:
            subject = subject_for(run, planned.recipe, self.request.evaluation(run.path, top_k))
            found = find(run, rows, photos, CLEAN, subject)
            if found is not None:
                self.rows[run.path, top_k] = found.rows[0]

    def missing(self, planned: Planned) -> list[str]:
        """The sparse attentions that a cell is still to be evaluated with."""
        return [top_k for top_k in planned.top_ks if (planned.run.path, top_k) not in self.rows]

    def done(self, planned: Planned) -> bool:
        """Whether nothing is left to do."""
        return planned.trained and not self.missing(planned)

    def photos(self, config: DataConfig) -> Dataset:
        """The photos to evaluate on."""
        if config not in self._photos:
            self._photos[config] = self.request.evaluation(self.request.folder).subset(data.load(config)["val"])
        return self._photos[config]

    def work(self) -> tuple[int, int]:
        """How many trainings and evaluations are left, those that cells share counted once."""
        trainings = {planned.run.path for planned in self.wanted if planned.recipe and not planned.trained}
        evaluations = {(planned.run.path, top_k) for planned in self.wanted for top_k in self.missing(planned)}
        return len(trainings), len(evaluations)

    def time_left(self) -> datetime.timedelta | None:
        """By the mean of what is done so far; None where nothing is that could tell."""
        trainings, evaluations = self.work()
        trained = [
            self.seconds[name] for name in {p.run.path.name for p in self.plan if p.trained} & self.seconds.keys()
        ]
        spent = [row.seconds for row in self.rows.values()]
        if (trainings and not trained) or (evaluations and not spent):
            return None
        seconds = trainings * _mean(trained) + evaluations * _mean(spent)
        return datetime.timedelta(seconds=round(seconds))

    def record(self) -> Record:
        """All entries in order."""
        study = self.request.study
        entries = [entry for planned in self.plan for entry in self._entries(planned)]
        return Record(study.name, study.note, study.baseline, entries, self.seconds)

    def save(self) -> None:
        """Keep it in the study's folder."""
        write_record(self.request.folder, self.record())

    def _entries(self, planned: Planned) -> Iterator[Entry]:
        cell, run = planned.cell, planned.run.path
        for top_k in planned.top_ks or ("",):
            row = self.rows.get((run, top_k))
            problem = "" if row else self.problems.get(cell.name, "")
            yield Entry(cell.group, cell.name, run.name, top_k, row, problem)


def _mean(values: list[float]) -> float:
    return statistics.fmean(values) if values else 0.0
