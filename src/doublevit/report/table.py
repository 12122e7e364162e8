"""Tables independent of their form: built once, shown in the terminal, Markdown, LaTeX, CSV, JSON and on the page."""

import dataclasses
import math
from collections.abc import Iterator, Sequence

Value = float | int | str | None


@dataclasses.dataclass(frozen=True)
class Cell:
    """Holds a cell of a table: `text` and `interval` for people, `value`, `low`, `high` and `count` for programs.

    `best` marks the best cell of a column, if a test supports that; `notes` are the texts of footnotes.
    """

    text: str = ""
    interval: str = ""
    value: Value = None
    low: float | None = None
    high: float | None = None
    count: int | None = None
    best: bool = False
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Column:
    """Describes a column: `head` for people, `name` for programs; numbers are aligned right."""

    head: str
    name: str
    numeric: bool = True


def text_column(head: str, name: str = "") -> Column:
    """Return a column of texts, aligned left; without `name` it is named after its head."""
    return Column(head, name or head.replace(" ", "_"), numeric=False)


@dataclasses.dataclass(frozen=True)
class Table:
    """Holds rows with a cell for each column. `name` is that of files, `caption` says what the columns mean.

    `groups` has a heading for each row, or is empty; rows of the same group follow one another.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows) or len(self.groups) not in (0, len(self.rows)):
            raise ValueError(f"table {self.name}: rows do not fit its {len(self.columns)} columns or its groups")

    @property
    def footnotes(self) -> tuple[str, ...]:
        """All notes, each once, in the order in which the table is read."""
        return tuple(dict.fromkeys(note for row in self.rows for cell in row for note in cell.notes))

    def marks(self, cell: Cell) -> str:
        """Return the letters of a cell's footnotes: "a", "a,c"."""
        return ",".join(letter(self.footnotes.index(note)) for note in cell.notes)

    def grouped(self) -> Iterator[tuple[str, Sequence[tuple[Cell, ...]]]]:
        """Yield each group's heading ("" without groups) and its rows."""
        headings = self.groups or ("",) * len(self.rows)
        for heading in dict.fromkeys(headings):
            yield heading, [row for row, group in zip(self.rows, headings, strict=True) if group == heading]


def letter(number: int) -> str:
    """Return the mark of a footnote, counted from 0: a, b ... z, aa, ab ..."""
    more, last = divmod(number, 26)
    return (letter(more - 1) if more else "") + "abcdefghijklmnopqrstuvwxyz"[last]


def text_cell(content: object) -> Cell:
    """Return a cell of text."""
    return Cell(str(content), value=str(content))


def number_cell(value: float | int, form: str = ",") -> Cell:
    """Return the cell of a number without an interval."""
    return Cell(format(value, form), value=value)


def fraction_cell(value: float, low: float, high: float, count: int | None = None, digits: int = 1) -> Cell:
    """Return the cell of a fraction in 0..1, shown in percent; unknown bounds (NaN) are left out."""
    if math.isnan(low):
        return Cell(percent(value, digits), value=value, count=count)
    low, high = max(low, 0.0), min(high, 1.0)  # for a mean over few seeds they may exceed 0..1
    return Cell(percent(value, digits), _interval(low, high, digits), value, low, high, count)


def points_cell(value: float, low: float, high: float, count: int | None = None) -> Cell:
    """Return the cell of a difference or change of fractions, shown in percent with its sign."""
    return Cell(f"{100 * value:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}", value, low, high, count)


def p_value_cell(p: float) -> Cell:
    """Return the cell of a p value."""
    return Cell("<0.001" if p < 0.001 else f"{p:.3f}", value=p)


def percent(value: float, digits: int = 1) -> str:
    """Format a fraction in percent, without a percent sign."""
    return f"{100 * value:.{digits}f}"


def _interval(low: float, high: float, digits: int) -> str:
    return f"{percent(low, digits)} to {percent(high, digits)}"
