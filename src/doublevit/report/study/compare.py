"""Every measurement of a study, paired with the baseline's on the same photos."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from doublevit.errors import UserError
from doublevit.report.study.record import Entry, Record
from doublevit.results import Predictions, Row
from doublevit.run_folder import RunFolder
from doublevit.statistics import Estimate, Spread, holm, mcnemar, over_seeds, paired_difference


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a study's table: accuracies and differences in shares, or a remark on why there are none.

    `p` is McNemar's, `corrected` the same by Holm's method over all comparisons of the study. There may be both
    accuracies and a remark: on what else was to be measured.
    """

    entry: Entry
    difference: Estimate | None = None
    p: float | None = None
    corrected: float | None = None
    remark: str = ""


def compare(folder: Path, record: Record) -> list[Line]:
    """A line for each entry, in order. Measurements that several cells share are counted once in the correction."""
    bases = {entry.seed: entry for entry in reversed(record.entries) if entry.cell == record.baseline}
    lines = [_line(folder, entry, bases.get(entry.seed)) for entry in record.entries]
    compared = {_measurement(line.entry): line.p for line in lines if line.p is not None}
    corrected = dict(zip(compared, holm(list(compared.values())), strict=True))
    return [dataclasses.replace(line, corrected=corrected.get(_measurement(line.entry))) for line in lines]


@dataclasses.dataclass(frozen=True)
class Summary:
    """A cell, evaluated with one sparse attention, over its seeds: accuracy and difference as means of networks."""

    entry: Entry
    """The first seed's."""
    top1: Spread
    difference: Spread | None


def over_all_seeds(lines: Sequence[Line]) -> list[Summary]:
    """Of every cell and sparse attention that was measured with two seeds or more; those of a shared run count once."""
    together: dict[tuple[str, str], dict[str, Line]] = {}
    for line in lines:
        if line.entry.row is not None:
            together.setdefault((line.entry.cell, line.entry.top_k), {}).setdefault(line.entry.run, line)
    return [_summary(list(some.values())) for some in together.values() if len(some) > 1]


def _summary(lines: list[Line]) -> Summary:
    accuracies = [line.entry.row.value for line in lines if line.entry.row]
    gaps = [line.difference.value for line in lines if line.difference]
    difference = over_seeds(gaps) if len(gaps) == len(lines) else None
    return Summary(lines[0].entry, over_seeds(accuracies), difference)


def _line(folder: Path, entry: Entry, base: Entry | None) -> Line:
    failed = f"failed: {entry.problem}" if entry.problem else ""
    if entry.row is None:
        return Line(entry, remark=failed or "not done yet")
    if base is None or base.row is None:
        return Line(entry, remark="the baseline is not done yet")
    if entry is base or _measurement(entry) == _measurement(base):
        return Line(entry, remark=failed or ("the baseline" if entry is base else "the baseline's own run"))
    try:
        pair = _hits_on_same_photos(_saved(folder, entry, entry.row), _saved(folder, base, base.row))
    except UserError as error:
        return Line(entry, remark=str(error))
    return Line(entry, paired_difference(*pair), mcnemar(*pair), remark=failed)


def _measurement(entry: Entry) -> tuple[str, str]:
    return entry.run, entry.top_k


def _saved(folder: Path, entry: Entry, row: Row) -> tuple[Row, Predictions]:
    path = RunFolder(folder / entry.run).predictions(row)
    if not path.is_file():
        raise UserError(f"the predictions of {entry.cell} are gone; give the study's command again")
    return row, Predictions.load(path)


def _hits_on_same_photos(one: tuple[Row, Predictions], base: tuple[Row, Predictions]) -> list[np.ndarray]:
    """Of both, bool (N,); as far as the names of data sets and labels can tell."""
    (row, predictions), (base_row, base_predictions) = one, base
    same = (row.dataset, row.count) == (base_row.dataset, base_row.count)
    if not same or not np.array_equal(predictions.labels, base_predictions.labels):
        raise UserError(f"other photos than the baseline's: {row.count:,} of {row.dataset}")
    return [predictions.hits(1), base_predictions.hits(1)]
