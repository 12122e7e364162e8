"""A study's table: every cell's accuracy, and how many points more than the baseline that is."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from doublevit.files import write_text
from doublevit.report.formats import FORMATS
from doublevit.report.study.compare import Line, Summary, over_all_seeds
from doublevit.report.study.record import Record
from doublevit.report.table import Cell, Column, Table, p_value, percent, points, share, text, words
from doublevit.statistics import Spread

COLUMNS = (
    *(words("top-k", "top_k"), Column("top-1", "top1")),
    *(Column("difference", "difference"), Column("p", "mcnemar_p"), Column("Holm", "holm_p")),
)
LEGEND = (
    "Accuracies in percent{photos}, with 95 % intervals. Difference: percentage points more than {baseline}, on the"
    " same photos. p: McNemar's; Holm: that, corrected for all comparisons of this table. Intervals and p values are of"
    " these very networks: what another seed would change is not in them."
)
SEEDS = " Over seeds: means and standard deviations; the CSV has Student's 95 % intervals of the means."


def study_table(record: Record, lines: Sequence[Line]) -> Table:
    """A row for each line, and one for what the seeds of a cell say together; remarks are footnotes.

    How many photos it was is in the caption, and in a footnote where it was another number: so names fit on 80 columns.
    """
    shown = list(_with_summaries(lines))
    several = len({line.entry.seed for line in lines}) > 1
    usual = _usual_count(lines)
    return Table(
        name="study",
        title=f"{record.name}: {record.note}",
        columns=(words("cell"), *([words("seed")] if several else []), *COLUMNS),
        rows=tuple(_row(line, usual, several=several) for line in shown),
        caption=_legend(record, usual) + (SEEDS if len(shown) > len(lines) else ""),
        groups=tuple(line.entry.group for line in shown),
    )


def write_tables(folder: Path, table: Table) -> list[Path]:
    """Write study.csv and study.md into the study's folder."""
    paths = []
    for suffix, make in (FORMATS["csv"], FORMATS["markdown"]):
        paths.append(folder / f"{table.name}.{suffix}")
        write_text(paths[-1], make(table))
    return paths


def _with_summaries(lines: Sequence[Line]) -> Iterator[Line | Summary]:
    """Behind the lines of a cell, what they say together."""
    summaries = over_all_seeds(lines)
    for cell, members in itertools.groupby(lines, lambda line: line.entry.cell):
        yield from members
        yield from (summary for summary in summaries if summary.entry.cell == cell)


def _usual_count(lines: Sequence[Line]) -> int | None:
    """Of photos, in most rows."""
    counts = Counter(line.entry.row.count for line in lines if line.entry.row)
    return counts.most_common(1)[0][0] if counts else None


def _legend(record: Record, usual: int | None) -> str:
    """What the columns mean, and what they do not say."""
    return LEGEND.format(baseline=record.baseline, photos="" if usual is None else f" of {usual:,} photos")


def _row(line: Line | Summary, usual: int | None, *, several: bool) -> tuple[Cell, ...]:
    entry = line.entry
    if isinstance(line, Summary):
        seed, measured = f"all {line.top1.count}", _summary_cells(line)
    else:
        seed, measured = str(entry.seed), _line_cells(line, usual)
    seeds = [text(seed)] if several else []
    return Cell(entry.title, value=entry.cell), *seeds, text(entry.top_k), *measured


def _line_cells(line: Line, usual: int | None) -> tuple[Cell, ...]:
    return _accuracy(line, usual), _difference(line), *map(_p_value, (line.p, line.corrected))


def _accuracy(line: Line, usual: int | None) -> Cell:
    row = line.entry.row
    if row is None:
        return Cell()
    notes = () if row.count == usual else (f"of {row.count:,} photos",)
    return dataclasses.replace(share(row.value, row.low, row.high, row.count), notes=notes)


def _difference(line: Line) -> Cell:
    gap, notes = line.difference, (line.remark,) if line.remark else ()
    cell = Cell("-") if gap is None else points(gap.value, gap.low, gap.high)
    return dataclasses.replace(cell, notes=notes)


def _p_value(p: float | None) -> Cell:
    return Cell() if p is None else p_value(p)


def _summary_cells(line: Summary) -> tuple[Cell, ...]:
    top1, gap = line.top1, line.difference
    difference = _with_deviation(points(gap.mean, gap.low, gap.high), gap) if gap else Cell()
    return _with_deviation(share(top1.mean, top1.low, top1.high), top1), difference, Cell(), Cell()


def _with_deviation(mean: Cell, spread: Spread) -> Cell:
    """The standard deviation stands for the mean's interval, which is for programs."""
    return dataclasses.replace(mean, text=f"{mean.text} ± {percent(spread.standard_deviation)}", interval="")
