"""Accuracies on clean and corrupted photos, as tables."""

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from doublevit.models.top_k import mention
from doublevit.report.measured import describe_set
from doublevit.results import Row


def result_table(rows: Sequence[Row], run: Path, note: str) -> Table:
    """Accuracies with their intervals; below them, how the network was trained, and adapted if it was."""
    caption = _caption(note, rows)
    table = Table("metric", "condition", "accuracy", "95 % interval", "n", title=escape(run.name), caption=caption)
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows:
        interval = f"{row.low:.2%} to {row.high:.2%}"
        table.add_row(row.metric, str(row.condition["kind"]), f"{row.value:.2%}", interval, f"{row.count:,}")
    return table


def cell_table(rows: Sequence[Row]) -> Table:
    """Top-1 accuracy of every corruption, by severity; below it, what the corrupted photos are."""
    cells = {(row.condition["corruption"], row.condition["severity"]): row for row in rows if row.metric == "top-1"}
    names, severities = (list(dict.fromkeys(parts)) for parts in zip(*cells, strict=True))
    caption = _caption(escape(describe_set(rows[0].condition)), rows)
    table = Table("top-1 by severity", *map(str, severities), "mean", caption=caption)
    for column in table.columns[1:]:
        column.justify = "right"
    for name in names:
        values = [cells[name, severity].value for severity in severities]
        table.add_row(name, *(f"{value:.1%}" for value in values), f"{sum(values) / len(values):.1%}")
    return table


def together_table(rows: Sequence[Row]) -> Table:
    """Means over corruptions and severities, with intervals; changes are relative to accuracy on clean photos."""
    table = Table("corruptions", "metric", "value", "95 % interval", "compared with", caption=_caption("", rows))
    for column in table.columns[2:4]:
        column.justify = "right"
    for row in rows:
        condition, form = row.condition, FORMS[row.metric.split()[0]]
        interval = f"{row.low:{form}} to {row.high:{form}}"
        clean = f"clean accuracy on {condition['clean']}" if "clean" in condition else ""
        other = clean or escape(condition.get("relative_to", ""))
        table.add_row(condition["of"], row.metric, f"{row.value:{form}}", interval, other)
    return table


def _caption(note: str, rows: Sequence[Row]) -> str:
    """A note, and what was done to the network for these rows: sparse attention, batch norm adapted to their photos."""
    sparse = [mention(row.top_k, "sparse attention, ") for row in rows[:1]]
    adapted = [f"adapted: {escape(row.adapted)}" for row in rows[:1] if row.adapted]
    return "\n".join(filter(None, [note, *sparse, *adapted]))


FORMS = {"mean": ".2%", "relative": "+.1%", "error": ".3f"}
