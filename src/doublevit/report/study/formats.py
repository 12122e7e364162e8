"""A study's table for the terminal, as CSV (shares, all digits) and as Markdown."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from doublevit.files import write_text
from doublevit.report.files import write_csv
from doublevit.report.study.compare import Line, Summary, over_all_seeds
from doublevit.report.study.record import Record
from doublevit.statistics import Spread

HEADS = ("cell", "top-k", "top-1", "n", "difference", "p", "Holm")
COLUMNS = (
    *("group", "cell", "label", "seed", "top_k", "top1", "top1_low", "top1_high", "top1_deviation", "n"),
    *("difference", "difference_low", "difference_high", "difference_deviation", "mcnemar_p", "holm_p", "remark"),
)
LEGEND = (
    "Accuracies in percent, with 95 % intervals. Difference: percentage points more than {baseline}, on the same"
    " photos. p: McNemar's; Holm: that, corrected for all comparisons of this table. Intervals and p values are of"
    " these very networks: what another seed would change is not in them."
)
SEEDS = " Over seeds: means and standard deviations; the CSV also has Student's 95 % intervals of the means."


def terminal_table(record: Record, lines: Sequence[Line]) -> Table:
    """Groups below one another; intervals stand below their numbers."""
    table = Table(
        title=escape(record.name), caption=_legend(record, lines), caption_justify="left", box=box.SIMPLE_HEAD
    )
    table.padding = 0  # so that names fit on 80 columns
    for number, head in enumerate(HEADS):
        table.add_column(head, justify="right" if number else "left", no_wrap=head != "difference")
    for group, members in itertools.groupby(_with_summaries(lines), lambda line: line.entry.group):
        table.add_section()
        table.add_row(f"[bold]{escape(group)}[/bold]")
        for line in members:
            table.add_row(*map(escape, _texts(line, "\n", _several(lines))))
    return table


def write_tables(folder: Path, record: Record, lines: Sequence[Line]) -> list[Path]:
    """Write study.csv and study.md into the study's folder."""
    paths = [folder / "study.csv", folder / "study.md"]
    write_csv(paths[0], COLUMNS, map(_values, _with_summaries(lines)))
    write_text(paths[1], _as_markdown(record, lines))
    return paths


def _legend(record: Record, lines: Sequence[Line]) -> str:
    """What the columns mean, and what they do not say."""
    return LEGEND.format(baseline=record.baseline) + (SEEDS if over_all_seeds(lines) else "")


def _several(lines: Sequence[Line]) -> bool:
    return len({line.entry.seed for line in lines}) > 1


def _with_summaries(lines: Sequence[Line]) -> Iterator[Line | Summary]:
    """Behind the lines of a cell, what they say together."""
    summaries = over_all_seeds(lines)
    for cell, members in itertools.groupby(lines, lambda line: line.entry.cell):
        yield from members
        yield from (summary for summary in summaries if summary.entry.cell == cell)


def _texts(line: Line | Summary, between: str, several: bool) -> list[str]:
    """The values of a line, one for each of `HEADS`; a remark stands where the difference would be, or behind it."""
    if isinstance(line, Summary):
        return _summary_texts(line)
    entry, row, difference = line.entry, line.entry.row, line.difference
    texts = [f"{entry.title}, seed {entry.seed}" if several else entry.title, entry.top_k]
    texts += ["", ""] if row is None else [_accuracy(row.value, row.low, row.high, between), f"{row.count:,}"]
    if difference is None or line.p is None or line.corrected is None:
        return [*texts, line.remark, "", ""]
    low, high = 100 * difference.low, 100 * difference.high
    points = f"{100 * difference.value:+.1f}{between}({low:+.1f} to {high:+.1f})"
    if line.remark:
        points += between + line.remark
    return [*texts, points, _p_value(line.p), _p_value(line.corrected)]


def _summary_texts(line: Summary) -> list[str]:
    gap = line.difference
    points = "" if gap is None else f"{100 * gap.mean:+.1f} ± {100 * gap.standard_deviation:.1f}"
    accuracy = f"{100 * line.top1.mean:.1f} ± {100 * line.top1.standard_deviation:.1f}"
    return [f"{line.entry.title}, {line.top1.count} seeds", line.entry.top_k, accuracy, "", points, "", ""]


def _accuracy(value: float, low: float, high: float, between: str) -> str:
    return f"{100 * value:.1f}{between}({100 * low:.1f}-{100 * high:.1f})"


def _p_value(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _values(line: Line | Summary) -> list[object]:
    """One for each of `COLUMNS`; None is written as nothing."""
    entry = line.entry
    names = [entry.group, entry.cell, entry.label]
    if isinstance(line, Summary):
        which = [*names, f"all {line.top1.count}", entry.top_k]
        return [*which, *_spread(line.top1), None, *_spread(line.difference), None, None, ""]
    row, difference = entry.row, line.difference
    accuracy = [None] * 5 if row is None else [row.value, row.low, row.high, None, row.count]
    gap = [None] * 4 if difference is None else [difference.value, difference.low, difference.high, None]
    return [*names, entry.seed, entry.top_k, *accuracy, *gap, line.p, line.corrected, line.remark]


def _spread(spread: Spread | None) -> list[float | None]:
    return [None] * 4 if spread is None else [spread.mean, spread.low, spread.high, spread.standard_deviation]


def _as_markdown(record: Record, lines: Sequence[Line]) -> str:
    heads, several = ("group", *HEADS), _several(lines)
    texts = ([line.entry.group, *_texts(line, " ", several)] for line in _with_summaries(lines))
    rows = [heads, ["---"] * len(heads), *texts]
    table = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)
    return f"# {record.name}\n\n{record.note}\n\n{table}\n\n{_legend(record, lines)}\n"
