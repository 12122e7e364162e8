"""Results of a run, to be looked up and added to. Whether a measurement is done already is decided only here."""

import dataclasses

import msgspec
import numpy as np

from doublevit.errors import UserError
from doublevit.runs.folder import RunFolder
from doublevit.runs.predictions import Predictions
from doublevit.runs.row import ResultKey, Row


@dataclasses.dataclass(frozen=True)
class EvalResult:
    """Holds the rows of one measurement, and the predictions that they were computed from, if any."""

    rows: tuple[Row, ...]
    predictions: Predictions | None = None

    def row(self, metric: str) -> Row:
        """Return the row of a metric."""
        return next(row for row in self.rows if row.metric == metric)

    def correct(self, k: int = 1) -> np.ndarray:
        """Return whether the true class of each image is among the first k, bool (N,)."""
        if self.predictions is None:
            raise ValueError("this measurement has no predictions")
        return self.predictions.correct(k)


@dataclasses.dataclass(frozen=True)
class Expected:
    """Describes a complete measurement: its key, a row of each of its `metrics`, and predictions if `labels` are given.

    `labels` int64 (N,) are the true classes of the images; predictions must have the same.
    """

    key: ResultKey
    metrics: tuple[str, ...]
    labels: np.ndarray | None = None


class Results:
    """Holds the rows of a run and finds their predictions, in the run's folder, or in memory without a run.

    Args:
        run: the run whose folder is read from and added to.
        is_writer: whether this process reads and writes; of several processes exactly one does.
    """

    def __init__(self, run: RunFolder | None = None, *, is_writer: bool = True) -> None:
        self._run, self._is_writer = run, is_writer
        self.rows: list[Row] = run.rows() if run and is_writer else []
        self._predictions: list[tuple[ResultKey, Predictions]] = []

    def find(self, expected: Expected) -> EvalResult | None:
        """Return the newest measurement that is as expected; None if any part of it is missing."""
        newest = {row.metric: row for row in self.rows if row.key == expected.key}
        if not all(metric in newest for metric in expected.metrics):
            return None
        rows = tuple(newest[metric] for metric in expected.metrics)
        if expected.labels is None:
            return EvalResult(rows)
        predictions = self._predictions_of(rows[0])
        if predictions is None or not np.array_equal(predictions.labels, expected.labels):
            return None
        return EvalResult(rows, predictions)

    def add(self, result: EvalResult) -> None:
        """Append a measurement, whether or not it was measured before."""
        if not self._is_writer:
            return
        self.rows += result.rows
        if result.predictions is not None:
            self._save(result.rows[0], result.predictions)
        if self._run is not None:
            self._run.add_rows(result.rows)

    def add_once(self, result: EvalResult) -> None:
        """Append the rows that are not there already, whatever time they took."""
        old = [_untimed(row) for row in self.rows]
        new = tuple(row for row in result.rows if _untimed(row) not in old)
        if new:
            self.add(EvalResult(new, result.predictions))
        elif result.predictions is not None and self._predictions_of(result.rows[0]) is None:
            self._save(result.rows[0], result.predictions)

    def _save(self, row: Row, predictions: Predictions) -> None:
        if self._run is None:
            self._predictions.append((row.key, predictions))
        elif self._is_writer:
            predictions.save(self._run.predictions_path(row))

    def _predictions_of(self, row: Row) -> Predictions | None:
        """Return the predictions of a row's measurement; None if they are missing or damaged."""
        if self._run is None:
            return next((saved for key, saved in reversed(self._predictions) if key == row.key), None)
        try:
            path = self._run.predictions_path(row)
            return Predictions.load(path) if path.is_file() else None
        except UserError:
            return None


def _untimed(row: Row) -> Row:
    return msgspec.structs.replace(row, seconds=0.0)
