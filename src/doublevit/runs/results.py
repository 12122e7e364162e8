"""What was measured of a run, to be looked up and added to: "done already" is decided here, and nowhere else."""

import dataclasses

import msgspec
import numpy as np

from doublevit.errors import UserError
from doublevit.runs.folder import RunFolder
from doublevit.runs.predictions import Predictions
from doublevit.runs.row import ResultKey, Row


@dataclasses.dataclass(frozen=True)
class EvalResult:
    """The rows of one measurement, and the predictions that they were read from, where there are any."""

    rows: tuple[Row, ...]
    predictions: Predictions | None = None

    def row(self, metric: str) -> Row:
        """The row of a metric."""
        return next(row for row in self.rows if row.metric == metric)

    def correct(self, k: int = 1) -> np.ndarray:
        """Whether the true class of each image is among the first k, bool (N,)."""
        if self.predictions is None:
            raise ValueError("this measurement has no predictions")
        return self.predictions.correct(k)


@dataclasses.dataclass(frozen=True)
class Expected:
    """A measurement that is to be there: its key, a row of each of its `metrics`, and predictions if it has `labels`.

    `labels` int64 (N,) are those of the images, which predictions must have too.
    """

    key: ResultKey
    metrics: tuple[str, ...]
    labels: np.ndarray | None = None


class Results:
    """Rows and predictions of a run's folder; of no run, in memory.

    Args:
        run: where they are read from and added to.
        is_writer: whether this process reads and writes, as one of several does.
    """

    def __init__(self, run: RunFolder | None = None, *, is_writer: bool = True) -> None:
        self._run, self._is_writer = run, is_writer
        self.rows: list[Row] = run.rows() if run and is_writer else []
        self._predictions: list[tuple[ResultKey, Predictions]] = []

    def find(self, expected: Expected) -> EvalResult | None:
        """The newest measurement that is what was expected, if all of it is there: else it is to be measured."""
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
        """Add a measurement, measured again or not."""
        if not self._is_writer:
            return
        self.rows += result.rows
        if result.predictions is not None:
            self._save(result.rows[0], result.predictions)
        if self._run is not None:
            self._run.add_rows(result.rows)

    def add_once(self, result: EvalResult) -> None:
        """Add what is not there already, but for the seconds that it took."""
        known = [_untimed(row) for row in self.rows]
        new = tuple(row for row in result.rows if _untimed(row) not in known)
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
        """None where they are missing or damaged."""
        if self._run is None:
            return next((saved for key, saved in reversed(self._predictions) if key == row.key), None)
        try:
            path = self._run.predictions_path(row)
            return Predictions.load(path) if path.is_file() else None
        except UserError:
            return None


def _untimed(row: Row) -> Row:
    return msgspec.structs.replace(row, seconds=0.0)
