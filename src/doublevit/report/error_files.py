"""An error analysis as files for other programs."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from doublevit.analysis.calibration import Calibration, ReliabilityBins
from doublevit.analysis.classes import ClassResult, Confusion
from doublevit.files import write_text
from doublevit.runs.row import Row
from doublevit.statistics import Estimate

CLASS_COLUMNS = ("class", "id", "name", "images", "correct", "accuracy", "low", "high", "predicted", "precision", "f1")
PAIR_COLUMNS = (
    "true",
    "true_id",
    "true_name",
    "predicted",
    "predicted_id",
    "predicted_name",
    "images",
    "fraction_of_true",
)


def write_classes(path: Path, results: Iterable[ClassResult], ids: Sequence[str], names: Sequence[str]) -> None:
    """Write a row for every class; fractions of zero images are left empty."""
    write_csv(path, CLASS_COLUMNS, (_class_cells(result, ids, names) for result in results))


def write_pairs(path: Path, pairs: Iterable[Confusion], ids: Sequence[str], names: Sequence[str]) -> None:
    """Write a row for every pair of classes of which one was taken for the other."""
    rows = (
        [cell for label in (pair.label, pair.predicted) for cell in (label, ids[label], names[label])]
        + [pair.images, pair.fraction]
        for pair in pairs
    )
    write_csv(path, PAIR_COLUMNS, rows)


def write_calibration(path: Path, calibration: Calibration, row: Row) -> None:
    """Write all numbers of the calibration, and the row of the measurement that they are of."""
    facts = msgspec.to_builtins(row)
    numbers = {
        "measurement": {key: value for key, value in facts.items() if key != "version"},
        "accuracy": dataclasses.asdict(Estimate(row.value, row.low, row.high)),
        "mean_confidence": calibration.confidence,
        "mean_negative_log_likelihood": calibration.negative_log_likelihood,
        "equal_width": _binned(calibration.equal_width),
        "equal_mass": _binned(calibration.equal_mass),
    }
    write_text(path, json.dumps(numbers, indent=1) + "\n")


def _class_cells(result: ClassResult, ids: Sequence[str], names: Sequence[str]) -> list[object]:
    fractions = (result.accuracy, result.low, result.high) if result.images else ("", "", "")
    of_answered = result.correct / result.predicted if result.predicted else ""
    f1 = result.f1 if result.images else ""
    label = result.label
    return [
        label,
        ids[label],
        names[label],
        result.images,
        result.correct,
        *fractions,
        result.predicted,
        of_answered,
        f1,
    ]


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Replace a file by a table; None is written as an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _binned(bins: ReliabilityBins) -> dict[str, Any]:
    largest, images = bins.mce
    return {
        "expected_calibration_error": dataclasses.asdict(bins.ece),
        "if_calibrated": {"mean": bins.ece_if_calibrated[0], "percentile_95": bins.ece_if_calibrated[1]},
        "maximum_calibration_error": {"value": largest, "images_in_its_bin": images},
        "edges": bins.edges.tolist(),
        "images": bins.counts.tolist(),
        "mean_confidence": _numbers(bins.confidence),
        "accuracy": _numbers(bins.accuracy),
    }


def _numbers(values: np.ndarray) -> list[float | None]:
    """Return values as JSON can hold them: None for NaN, the value of an empty bin."""
    return [None if math.isnan(value) else float(value) for value in values]
