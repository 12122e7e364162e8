"""Tables of what networks get wrong: every class, with accuracy (recall), precision and F1; confusions; calibration."""

from collections.abc import Iterator, Mapping, Sequence

from doublevit.analysis.calibration import BINS, Calibration, ReliabilityBins
from doublevit.analysis.classes import ClassResult, Confusion, class_results, labels_and_predictions, worst_first
from doublevit.analysis.comparison import MAX_DETAILED_RUNS, Comparison
from doublevit.analysis.evaluated import EvaluatedModel, Method
from doublevit.report.table import Cell, Column, Table, fraction_cell, number_cell, text_cell, text_column
from doublevit.runs.model_info import FILE, read_info
from doublevit.statistics import wilson_interval

MOST_CLASSES = 200
"""As many classes are in a table, the worst first; `doublevit errors` writes all of them."""
COLUMNS = (
    text_column("class"),
    Column("images", "images"),
    Column("right", "right"),
    Column("accuracy, %", "accuracy"),
    Column("predicted", "predicted"),
    Column("precision, %", "precision"),
    Column("F1, %", "f1"),
)
WORST_NOTE = "the worst of many classes look worse than they are"


def tables_by_class(comparison: Comparison) -> Iterator[Table]:
    """Yield a table of the classes for each of the first networks with predictions on clean images."""
    for method in comparison.distinct_methods[:MAX_DETAILED_RUNS]:
        if table := _method_table(method):
            yield table


def _method_table(method: Method) -> Table | None:
    measurement = method.first.clean_predictions()
    if measurement is None:
        return None
    labels, predicted = labels_and_predictions(measurement[1])
    names = _class_names(method.first, 1 + int(max(labels.max(), predicted.max())))
    results = worst_first(class_results(labels, predicted, len(names)))
    rows = tuple(_row(result, names) for result in results[:MOST_CLASSES])
    seeds = ", of the first seed" if len(method.members) > 1 else ""
    left_out = f" The {MOST_CLASSES} worst of {len(results):,} classes." if len(results) > MOST_CLASSES else ""
    caption = (
        f"Clean images, n = {len(labels):,}{seeds}, the worst classes first, which look worse than they are; Wilson's"
        f" 95 % intervals. Accuracy: of a class's images; precision: of the images taken for it.{left_out}"
    )
    return Table(f"by-class-{method.label}", f"{method.label}: by class", COLUMNS, rows, caption)


def _class_names(model: EvaluatedModel, least: int) -> Sequence[str]:
    """Return the names of a run's classes, from its folder; numbers where it does not tell them."""
    names = read_info(model.run.path).class_names if (model.run.path / FILE).is_file() else ()
    return names if len(names) >= least else [f"class {number}" for number in range(least)]


def _row(result: ClassResult, names: Sequence[str]) -> tuple[Cell, ...]:
    precision = Cell("-")
    if result.predicted:
        interval = wilson_interval(result.correct, result.predicted)
        precision = fraction_cell(result.correct / result.predicted, *interval, result.predicted)
    return (
        text_cell(names[result.label]),
        number_cell(result.images),
        number_cell(result.correct),
        fraction_cell(result.accuracy, result.low, result.high, result.images),
        number_cell(result.predicted),
        precision,
        Cell(f"{100 * result.f1:.1f}", value=result.f1),
    )


def class_table(
    name: str, title: str, results: Sequence[ClassResult], names: Sequence[str], taken_for: Mapping[int, Confusion]
) -> Table:
    """Return the accuracy of some classes; `taken_for` has for each the class that it was most often taken for."""
    counts = (Column("right", "right"), Column("images", "images"), Column("accuracy, %", "accuracy"))
    heads = (text_column("class"), *counts, text_column("most taken for", "taken_for"))
    rows = tuple(_class_row(result, names, taken_for.get(result.label)) for result in results)
    return Table(name, title, heads, rows, WORST_NOTE if name.startswith("worst") else "")


def pair_table(pairs: Sequence[Confusion], names: Sequence[str]) -> Table:
    """Return pairs of true and predicted classes, and how many images each has."""
    numbers = (Column("images", "images"), Column("of the class, %", "fraction_of_true"))
    heads = (text_column("true class", "true"), text_column("taken for", "predicted"), *numbers)
    rows = tuple(
        (
            text_cell(names[pair.label]),
            text_cell(names[pair.predicted]),
            number_cell(pair.images),
            _percent(pair.fraction),
        )
        for pair in pairs
    )
    return Table("confusions", "Most confused", heads, rows)


def calibration_table(calibration: Calibration) -> Table:
    """Return calibration errors with intervals, mean confidence and negative log-likelihood."""
    heads = (text_column("", "measure"), Column("%", "value"), text_column("if calibrated", "by_chance"))
    largest, images = calibration.equal_width.mce
    rows = (
        (text_cell("expected error, equal width"), *_error(calibration.equal_width)),
        (text_cell("expected error, equal mass"), *_error(calibration.equal_mass)),
        (text_cell(f"largest error (bin of {images:,})"), _percent(largest), Cell()),
        (text_cell("mean confidence"), _percent(calibration.confidence), Cell()),
        (
            text_cell("confidence less accuracy"),
            _percent(calibration.confidence - calibration.accuracy, "+.1f"),
            Cell(),
        ),
        (text_cell("negative log-likelihood, nats"), number_cell(calibration.negative_log_likelihood, ".3f"), Cell()),
    )
    caption = f"{BINS} bins; if calibrated: by chance alone, mean and 95th percentile"
    return Table("calibration", "Calibration", heads, rows, caption)


def _class_row(result: ClassResult, names: Sequence[str], pair: Confusion | None) -> tuple[Cell, ...]:
    taken = text_cell(f"{names[pair.predicted]} ({pair.images})" if pair else "")
    counts = number_cell(result.correct), number_cell(result.images)
    return (text_cell(names[result.label]), *counts, fraction_cell(result.accuracy, result.low, result.high), taken)


def _error(bins: ReliabilityBins) -> tuple[Cell, Cell]:
    error, (mean, most) = bins.ece, bins.ece_if_calibrated
    return fraction_cell(error.value, error.low, error.high), text_cell(f"{100 * mean:.1f} (up to {100 * most:.1f})")


def _percent(value: float, form: str = ".1f") -> Cell:
    return Cell(format(100 * value, form), value=value)
