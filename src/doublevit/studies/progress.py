"""The progress of a study: read from the folders of its runs, saved in study.json, shown as a table."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from doublevit import data
from doublevit.data.config import DataConfig
from doublevit.data.dataset import Splits
from doublevit.errors import UserError
from doublevit.models.top_k import recorded
from doublevit.recipes.recipe import with_absolute_paths
from doublevit.runs.study_record import FILE, StudyEntry, StudyRecord, read_record, write_record
from doublevit.studies.plan import Measurement, PlannedCell, StudyRequest, TrainedCell, make_plan


class StudyProgress:
    """Tracks the cells of a study, their measurements, and how long training took; creating it writes nothing.

    Raises:
        UserError: the run of a cell that is asked for was made by another recipe, or images cannot be loaded.
    """

    def __init__(self, request: StudyRequest) -> None:
        self.request = request
        self.plan = make_plan(request)
        entries, self.seconds = _read_before(request.folder)
        self.problems = {(entry.cell, entry.seed): entry.problem for entry in entries if entry.problem}
        self.problems |= {
            (planned.cell.name, planned.seed): planned.problem for planned in self.plan if planned.problem
        }
        self._done: set[Measurement] = set()
        self._splits: dict[DataConfig, Splits] = {}
        for planned in self.plan:
            self.refresh(planned)

    @property
    def wanted(self) -> list[PlannedCell]:
        """The cells that are asked for, done or not."""
        return [planned for planned in self.plan if self.request.wants(planned.cell)]

    def refresh(self, planned: PlannedCell) -> None:
        """Look up in a trained cell's results what is measured already, with its present weights."""
        if planned.recipe is None or not planned.trained:
            return
        trained = TrainedCell(planned.run, planned.recipe, self.splits(planned.recipe.data)["val"])
        for measurement in self.measurements(planned):
            if measurement.is_done(trained):
                self._done.add(measurement)
            else:
                self._done.discard(measurement)

    def measurements(self, planned: PlannedCell) -> list[Measurement]:
        """Return all measurements of a cell, done or not; none if it has no recipe."""
        if planned.recipe is None:
            return []
        try:
            count = len(self.splits(planned.recipe.data)["val"])
        except UserError:
            if planned.trained:
                raise
            return []  # its training will say so
        return list(planned.measurements(self.request, count))

    def missing(self, planned: PlannedCell) -> list[Measurement]:
        """Return the measurements of a cell that are not done."""
        return [measurement for measurement in self.measurements(planned) if measurement not in self._done]

    def done(self, planned: PlannedCell) -> bool:
        """Return whether a cell is trained and measured."""
        return planned.trained and not self.missing(planned)

    def require_images(self) -> None:
        """Raise `UserError` if the images of the base recipe cannot be loaded: all cells would fail of it."""
        config = with_absolute_paths(self.request.recipe).data
        self.request.options(self.request.folder).subset(self.splits(config)["val"])

    def splits(self, config: DataConfig) -> Splits:
        """Return training and validation images, loaded once for each configuration."""
        if config not in self._splits:
            self._splits[config] = data.load(config)
        return self._splits[config]

    def record(self) -> StudyRecord:
        """Return the record with all entries, cell by cell, in the study's order."""
        study = self.request.study
        entries = tuple(
            entry
            for cell in study.cells
            for planned in self.plan
            if planned.cell.name == cell.name
            for entry in self._entries(planned)
        )
        return StudyRecord(
            name=study.name, note=study.note, baseline=study.baseline, entries=entries, seconds=self.seconds
        )

    def save(self) -> None:
        """Write the record into the study's folder."""
        write_record(self.request.folder, self.record())

    def _entries(self, planned: PlannedCell) -> Iterator[StudyEntry]:
        cell, run = planned.cell, planned.run.path
        problem = "" if self.done(planned) else self.problems.get((cell.name, planned.seed), "")
        for top_k in planned.top_ks or ("none",):
            clean = Measurement("clean", self.request.options(run, top_k))
            yield StudyEntry(
                group=cell.group,
                cell=cell.name,
                run=run.name,
                top_k=recorded(top_k),
                measured=planned.recipe is not None and clean in self._done,
                problem=problem,
                seed=planned.seed,
                label=cell.label,
            )


def _read_before(folder: Path) -> tuple[tuple[StudyEntry, ...], dict[str, float]]:
    """Return the entries and seconds of the study's record; none if the study is new."""
    if not (folder / FILE).exists():
        return (), {}
    record = read_record(folder)
    return record.entries, dict(record.seconds)


@dataclasses.dataclass
class TimeEstimate:
    """Estimates the time that is left of a study, from the cells that were done in this process."""

    seconds: list[float] = dataclasses.field(default_factory=list)

    def left(self, cells: int) -> float | None:
        """Return the seconds that `cells` more cells will take; None before a cell is done."""
        return cells * sum(self.seconds) / len(self.seconds) if self.seconds else None


def summary(progress: StudyProgress) -> Table:
    """Return a table with a row for each cell that is asked for; the caption tells what is left to do."""
    study = progress.request.study
    table = Table(title=escape(f"{study.name}: {study.note}"), caption=_left(progress), caption_justify="left")
    for head in ("cell", "training", "measured", "to measure"):
        table.add_column(head, overflow="fold")
    for planned in progress.wanted:
        measurements, missing = progress.measurements(planned), progress.missing(planned)
        measured = f"{len(measurements) - len(missing)} of {len(measurements)}"
        to_do = ", ".join(dict.fromkeys(measurement.name for measurement in missing))
        table.add_row(*map(escape, (planned.name, _training(progress, planned), measured, to_do)))
    return table


def _training(progress: StudyProgress, planned: PlannedCell) -> str:
    name = planned.run.path.name
    problem = "" if progress.done(planned) else progress.problems.get((planned.cell.name, planned.seed))
    if planned.trained:
        state = f"done in {progress.seconds[name]:,.0f} s" if name in progress.seconds else "done"
    elif planned.recipe is None or planned.epochs is None:
        state = "to do"
    else:
        state = f"{planned.epochs} of {planned.recipe.train.epochs} epochs"
    shared = "" if name == planned.name else f", shared with {name}"
    return f"{state}{shared}" + (f"; failed: {problem}" if problem else "")


def _left(progress: StudyProgress) -> str:
    trainings = {planned.run.path for planned in progress.wanted if planned.recipe and not planned.trained}
    measurements = {measurement for planned in progress.wanted for measurement in progress.missing(planned)}
    if not trainings and not measurements:
        return "nothing is left to do"
    return f"to do: {len(trainings)} trainings, {len(measurements)} measurements"
