"""Tables for programs, CSV and JSON: all digits, fractions in 0..1, interval and count beside each number."""

import csv
import io
import json
from collections.abc import Iterable
from typing import Any

from doublevit.report.table import Cell, Column, Table

FORMULA = ("=", "+", "-", "@")
PARTS = ("low", "high", "count")
"""What a cell may hold beside its value; each is written for a column if any of its cells has it."""


def as_csv(table: Table) -> str:
    """Return CSV with a header ("top1", "top1_low", "top1_high", "top1_count"); the last column holds footnotes."""
    columns = [(number, column, _parts(table, number)) for number, column in enumerate(table.columns)]
    heads = [name for _, column, parts in columns for name in _names(column, parts)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*(["group"] if table.groups else []), *heads, *(["notes"] if table.footnotes else [])])
    for group, rows in table.grouped():
        for row in rows:
            values = [value for number, _, parts in columns for value in _values(row[number], parts)]
            notes = "; ".join(dict.fromkeys(note for cell in row for note in cell.notes))
            writer.writerow([*([group] if table.groups else []), *values, *([notes] if table.footnotes else [])])
    return text.getvalue()


def as_named_csv(tables: Iterable[Table]) -> str:
    """Return several tables as CSV, each after a line with its name."""
    return "\n".join(f"# {table.name}\n{as_csv(table)}" for table in tables)


def as_json(table: Table) -> str:
    """Return the table as JSON."""
    return to_json(as_object(table)) + "\n"


def to_json(value: Any) -> str:
    """Return indented JSON.

    Raises:
        ValueError: `value` holds a NaN, which JSON cannot.
    """
    return json.dumps(value, indent=1, allow_nan=False)


def as_object(table: Table) -> dict[str, Any]:
    """Return the table as objects for JSON; a row has an object for each column, without what is not known."""
    rows = [
        ({"group": group} if table.groups else {})
        | {column.name: _object(cell) for column, cell in zip(table.columns, row, strict=True)}
        for group, members in table.grouped()
        for row in members
    ]
    return {"name": table.name, "title": table.title, "caption": table.caption, "rows": rows}


def _parts(table: Table, number: int) -> list[str]:
    return [part for part in PARTS if any(getattr(row[number], part) is not None for row in table.rows)]


def _names(column: Column, parts: list[str]) -> list[str]:
    return [column.name, *(f"{column.name}_{part}" for part in parts)]


def _values(cell: Cell, parts: list[str]) -> list[object]:
    return [_harmless(cell.value), *(getattr(cell, part) for part in parts)]


def _harmless(value: object) -> object:
    """Quote a text that a spreadsheet would take for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in FORMULA else value


def _object(cell: Cell) -> dict[str, Any]:
    known = {part: getattr(cell, part) for part in ("value", *PARTS) if getattr(cell, part) is not None}
    return known | ({"best": True} if cell.best else {}) | ({"notes": list(cell.notes)} if cell.notes else {})
