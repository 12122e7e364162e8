"""Tables in Markdown, in GitHub's dialect."""

import re

from doublevit.report.table import Cell, Column, Table, letter

SPECIAL = re.compile(r"([\\|`*_{}\[\]<>#$~])")


def markdown(table: Table) -> str:
    """Return heading, table, caption and footnotes; the heading of a group is a row."""
    heads = [escape(column.head) for column in table.columns]
    lines = [_line(heads), _line([_rule(column) for column in table.columns])]
    for group, rows in table.grouped():
        if group:
            lines.append(_line([f"**{escape(group)}**", *[""] * (len(heads) - 1)]))
        lines += [_line([_cell(table, cell) for cell in row]) for row in rows]
    notes = [f"<sup>{letter(number)}</sup> {escape(note)}  " for number, note in enumerate(table.footnotes)]
    parts = [f"### {escape(table.title)}", "\n".join(lines), escape(table.caption), "\n".join(notes)]
    return "\n\n".join(filter(None, parts)) + "\n"


def escape(text: str) -> str:
    """Escape a text so that Markdown shows it as it is, on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _cell(table: Table, cell: Cell) -> str:
    shown = escape(cell.text)
    shown = f"**{shown}**" if cell.best else shown
    interval = f" ({escape(cell.interval)})" if cell.interval else ""
    marks = f" <sup>{table.marks(cell)}</sup>" if cell.notes else ""
    return shown + interval + marks


def _rule(column: Column) -> str:
    return "---:" if column.numeric else "---"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
