"""A study's table for the terminal, as CSV (shares, all digits) and as Markdown."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from doublevit.files import write_text
from doublevit.report.files import write_csv
from doublevit.report.study.compare import Line
from doublevit.report.study.record import Record

HEADS = ("cell", "top-k", "top-1", "n", "difference", "p", "Holm")
COLUMNS = (
    *("group", "cell", "top_k", "top1", "top1_low", "top1_high", "n"),
    *("difference", "difference_low", "difference_high", "mcnemar_p", "holm_p", "remark"),
)
LEGEND = (
    "Accuracies in percent, with 95 % intervals. Difference: percentage points more than {baseline}, on the same"
    " photos. p: McNemar's; Holm: that, corrected for all comparisons of this table. Intervals and p values are of"
    " these very networks: what another seed would change is not in them."
)


def terminal_table(record: Record, lines: Sequence[Line]) -> Table:
    """Groups below one another; intervals stand below their numbers."""
    table = Table(title=escape(record.name), caption=_legend(record), caption_justify="left", box=box.SIMPLE_HEAD)
    table.padding = 0  # so that names fit on 80 columns
    for number, head in enumerate(HEADS):
        table.add_column(head, justify="right" if number else "left", no_wrap=head != "difference")
    group = ""
    for line in lines:
        if line.entry.group != group:
            group = line.entry.group
            table.add_section()
            table.add_row(f"[bold]{escape(group)}[/bold]")
        table.add_row(*map(escape, _texts(line, "\n")))
    return table


def write_tables(folder: Path, record: Record, lines: Sequence[Line]) -> list[Path]:
    """Write study.csv and study.md into the study's folder."""
    paths = [folder / "study.csv", folder / "study.md"]
    write_csv(paths[0], COLUMNS, (_values(line) for line in lines))
    write_text(paths[1], _as_markdown(record, lines))
    return paths


def _legend(record: Record) -> str:
    """What the columns mean, and what they do not say."""
    return LEGEND.format(baseline=record.baseline)


def _texts(line: Line, between: str) -> list[str]:
    """The values of a line, one for each of `HEADS`; a remark stands where the difference would be."""
    row, difference, texts = line.entry.row, line.difference, [line.entry.cell, line.entry.top_k]
    texts += ["", ""] if row is None else [_accuracy(row.value, row.low, row.high, between), f"{row.count:,}"]
    if difference is None or line.p is None or line.corrected is None:
        return [*texts, line.remark, "", ""]
    low, high = 100 * difference.low, 100 * difference.high
    points = f"{100 * difference.value:+.1f}{between}({low:+.1f} to {high:+.1f})"
    return [*texts, points, _p_value(line.p), _p_value(line.corrected)]


def _accuracy(value: float, low: float, high: float, between: str) -> str:
    return f"{100 * value:.1f}{between}({100 * low:.1f}-{100 * high:.1f})"


def _p_value(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _values(line: Line) -> list[object]:
    """One for each of `COLUMNS`; None is written as nothing."""
    entry, row, difference = line.entry, line.entry.row, line.difference
    accuracy = [None] * 4 if row is None else [row.value, row.low, row.high, row.count]
    gap = [None] * 3 if difference is None else [difference.value, difference.low, difference.high]
    return [entry.group, entry.cell, entry.top_k, *accuracy, *gap, line.p, line.corrected, line.remark]


def _as_markdown(record: Record, lines: Sequence[Line]) -> str:
    heads = ("group", *HEADS)
    rows = [heads, ["---"] * len(heads), *([line.entry.group, *_texts(line, " ")] for line in lines)]
    table = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)
    return f"# {record.name}\n\n{record.note}\n\n{table}\n\n{_legend(record)}\n"
