"""A network's costs, as a table."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from doublevit.models.top_k import mention
from doublevit.results import Row

UNITS = {"images/s": (1, "images/s"), "memory": (1e6, "MB"), "parameters": (1e6, "M"), "MACs": (1e9, "GMACs")}
"""What a metric is shown in, by its last word: so many of its own units, and their name."""


def speed_table(rows: Sequence[Row]) -> Table:
    """One line for each metric, in units that people use; MB are millions of bytes."""
    title, caption = f"What {rows[0].model} costs", _how(rows[0])
    table = Table("", "measured", "95 % interval", "photos", title=escape(title), caption=escape(caption))
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: Row) -> tuple[str, str, str, str]:
    scale, unit = UNITS[row.metric.rpartition(" ")[2]]
    value, low, high = (_short(number / scale) for number in (row.value, row.low, row.high))
    interval = f"{low} to {high}" if row.low < row.high else ""
    return row.metric.removesuffix(" images/s"), f"{value} {unit}", interval, f"{row.count:,}" if row.seconds else ""


def _short(number: float) -> str:
    """Three digits, or all before the point."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _how(row: Row) -> str:
    height, width = row.condition["pixels"]
    batch = f"batches of {row.condition['batch_size']:,} random photos of {height} x {width} pixels"
    return f"{batch}, {row.precision}{mention(row.top_k, ', ')}; {row.condition['device']}"
