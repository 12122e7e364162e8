"""Every class of a network: accuracy (recall) and precision with their intervals, and F1."""

from collections.abc import Iterator, Sequence

from doublevit.analysis.classes import ClassResult, class_results, labels_and_predictions, worst_first
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


def tables_by_class(comparison: Comparison) -> Iterator[Table]:
    """Yield a table of the classes for each of the first networks with predictions on clean images."""
    for method in comparison.distinct_methods[:MAX_DETAILED_RUNS]:
        if table := _table(method):
            yield table


def _table(method: Method) -> Table | None:
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
