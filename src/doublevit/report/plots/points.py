"""Scatter plots of models: one measurement against another."""

import dataclasses
import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from doublevit.report.plots.names import Named, name_points, shortened
from doublevit.report.plots.style import DARK, SMALL, columns, fraction_limits, look, percent_axis, plain
from doublevit.statistics import Estimate

DECADE = 10
SIZE = (6.5, 5)
ROOM = 0.3  # for names beside the outer points, a fraction of the range


@dataclasses.dataclass(frozen=True)
class LabeledPoint:
    """Holds a model and two estimates, NaN if not measured: such a model is not drawn, but keeps its look."""

    name: str
    x: Estimate
    y: Estimate

    @property
    def measured(self) -> bool:
        """Whether both were measured."""
        return math.isfinite(self.x.value) and math.isfinite(self.y.value)


def clean_against_robust(
    points: Sequence[LabeledPoint], x_title: str = "clean top-1", y_title: str = "robust top-1"
) -> Figure:
    """Draw robust against clean accuracy, with 95 % intervals and the diagonal of no loss.

    Args:
        points: of at least one model, fractions of 1; a model's index decides its look.
        x_title: the label of the x axis.
        y_title: the label of the y axis.
    """
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    x_bounds, y_bounds = _bounds([point.x for point in points]), _bounds([point.y for point in points])
    x_limits = fraction_limits(x_bounds, ROOM)
    axes.set(xlim=x_limits, ylim=fraction_limits([*y_bounds, *x_limits]), xlabel=x_title, ylabel=y_title)
    axes.plot(x_limits, x_limits, color=DARK, linestyle="--", linewidth=1)
    axes.annotate("no loss", (x_limits[1],) * 2, (4, 0), textcoords="offset points", va="center", fontsize=SMALL)
    percent_axis(axes.xaxis)
    _finish(figure, axes, points, [Path([(x_limits[0],) * 2, (x_limits[1],) * 2])])
    return figure


def throughput_against_accuracy(
    points: Sequence[LabeledPoint], x_title: str = "images per second", y_title: str = "top-1"
) -> Figure:
    """Draw accuracy against speed, with intervals; the axis of speeds is logarithmic if they span more than a decade.

    Args:
        points: of at least one model, x in images per second, y a fraction of 1; a model's index decides its look.
        x_title: the label of the x axis.
        y_title: the label of the y axis.
    """
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    speeds = _bounds([point.x for point in points]) or [1.0]
    axes.set(ylim=fraction_limits(_bounds([point.y for point in points])), xlabel=x_title, ylabel=y_title)
    if min(speeds) > 0 and max(speeds) > DECADE * min(speeds):
        axes.set(xscale="log", xlim=(min(speeds) / 1.5, max(speeds) * 1.5))
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(0, (1 + ROOM) * max(speeds))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda speed, _: f"{speed:,.10g}"))
    _finish(figure, axes, points, [])
    return figure


def _bounds(estimates: Sequence[Estimate]) -> list[float]:
    return [bound for estimate in estimates for bound in (estimate.low, estimate.high) if math.isfinite(bound)]


def _finish(figure: Figure, axes: Axes, points: Sequence[LabeledPoint], lines: list[Path]) -> None:
    """Draw points with error bars both ways, and their names."""
    names, named = shortened([point.name for point in points]), []
    for number, point in enumerate(points):
        if point.measured:
            style = look(number) | {"linestyle": ""}
            (_, x_reach), (_, y_reach) = columns([point.x]), columns([point.y])
            axes.errorbar(
                point.x.value, point.y.value, y_reach, x_reach, **style, markersize=7, elinewidth=0.9, capsize=2
            )
            named.append(Named(names[number], style, (point.x.value, point.y.value)))
            lines.append(Path([(point.x.low, point.y.value), (point.x.high, point.y.value)]))
            lines.append(Path([(point.x.value, point.y.low), (point.x.value, point.y.high)]))
    percent_axis(axes.yaxis)
    plain(axes)
    name_points(figure, axes, named, lines)
