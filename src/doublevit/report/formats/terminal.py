"""Tables in the terminal."""

import dataclasses
from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from doublevit.report.table import Cell, Table, letter

DEFAULT_WIDTH, MAX_WIDTH = 200, 1000  # columns: without a window; more than any table needs
NARROW = (
    "Intervals are left out for want of room: they need a wider window, or a file: doublevit tables writes Markdown."
)


def print_tables(tables: Iterable[Table], console: Console) -> None:
    """Print tables one below the other, as wide as the window allows, or with all intervals if there is no window."""
    console.width = console.width if console.is_terminal else max(console.width, DEFAULT_WIDTH)
    for table in tables:
        console.print(fitted(table, console))


def fitted(table: Table, console: Console) -> RichTable:
    """Return the table as `terminal` does, but without intervals if the window is too narrow for them."""
    whole = terminal(table)
    width = Measurement.get(console, console.options.update(max_width=MAX_WIDTH), whole).maximum
    if width <= console.width or not any(cell.interval for row in table.rows for cell in row):
        return whole
    rows = tuple(tuple(dataclasses.replace(cell, interval="") for cell in row) for row in table.rows)
    return terminal(dataclasses.replace(table, rows=rows, caption=f"{table.caption} {NARROW}".strip()))


def terminal(table: Table) -> RichTable:
    """Return a table with intervals below their numbers, and caption and footnotes below the table."""
    shown = RichTable(title=Text(table.title), caption=_caption(table), caption_justify="left", box=box.SIMPLE_HEAD)
    shown.padding = (0, 1, 0, 0)
    for column in table.columns:
        shown.add_column(Text(column.head), justify="right" if column.numeric else "left", overflow="fold")
    for group, rows in table.grouped():
        if group:
            shown.add_section()
            shown.add_row(Text(group, style="bold"))
        for row in rows:
            shown.add_row(*(_cell(table, cell) for cell in row))
    return shown


def _cell(table: Table, cell: Cell) -> Text:
    shown = Text(cell.text, style="bold" if cell.best else "")
    if cell.notes:
        shown.append(f" {table.marks(cell)}", style="dim")
    if cell.interval:
        shown.append(f"\n{cell.interval}", style="dim not bold")
    return shown


def _caption(table: Table) -> Text:
    notes = [f"{letter(number)}: {note}" for number, note in enumerate(table.footnotes)]
    return Text("\n".join(filter(None, [table.caption, *notes])))
