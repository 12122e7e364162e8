"""Style of all plots: colors for all kinds of vision and for white and black pages, axes, files."""

import dataclasses
import functools
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, PercentFormatter

from doublevit.data.sheet import first_name
from doublevit.files import whole_file
from doublevit.fonts import families, readable, wrap
from doublevit.statistics import Estimate

BLUE, ORANGE, DARK, GRAY, LIGHT = "#0072B2", "#D55E00", "#222222", "#999999", "#D9D9D9"
"""Colors of Okabe and Ito's palette, and grays; they differ in grayscale too."""
COLORS = (BLUE, ORANGE, "#009E73", "#B56390", "#A97400", "#757575")
"""Colors of runs: Okabe and Ito's, two darkened so that all have a contrast of 3 with white and with #1a1a1a."""
MARKERS = "os^DvPX*<>ph"
LINES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
FORMATS = ("png", "svg")
LETTERS = 26  # of a class's name
PERCENT = PercentFormatter(1, decimals=0, symbol=" %")
SMALL = 9  # points


def look(number: int) -> dict[str, Any]:
    """Return color, marker and line style of run `number`; marker and line tell 48 runs apart without color."""
    count = len(MARKERS)
    return {
        "color": COLORS[number % len(COLORS)],
        "marker": MARKERS[number % count],
        "linestyle": LINES[(number + number // count) % len(LINES)],
    }


def save(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as .png and .svg, the same bytes for the same figure; `path` has no suffix."""
    written = []
    use_every_font(figure)
    with reproducible():
        for ending in FORMATS:
            written.append(path.with_name(f"{path.name}.{ending}"))
            with whole_file(written[-1]) as file:
                metadata = {"Date": None} if ending == "svg" else None
                figure.savefig(file, format=ending, dpi=200, metadata=metadata)
    return written


@contextmanager
def reproducible() -> Iterator[None]:
    """Draw equal figures as equal bytes until the block ends, and letters that the font lacks as empty boxes."""
    with warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": "doublevit", "svg.fonttype": "path"}):
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def use_every_font(figure: Figure) -> None:
    """Let all texts of a figure take letters that one font lacks from the next."""
    if len(families()) > 1:  # DejaVu Sans alone is matplotlib's default
        for text in figure.findobj(Text):
            text.set_fontfamily(list(families()))


def columns(estimates: Sequence[Estimate | None]) -> tuple[np.ndarray, np.ndarray]:
    """Return values (n,) and how far their intervals reach below and above them (2, n); NaN for None."""
    rows = [(estimate.value, estimate.low, estimate.high) if estimate else (np.nan,) * 3 for estimate in estimates]
    value, low, high = np.array(rows, dtype=float).reshape(-1, 3).T
    return value, np.maximum([value - low, high - value], 0)


def draw_line(axes: Axes, positions: Sequence[float], estimates: Sequence[Estimate], style: dict[str, Any]) -> None:
    """Draw a line through estimates, with error bars."""
    value, reach = columns(estimates)
    axes.errorbar(positions, value, reach, **style, markersize=5, linewidth=1.4, elinewidth=0.9, capsize=2)


def dodge(number: int, count: int) -> float:
    """Return by how much run `number` of `count` is moved, so that error bars do not hide one another."""
    return (number - (count - 1) / 2) * min(0.07, 0.35 / count)


def percent_axis(axis: Axis) -> None:
    """Label fractions as percent, with decimals only where ticks need them."""
    axis.set_major_formatter(FuncFormatter(lambda fraction, _: f"{round(100 * fraction, 6):g} %"))


def fraction_limits(values: Sequence[float], margin: float = 0.06) -> tuple[float, float]:
    """Return the limits of an axis for these fractions plus a margin (relative to their range), within -0.02..1.02."""
    fractions = np.array(values, dtype=float)
    fractions = fractions[np.isfinite(fractions)] if np.isfinite(fractions).any() else np.array([0, 1])
    space = max(margin * np.ptp(fractions), 0.01)
    return max(fractions.min() - space, -0.02), min(fractions.max() + space, 1.02)


def plain(*several: Axes) -> None:
    """Remove top and right of the frame."""
    for axes in several:
        axes.spines[["top", "right"]].set_visible(False)


def percent(fraction: float) -> str:
    """Format a fraction in percent, with one decimal."""
    return f"{100 * fraction:.1f} %"


def wrapped(title: str, letters: int) -> str:
    """Break a title into lines of at most `letters` letters."""
    return "\n".join(wrap(title, letters))


def short(name: str) -> str:
    """Return the first of a class's names, cut off if it is long."""
    return readable(textwrap.shorten(first_name(name), LETTERS, placeholder=" …") if len(name) > LETTERS else name)


@dataclasses.dataclass(frozen=True)
class Plot:
    """Holds a figure that is drawn when asked for; `name` is that of its files, `section` that of the page."""

    name: str
    section: str
    caption: str
    draw: Callable[[], Figure]

    @functools.cached_property
    def figure(self) -> Figure:
        """The figure, drawn once."""
        return self.draw()
