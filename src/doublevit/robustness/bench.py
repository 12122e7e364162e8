"""Measurements of one model on data set after data set, each kept at once, so that a long evaluation can be stopped."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast_object_list

from doublevit.adapt.adaptation import Adaptation
from doublevit.adapt.config import AdaptConfig
from doublevit.corrupted.sets import CorruptedSet, condition_of
from doublevit.data.dataset import Dataset
from doublevit.data.tiny_imagenet_c import Cell
from doublevit.errors import UserError
from doublevit.evaluate import TOP, Measured, Subject, accuracy_rows, predict, predict_adapted
from doublevit.models.classifier import Classifier
from doublevit.processes import this_process
from doublevit.results import Predictions, Row
from doublevit.run_folder import RunFolder

CLEAN = {"kind": "clean"}


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Rows of one condition, and of each metric whether it was met, bool (N,), for every sample."""

    rows: list[Row]
    hits: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Bench:
    """One set of weights, `subject` to measurements; with an adaptation, adapted to each data set alone."""

    run: RunFolder
    model: Classifier
    subject: Subject
    dtype: torch.dtype
    batch_size: int
    adaptation: Adaptation | None = None

    def adapting(self, config: AdaptConfig, seed: int) -> "Bench":
        """The same weights with batch norm adapted to what is measured, as all rows will say.

        Raises:
            UserError: the model has no batch norm.
        """
        adaptation = Adaptation(config, seed)
        subject = dataclasses.replace(self.subject, adapted=adaptation.describe(self.model))
        return dataclasses.replace(self, subject=subject, adaptation=adaptation)

    def measure(self, dataset: Dataset, condition: Mapping[str, Any] = CLEAN, title: str = "evaluating") -> Measurement:
        """Accuracy on a data set, added to the run's results."""
        if self.adaptation is None:
            measured = predict(self.model, dataset, self.dtype, self.batch_size, title=title)
        else:
            measured = predict_adapted(self.model, dataset, self.dtype, self.adaptation, self.batch_size, title)
        return self.keep(measured, condition)

    def keep(self, measured: Measured, condition: Mapping[str, Any] = CLEAN) -> Measurement:
        """Add what was measured to the run's results."""
        rows = accuracy_rows(measured, self.subject, condition)
        if this_process().is_main_process:
            self.run.add_results(rows, measured.predictions)
        return _measurement(rows, measured.predictions)

    def measure_cells(self, corrupted: CorruptedSet, cells: Sequence[Cell]) -> dict[Cell, Measurement]:
        """Accuracy on cells of a corrupted set; those measured before, stopped or not, are not measured again."""
        sets = {cell: (corrupted.cell(cell), condition_of(corrupted, cell)) for cell in cells}
        found = dict(zip(cells, self.known(sets.values()), strict=True))
        for number, (cell, (dataset, condition)) in enumerate(sets.items(), 1):
            title = f"{number}/{len(cells)} {cell[0]} {cell[1]}"
            found[cell] = found[cell] or self.measure(dataset, condition, title)
        return {cell: measurement for cell, measurement in found.items() if measurement is not None}

    def known(self, sets: Iterable[tuple[Dataset, Mapping[str, Any]]]) -> list[Measurement | None]:
        """What was measured before of each data set under its condition; told to all processes by the first."""
        rows: list[Row] = []
        if this_process().is_main_process:
            rows = self.run.rows()
        found = [find(self.run, rows, *dataset_and_condition, self.subject) for dataset_and_condition in sets]
        return list(broadcast_object_list(found))


def find(
    run: RunFolder, rows: Sequence[Row], dataset: Dataset, condition: Mapping[str, Any], subject: Subject | None = None
) -> Measurement | None:
    """The newest measurement among a run's rows on these data, of `subject` if given, if its predictions were kept."""
    wanted = (dataset.source, len(dataset), dict(condition))
    fitting = [row for row in rows if (row.dataset, row.count, dict(row.condition)) == wanted]
    if not fitting:
        return None
    subject = subject or subject_of(fitting[-1])
    newest = {row.metric: row for row in fitting if subject_of(row) == subject}
    if not newest or not (path := run.predictions(next(iter(newest.values())))).is_file():
        return None
    try:
        predictions = Predictions.load(path)
    except UserError:
        return None  # to be measured again
    whole = newest.keys() == {f"top-{k}" for k in TOP if k <= predictions.classes.shape[1]}
    same_photos = np.array_equal(predictions.labels, dataset.labels)  # as far as labels can tell
    return _measurement(list(newest.values()), predictions) if whole and same_photos else None


def subject_of(row: Row) -> Subject:
    """Whose row it is."""
    return Subject(**{field.name: getattr(row, field.name) for field in dataclasses.fields(Subject)})


def _measurement(rows: list[Row], predictions: Predictions) -> Measurement:
    return Measurement(rows, {row.metric: predictions.hits(int(row.metric.removeprefix("top-"))) for row in rows})
