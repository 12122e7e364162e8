"""Accuracy on corrupted images: the paper's Table 1, by severity, and corruption by corruption."""

from collections.abc import Sequence

from doublevit.analysis.comparison import Comparison, CorruptedComparison
from doublevit.analysis.descriptions import describe_source
from doublevit.analysis.evaluated import Method
from doublevit.analysis.scores import Score
from doublevit.report.table import Cell, Column, Table, fraction_cell, points_cell, text_cell, text_column
from doublevit.report.tables.cells import bold_note, method_cell, score_cells
from doublevit.runs.conditions import CorruptionMean
from doublevit.runs.row import Row

MOST_COLUMNS = 6
"""A group of more corruptions has only a column for their mean, not one for each."""
ALEXNET_CAPTION = (
    " mCE: mean over corruptions of the error summed over severities, divided by AlexNet's on ImageNet-C as published"
    " (Hendrycks and Dietterich 2019; ResNet-50: 76.7; less is better). These images were corrupted here by the same"
    " constants, in memory, where those of ImageNet-C were saved as JPEG."
)
SHOWS = {"mean": fraction_cell, "relative": points_cell}
"""What makes the cell of a value, by the first word of its metric."""


def robustness_table(comparison: Comparison, corrupted: CorruptedComparison) -> Table:
    """Return a table of clean accuracy, each corruption (of a small group), average, % change and relative error."""
    group, base = corrupted.group, comparison.methods[comparison.baseline]
    names = group.corruptions if len(group.corruptions) <= MOST_COLUMNS else ()
    columns = [(Column("clean", "clean"), score_cells(corrupted.clean))]
    columns += [(Column(_spaced(name), name), score_cells(corrupted.of_corruption(name))) for name in names]
    columns.append((Column("average", "average"), score_cells(corrupted.average)))
    columns.append((Column("% change", "change"), score_cells(corrupted.change, points_cell)))
    if corrupted.scores[corrupted.baseline] and sum(map(bool, corrupted.scores)) > 1:
        head = Column(f"error / {base.label}'s", "relative_error")
        columns.append((head, score_cells(corrupted.mean_corruption_error, ratio_cell)))
    imagenet_c = any(corrupted.alexnet_relative_error.scores)
    if imagenet_c:
        columns.append((Column("mCE, %", "mce"), score_cells(corrupted.alexnet_relative_error)))
    measured = sum(map(bool, corrupted.scores))
    relative = (
        " Relative error: mean over corruptions of the error summed over severities, divided by"
        f" {base.label}'s (1 is equal, less is better)."
    )
    caption = (
        f"Accuracy in percent, with 95 % intervals; {_describe(corrupted)} % change: of the average against the clean"
        f" accuracy, as a fraction of that (the paper's measure).{relative if measured > 1 else ''}"
        f"{ALEXNET_CAPTION if imagenet_c else ''}{bold_note(measured, 'a paired test')}"
    )
    return _table(f"robustness-{group.name}", f"Robustness to {group.title}", comparison, corrupted, columns, caption)


def severity_table(comparison: Comparison, corrupted: CorruptedComparison) -> Table:
    """Return a table of the mean over the corruptions at each severity."""
    columns = [(Column("clean", "clean"), score_cells(corrupted.clean))]
    columns += [
        (head, score_cells(corrupted.at_severity(severity)))
        for head, severity in zip(_severity_heads(corrupted.severities), corrupted.severities, strict=True)
    ]
    name, title = f"severity-{corrupted.group.name}", f"By severity: mean over {corrupted.group.title}"
    return _table(name, title, comparison, corrupted, columns, _describe(corrupted))


def cell_tables(comparison: Comparison) -> list[Table]:
    """Return tables of each corruption at each severity, for each network as trained and each of the largest groups."""
    tables = []
    for index in comparison.distinct:
        for corrupted in comparison.corrupted:
            if corrupted.scores[index] and not _is_part(corrupted, comparison):
                tables.append(_cell_table(comparison.methods[index], corrupted, index))
    return tables


def _cell_table(method: Method, corrupted: CorruptedComparison, index: int) -> Table:
    group, scores = corrupted.group, corrupted.scores[index][0]
    rows = tuple(
        (
            text_cell(_spaced(name)),
            *(_cell(scores.mean(name, severity)) for severity in scores.severities),
            _cell(scores.mean(name)),
        )
        for name in group.corruptions
    )
    heads = (text_column("corruption"), *_severity_heads(scores.severities), Column("mean", "mean"))
    seeds = ", of the first seed" if len(method.members) > 1 else ""
    adapted = f"; adapted: {scores.model.adapted}" if scores.model.adapted else ""
    caption = f"Top-1 in percent; {scores.description}, n = {scores.first.count:,}{seeds}{adapted}."
    return Table(f"cells-{group.name}-{method.label}", f"{method.label}: {group.title}", heads, rows, caption)


def mean_table(comparison: Comparison) -> Table | None:
    """Return a table of what evaluations aggregated over corruptions; None if there is nothing."""
    rows = tuple(_mean_row(method, row, mean) for method, row, mean in comparison.corruption_means)
    heads = (
        text_column("model"),
        text_column("corruptions"),
        text_column("metric"),
        Column("value", "value"),
        text_column("compared with"),
    )
    caption = "Means and changes in percent, errors as a ratio, with 95 % intervals for the images."
    return Table("means", "Over corruptions and severities", heads, rows, caption) if rows else None


def _mean_row(method: Method, row: Row, mean: CorruptionMean) -> tuple[Cell, ...]:
    show = SHOWS.get(row.metric.split()[0], ratio_cell)
    images = {"matched": "the same images", "unmatched": "other images", None: ""}[mean.clean]
    other = f"clean accuracy on {images}" if images else mean.relative_to.model if mean.relative_to else ""
    group = mean.group or ", ".join(map(_spaced, mean.corruptions))
    name = Cell(group, value=group, notes=(f"{describe_source(mean.source, mean.frost)}, n = {row.count:,}",))
    value = show(row.value, row.low, row.high, row.count)
    return method_cell(method), name, text_cell(row.metric), value, text_cell(other)


def ratio_cell(value: float, low: float, high: float, count: int | None = None) -> Cell:
    """Return the cell of a ratio with its interval."""
    return Cell(f"{value:.3f}", f"{low:.3f} to {high:.3f}", value, low, high, count)


def _table(
    name: str,
    title: str,
    comparison: Comparison,
    corrupted: CorruptedComparison,
    columns: Sequence[tuple[Column, list[Cell]]],
    caption: str,
) -> Table:
    """Return a table with a row for each method that was measured on the group."""
    measured = [index for index, scores in enumerate(corrupted.scores) if scores]
    rows = tuple(
        (method_cell(comparison.methods[index]), *(cells[index] for _, cells in columns)) for index in measured
    )
    heads = (text_column("model"), *(head for head, _ in columns))
    return Table(name, title, heads, rows, caption, tuple(comparison.methods[index].group for index in measured))


def _is_part(corrupted: CorruptedComparison, comparison: Comparison) -> bool:
    """Return whether a larger group at the same severities contains the whole group."""
    group, severities = corrupted.group, corrupted.severities
    return any(
        other.group.published == group.published
        and {*group.corruptions} < {*other.group.corruptions}
        and other.severities == severities
        for other in comparison.corrupted
    )


def _severity_heads(severities: Sequence[int]) -> list[Column]:
    return [Column(f"severity {severity}", f"severity{severity}") for severity in severities]


def _cell(score: Score) -> Cell:
    return fraction_cell(score.value, score.low, score.high, score.count)


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _describe(corrupted: CorruptedComparison) -> str:
    usual = corrupted.usual_scores
    clean = "" if usual.matched else "; clean accuracy is of OTHER images, so that % change mixes two effects"
    return f"{usual.description}, n = {usual.first.count:,}{clean}."
