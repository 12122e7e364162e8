"""How far a study is: read from its runs' folders, kept in its study.json."""

from collections.abc import Iterator
from pathlib import Path

from doublevit import data
from doublevit.data.config import DataConfig
from doublevit.data.dataset import Dataset, Splits
from doublevit.errors import UserError
from doublevit.jobs.opening import subject_for
from doublevit.jobs.options import Measuring
from doublevit.jobs.study.clean import Clean
from doublevit.jobs.study.plan import Planned, Request, make_plan
from doublevit.jobs.study.task import Known, Task
from doublevit.jobs.study.tasks import make_tasks
from doublevit.jobs.train import with_absolute_paths
from doublevit.report.study import Entry, Record, read_record, write_record
from doublevit.report.study.record import FILE
from doublevit.results import Row


class Book:
    """The cells of a study, what is measured of them, and how long their training took; nothing is written on opening.

    Raises:
        UserError: the run of a cell that is wanted was made by another recipe, or photos cannot be had.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.plan = make_plan(request)
        old = read_record(request.folder) if (request.folder / FILE).exists() else Record("", "", "")
        self.problems = {(entry.cell, entry.seed): entry.problem for entry in old.entries if entry.problem}
        self.problems |= {(each.cell.name, each.seed): each.problem for each in self.plan if each.problem}
        self.seconds = old.seconds
        self.rows: dict[tuple[Path, str], Row] = {}
        """On clean photos, by run and sparse attention."""
        self._done: set[Task] = set()
        self._splits: dict[DataConfig, Splits] = {}
        self._photos: dict[tuple[DataConfig, int | None, int | None], Dataset] = {}
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
        config = planned.recipe.data
        subject = subject_for(planned.run, planned.recipe, self.request.evaluation(planned.run.path))
        rows = planned.run.rows()
        known = Known(planned.run, rows, subject, lambda asked: self.photos(config, asked), config.cache)
        for task in self.tasks(planned):
            (self._done.add if task.done(known) else self._done.discard)(task)
            if isinstance(task, Clean) and (row := task.row(known)):
                self.rows[planned.run.path, task.options.top_k] = row

    def tasks(self, planned: Planned) -> list[Task]:
        """All that a cell is to be measured with, done or not; nothing where it has no recipe."""
        if planned.recipe is None:
            return []
        try:
            whole = len(self.splits(planned.recipe.data)["val"])
        except UserError:
            if planned.trained:
                raise
            return []  # its training will say so
        return list(make_tasks(self.request, planned, whole))

    def missing(self, planned: Planned) -> list[Task]:
        """What a cell is still to be measured with."""
        return [task for task in self.tasks(planned) if task not in self._done]

    def done(self, planned: Planned) -> bool:
        """Whether nothing is left to do."""
        return planned.trained and not self.missing(planned)

    def require_photos(self) -> None:
        """Raise `UserError` where the base's photos cannot be had: all cells would complain of it."""
        config = with_absolute_paths(self.request.recipe).data
        self.photos(config, self.request.evaluation(self.request.folder))

    def splits(self, config: DataConfig) -> Splits:
        """Photos to train on and to validate."""
        if config not in self._splits:
            self._splits[config] = data.load(config)
        return self._splits[config]

    def photos(self, config: DataConfig, asked: Measuring) -> Dataset:
        """The validation photos that are asked for."""
        key = (config, asked.samples, asked.photos)
        if key not in self._photos:
            self._photos[key] = asked.subset(self.splits(config)["val"])
        return self._photos[key]

    def record(self) -> Record:
        """All entries, cell by cell, in the study's order."""
        study = self.request.study
        entries = [
            entry
            for cell in study.cells
            for planned in self.plan
            if planned.cell.name == cell.name
            for entry in self._entries(planned)
        ]
        return Record(study.name, study.note, study.baseline, entries, self.seconds)

    def save(self) -> None:
        """Keep it in the study's folder."""
        write_record(self.request.folder, self.record())

    def _entries(self, planned: Planned) -> Iterator[Entry]:
        cell, run = planned.cell, planned.run.path
        problem = "" if self.done(planned) else self.problems.get((cell.name, planned.seed), "")
        for top_k in planned.top_ks or ("",):
            row = self.rows.get((run, top_k))
            yield Entry(cell.group, cell.name, run.name, top_k, row, problem, planned.seed, cell.label)
