"""Names of points beside them, where there is room."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from doublevit.report.plots.labels import Named, legend_below
from doublevit.report.plots.style import SMALL, reproducible

CLOSE, FAR, PADDING = 7, 12, 2  # from a point to its name, at least from other points to it, around it; in points
SIDES = tuple((x, y) for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)))
ACROSS = {1: "left", 0: "center", -1: "right"}
ALONG = {1: "bottom", 0: "center", -1: "top"}


@reproducible()
def name_points(figure: Figure, axes: Axes, points: Sequence[Named], lines: Sequence[Path]) -> None:
    """Name points beside them, no name upon a line or close to another point or name; else all below the figure.

    Call it last, when limits and titles are set.

    Args:
        figure: below which there may be a legend.
        axes: in which the points lie.
        points: all with a place.
        lines: error bars and others, in the data's units.
    """
    figure.draw_without_rendering()  # so that the size of the axes is known
    pixels = figure.dpi / 72
    centres = axes.transData.transform(np.array([point.place for point in points]).reshape(-1, 2))
    around = [Bbox([centre - FAR * pixels, centre + FAR * pixels]) for centre in centres]
    drawn = [axes.transData.transform_path(line) for line in lines]
    names: list[Text] = []  # none so close to another that it might be of the other's point
    for number, point in sorted(enumerate(points), key=lambda one: -len(one[1].name)):  # long ones while there is room
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
            point.place,
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
