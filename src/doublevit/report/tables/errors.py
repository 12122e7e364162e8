"""An analysis of errors: classes, confusions, calibration."""

from collections.abc import Mapping, Sequence

from doublevit.analysis.calibration import BINS, Calibration, ReliabilityBins
from doublevit.analysis.classes import ClassResult, Confusion
from doublevit.report.table import Cell, Column, Table, fraction, number, text, words

WORST_NOTE = "the worst of many classes look worse than they are"


def class_table(
    name: str, title: str, results: Sequence[ClassResult], names: Sequence[str], taken: Mapping[int, Confusion]
) -> Table:
    """Accuracy of some classes; `taken` says which other each was most often taken for."""
    counts = (Column("right", "right"), Column("images", "images"), Column("accuracy, %", "accuracy"))
    heads = (words("class"), *counts, words("most taken for", "taken_for"))
    rows = tuple(_class_row(result, names, taken.get(result.label)) for result in results)
    return Table(name, title, heads, rows, WORST_NOTE if name.startswith("worst") else "")


def pair_table(pairs: Sequence[Confusion], names: Sequence[str]) -> Table:
    """Classes and what they were taken for."""
    numbers = (Column("images", "images"), Column("of the class, %", "fraction_of_true"))
    heads = (words("true class", "true"), words("taken for", "predicted"), *numbers)
    rows = tuple(
        (text(names[pair.label]), text(names[pair.predicted]), number(pair.images), _percent(pair.fraction))
        for pair in pairs
    )
    return Table("confusions", "Most confused", heads, rows)


def calibration_table(found: Calibration) -> Table:
    """Calibration errors with intervals, and what stands beside them."""
    heads = (words("", "measure"), Column("%", "value"), words("if calibrated", "by_chance"))
    largest, images = found.equal_width.mce
    rows = (
        (text("expected error, equal width"), *_error(found.equal_width)),
        (text("expected error, equal mass"), *_error(found.equal_mass)),
        (text(f"largest error (bin of {images:,})"), _percent(largest), Cell()),
        (text("mean confidence"), _percent(found.confidence), Cell()),
        (text("confidence less accuracy"), _percent(found.confidence - found.accuracy, "+.1f"), Cell()),
        (text("negative log-likelihood, nats"), number(found.negative_log_likelihood, ".3f"), Cell()),
    )
    caption = f"{BINS} bins; if calibrated: by chance alone, mean and 95th percentile"
    return Table("calibration", "Calibration", heads, rows, caption)


def _class_row(result: ClassResult, names: Sequence[str], pair: Confusion | None) -> tuple[Cell, ...]:
    taken = text(f"{names[pair.predicted]} ({pair.images})" if pair else "")
    counts = number(result.correct), number(result.images)
    return (text(names[result.label]), *counts, fraction(result.accuracy, result.low, result.high), taken)


def _error(bins: ReliabilityBins) -> tuple[Cell, Cell]:
    error, (mean, most) = bins.ece, bins.ece_if_calibrated
    return fraction(error.value, error.low, error.high), text(f"{100 * mean:.1f} (up to {100 * most:.1f})")


def _percent(value: float, form: str = ".1f") -> Cell:
    return Cell(format(100 * value, form), value=value)
