"""Names of lines and points: beside them if there is room, else in a legend below."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.textpath import TextPath
from matplotlib.transforms import Bbox

from doublevit.report.plots.style import GRAY, SMALL, reproducible

LETTERS = 28  # of a run's name
MOST = 8  # lines that are named at their ends
BESIDE = 1.03  # where names begin, in widths of the axes


@dataclasses.dataclass(frozen=True)
class Named:
    """Holds a line or point: its name, its style (as of `look`), and the position to name, NaN if there is none."""

    name: str
    style: dict[str, Any]
    position: tuple[float, float] = (math.nan, math.nan)


@reproducible()
def name_lines(figure: Figure, axes: Axes, lines: Sequence[Named]) -> None:
    """Name lines right of `axes`; or below the figure if they are more than 8 or some have no position.

    Call it last, when limits and titles are set.
    """
    if len(lines) <= MOST and np.isfinite([line.position for line in lines]).all():
        _name_ends(figure, axes, lines)
    else:
        legend_below(figure, lines)


def _name_ends(figure: Figure, axes: Axes, lines: Sequence[Named]) -> None:
    figure.draw_without_rendering()  # so that the height of the axes is known
    line_height = 1.3 * SMALL * figure.dpi / 72 / axes.get_window_extent().height
    positions = np.array([line.position for line in lines])
    wanted = axes.transAxes.inverted().transform(axes.transData.transform(positions))[:, 1]
    for line, height in zip(lines, spread(wanted, line_height, 0, 1), strict=True):
        axes.annotate(
            "",
            line.position,
            (BESIDE, height),
            textcoords="axes fraction",
            arrowprops={
                "arrowstyle": "-",
                "color": GRAY,
                "linestyle": ":",
                "linewidth": 0.7,
                "shrinkA": 0,
                "shrinkB": 3,
            },
        )
        axes.annotate(
            line.name,
            (BESIDE, height),
            (6, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            parse_math=False,
        )


def spread(wanted: Sequence[float] | np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Return positions in low..high, at least `gap` apart, in the order of `wanted` and as near to it as possible.

    The sum of squared moves is least (isotonic regression). Without room for `gap`, all gaps are equally small.
    """
    from scipy.optimize import isotonic_regression  # a slow import

    gap = min(gap, (high - low) / max(len(wanted) - 1, 1))
    order, steps = np.argsort(wanted, kind="stable"), gap * np.arange(len(wanted))
    free = isotonic_regression(np.asarray(wanted)[order] - steps).x
    placed = np.empty(len(wanted))
    placed[order] = np.clip(free, low, high - gap * (len(wanted) - 1)) + steps
    return placed


def legend_below(figure: Figure, lines: Sequence[Named]) -> None:
    """Name lines or points in a legend below the figure."""
    handles = [Line2D([], [], **line.style, markersize=5) for line in lines]
    inches = 0.9 + max(TextPath((0, 0), line.name, SMALL).get_extents().width for line in lines) / 72
    ncols = max(1, min(4, len(lines), int(figure.get_figwidth() / inches)))
    rows = math.ceil(len(lines) / ncols)
    figure.set_figheight(figure.get_figheight() + 0.2 * rows)  # so that the axes keep their height
    looks: dict[str, Any] = {"ncols": ncols, "frameon": False, "fontsize": SMALL, "handlelength": 3}
    legend = figure.legend(handles, ["name"] * len(lines), loc="outside lower center", **looks)
    for text, line in zip(legend.get_texts(), lines, strict=True):  # set here, since a name may begin with "_"
        text.set(text=line.name, parse_math=False)


def shortened(names: Sequence[str]) -> list[str]:
    """Shorten long names by an ellipsis in the middle, but so that different names stay different."""
    for letters in range(LETTERS, max(map(len, names), default=0)):
        cut = [_cut(name, letters) for name in names]
        if len(set(cut)) == len(set(names)):
            return cut
    return list(names)


def _cut(name: str, letters: int) -> str:
    tail = (letters - 1) // 2
    return name if len(name) <= letters else f"{name[: letters - 1 - tail]}…{name[-tail:]}"


CLOSE, FAR, PADDING = 7, 12, 2  # from a point to its name, from a name to other points, around a name; in pt
SIDES = tuple((x, y) for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)))
ACROSS = {1: "left", 0: "center", -1: "right"}
ALONG = {1: "bottom", 0: "center", -1: "top"}


@reproducible()
def name_points(figure: Figure, axes: Axes, points: Sequence[Named], lines: Sequence[Path]) -> None:
    """Name points beside them, off lines, other points and names; if that fails for any, all below the figure.

    Call it last, when limits and titles are set.

    Args:
        figure: the figure, which may get a legend.
        axes: the axes of the points.
        points: the points, all with a position.
        lines: error bars and other lines to keep free, in data coordinates.
    """
    figure.draw_without_rendering()  # so that the size of the axes is known
    pixels = figure.dpi / 72
    centers = axes.transData.transform(np.array([point.position for point in points]).reshape(-1, 2))
    around = [Bbox([center - FAR * pixels, center + FAR * pixels]) for center in centers]
    drawn = [axes.transData.transform_path(line) for line in lines]
    names: list[Text] = []  # names that are placed, far enough apart to be told apart
    longest_first = sorted(enumerate(points), key=lambda entry: -len(entry[1].name))  # long names need the most room
    for number, point in longest_first:
        taken = around[:number] + around[number + 1 :] + [name.get_window_extent().padded(CLOSE) for name in names]
        name = _placed(axes, point, taken, drawn)
        if name is None:
            for earlier in names:
                earlier.remove()
            legend_below(figure, points)
            return
        names.append(name)


def _placed(axes: Axes, point: Named, taken: Sequence[Bbox], lines: Sequence[Path]) -> Text | None:
    room = axes.get_window_extent()
    for x, y in SIDES:
        name = axes.annotate(
            point.name,
            point.position,
            (CLOSE * x, CLOSE * y),
            textcoords="offset points",
            ha=ACROSS[x],
            va=ALONG[y],
            fontsize=SMALL,
            parse_math=False,
        )
        name.set_in_layout(False)
        box = name.get_window_extent().padded(PADDING)
        inside = room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and box.y1 <= room.y1
        if inside and not box.count_overlaps(taken) and not any(line.intersects_bbox(box, False) for line in lines):
            return name
        name.remove()
    return None
