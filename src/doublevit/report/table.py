"""A table as a thing of its own: built once, shown in the terminal, in Markdown, LaTeX, CSV, JSON and on the page."""

import dataclasses
import math
from collections.abc import Iterator, Sequence

Value = float | int | str | None


@dataclasses.dataclass(frozen=True)
class Cell:
    """What stands in one cell: `text` and `interval` for people, `value`, `low`, `high` and `count` for programs.

    `best` is for the best of its column, where a test bears that out; `notes` are footnotes, in words.
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
    """`head` for people, `name` for programs; numbers stand at the right."""

    head: str
    name: str
    numeric: bool = True


def words(head: str, name: str = "") -> Column:
    """A column of words, which stand at the left; named after its head if nothing else is said."""
    return Column(head, name or head.replace(" ", "_"), numeric=False)


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of cells, one for each column. `name` is that of its files, `caption` says what the columns mean.

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
        """Every note once, in the order in which the table is read."""
        return tuple(dict.fromkeys(note for row in self.rows for cell in row for note in cell.notes))

    def marks(self, cell: Cell) -> str:
        """The letters of a cell's footnotes: "a", "a,c"."""
        return ",".join(letter(self.footnotes.index(note)) for note in cell.notes)

    def grouped(self) -> Iterator[tuple[str, Sequence[tuple[Cell, ...]]]]:
        """Each group's heading ("" without groups) and its rows."""
        headings = self.groups or ("",) * len(self.rows)
        for heading in dict.fromkeys(headings):
            yield heading, [row for row, own in zip(self.rows, headings, strict=True) if own == heading]


def letter(number: int) -> str:
    """The mark of a footnote, counted from 0: a, b ... z, aa, ab ..."""
    more, last = divmod(number, 26)
    return (letter(more - 1) if more else "") + "abcdefghijklmnopqrstuvwxyz"[last]


def text(content: object) -> Cell:
    """A cell of words."""
    return Cell(str(content), value=str(content))


def number(value: float | int, form: str = ",") -> Cell:
    """A cell of a number without an interval."""
    return Cell(format(value, form), value=value)


def fraction(value: float, low: float, high: float, count: int | None = None, digits: int = 1) -> Cell:
    """A fraction in 0..1, shown in percent; bounds that are not known (NaN) are left out."""
    if math.isnan(low):
        return Cell(percent(value, digits), value=value, count=count)
    low, high = max(low, 0.0), min(high, 1.0)  # of a mean over few seeds they may be beyond
    return Cell(percent(value, digits), _interval(low, high, digits), value, low, high, count)


def points(value: float, low: float, high: float, count: int | None = None) -> Cell:
    """A difference or a change of fractions, shown in percent with its sign."""
    return Cell(f"{100 * value:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}", value, low, high, count)


def p_value(p: float) -> Cell:
    """A p value."""
    return Cell("<0.001" if p < 0.001 else f"{p:.3f}", value=p)


def percent(value: float, digits: int = 1) -> str:
    """A fraction in percent, without the sign."""
    return f"{100 * value:.{digits}f}"


def _interval(low: float, high: float, digits: int) -> str:
    return f"{percent(low, digits)} to {percent(high, digits)}"
