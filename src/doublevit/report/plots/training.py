"""Training curves: loss and accuracy over epochs."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from doublevit.analysis.costs import TrainingHistory
from doublevit.report.plots.names import Named, name_lines, shortened
from doublevit.report.plots.style import columns, dodge, fraction_limits, look, percent_axis, plain

POINTS = 120  # of a loss curve, each a mean over its part of the steps
MARKED = 8  # markers on a loss curve


def training_curves(courses: Sequence[TrainingHistory]) -> Figure:
    """Draw training loss, and top-1 on training images (dashed) and validation images (with 95 % intervals).

    Args:
        courses: those of at least one run; a run's index among them decides its color and marker.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True)
    single = all(len(course.epochs) <= 1 for course in courses)
    offsets = [dodge(number, len(courses)) if single else 0.0 for number in range(len(courses))]
    for number, course in enumerate(courses):
        _draw_loss(left, course, number)
        _draw_top1(right, course, number, offsets[number])
    last = max((epoch for course in courses for epoch in (*course.epochs, *course.loss_steps)), default=1)
    left.set(xlim=(0, last + (0.2 if single else 0.03 * last)), xlabel="epoch", ylabel="loss")
    right.set(xlabel="epoch", ylabel="top-1, 95 % interval", ylim=fraction_limits(_fractions(courses)))
    left.set_title("training loss", fontsize=10)
    right.set_title("top-1: validation solid, training dashed", fontsize=10)
    left.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    percent_axis(right.yaxis)
    plain(left, right)
    names = shortened([course.name for course in courses])
    ends = [_end(course, offset) for course, offset in zip(courses, offsets, strict=True)]
    lines = zip(names, map(look, range(len(names))), ends, strict=True)
    name_lines(figure, right, [Named(name, style | {"linestyle": "-"}, end) for name, style, end in lines])
    return figure


def _draw_loss(axes: Axes, course: TrainingHistory, number: int) -> None:
    parts = min(POINTS, len(course.losses))
    if parts:
        steps, losses = (
            [np.mean(part) for part in np.array_split(values, parts)] for values in (course.loss_steps, course.losses)
        )
        style = look(number) | {"linestyle": "-"}
        every = max(1, parts // MARKED)
        first = number * every // 4 % every  # so that markers of runs do not coincide
        axes.plot(steps, losses, **style, linewidth=1.2, markersize=5, markevery=(first, every))


def _draw_top1(axes: Axes, course: TrainingHistory, number: int, offset: float) -> None:
    style = look(number) | {"linestyle": "-"}
    value, reach = columns(course.val)
    epochs = np.array(course.epochs) + offset
    axes.plot(epochs, value, **style, markersize=5, linewidth=1.4, markevery=max(1, len(epochs) // 12))
    axes.fill_between(epochs, value - reach[0], value + reach[1], color=style["color"], alpha=0.15, linewidth=0)
    alone = _alone(value)  # a band of one epoch has no width
    axes.errorbar(epochs[alone], value[alone], reach[:, alone], fmt="none", ecolor=style["color"], capsize=2)
    if course.train_top1:
        fractions = np.array(course.train_top1, dtype=float)
        marker = style["marker"] if len(fractions) == 1 or _alone(fractions).any() else ""
        dashed = style | {"linestyle": "--", "marker": marker}
        axes.plot(epochs, fractions, **dashed, markersize=5, linewidth=1.1, markerfacecolor="white")


def _alone(values: np.ndarray) -> np.ndarray:
    """Return which values are finite with none before or after them, bool (n,)."""
    finite = np.pad(np.isfinite(values), 1)
    return finite[1:-1] & ~finite[:-2] & ~finite[2:]


def _end(course: TrainingHistory, offset: float) -> tuple[float, float]:
    """Return the last epoch with a validation, and its accuracy; NaN if there is none."""
    value = columns(course.val)[0]
    validated = np.flatnonzero(np.isfinite(value))
    return (course.epochs[validated[-1]] + offset, float(value[validated[-1]])) if len(validated) else (math.nan,) * 2


def _fractions(courses: Sequence[TrainingHistory]) -> list[float]:
    bounds = [bound for course in courses for score in course.val if score for bound in (score.low, score.high)]
    return bounds + [fraction for course in courses for fraction in course.train_top1 or () if fraction is not None]
