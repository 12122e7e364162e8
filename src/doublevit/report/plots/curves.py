"""Line plots of accuracy, by severity of corruptions and by epsilon of an attack."""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from doublevit.attacks.epsilons import format_epsilon
from doublevit.report.plots.names import Named, name_lines, shortened
from doublevit.report.plots.style import SMALL, dodge, draw_line, fraction_limits, look, percent_axis, plain, wrapped
from doublevit.statistics import Estimate

Severities = Mapping[int, Estimate]
MAX_SEVERITY = 5


def severity_curves(accuracies: Mapping[str, Mapping[str, Severities]], clean: Mapping[str, Estimate]) -> Figure:
    """Draw a panel for each corruption, with a line for each run from clean images (hollow) to severity 5.

    Args:
        accuracies: by run, corruption and severity; what was not measured is missing. A run's index decides its look,
            so that runs without any measurement keep those of the others the same as in other plots.
        clean: accuracies on clean images, by run.
    """
    corruptions = list(dict.fromkeys(name for of_run in accuracies.values() for name in of_run))
    columns = _columns(len(corruptions))
    figure, panels = _panels(len(corruptions), columns)
    for panel, corruption in zip(panels, corruptions, strict=True):
        panel.set_title(corruption, fontsize=10, parse_math=False)
        for number, (run, of_run) in enumerate(accuracies.items()):
            _draw_run(panel, of_run.get(corruption, {}), clean.get(run), number, dodge(number, len(accuracies)))
    limits = fraction_limits(
        [bound for estimate in _shown(accuracies, clean) for bound in (estimate.low, estimate.high)]
    )
    panels[0].set(xlim=(-0.4, MAX_SEVERITY + 0.4), xticks=range(MAX_SEVERITY + 1), ylim=limits)
    percent_axis(panels[0].yaxis)
    plain(*panels)
    # Looks are the same in all panels: names at the right end of the first row stand for all.
    name_lines(figure, panels[columns - 1], _named(accuracies, corruptions[columns - 1]))
    return figure


def _columns(count: int) -> int:
    """Return the number of panels in a row that leaves the fewest gaps in the last row."""
    return count if count <= 5 else min((5, 4, 3), key=lambda columns: -count % columns)


def _panels(count: int, columns: int) -> tuple[Figure, list[Axes]]:
    rows = math.ceil(count / columns)
    size = (6.5, 4.0) if count == 1 else (max(5.5, 2.1 * columns + 1.2), max(2.8, 2.1 * rows + 0.6))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in grid[count:]:
        axes.remove()
    for axes in grid[count - columns : count]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("severity (0: clean)")
    for axes in grid[::columns]:
        axes.set_ylabel("top-1, 95 % interval")
    return figure, list(grid[:count])


def _draw_run(axes: Axes, severities: Severities, clean: Estimate | None, number: int, offset: float) -> None:
    """Draw the line of a run, moved by `offset` so that error bars do not hide one another."""
    measured = dict(sorted(severities.items()))
    if measured and clean:
        thin: dict[str, Any] = look(number) | {"marker": "", "linewidth": 0.7}
        axes.plot([offset, min(measured) + offset], [clean.value, measured[min(measured)].value], **thin)
        draw_line(axes, [offset], [clean], look(number) | {"markerfacecolor": "white"})
    if measured:
        draw_line(axes, [severity + offset for severity in measured], list(measured.values()), look(number))


def _shown(accuracies: Mapping[str, Mapping[str, Severities]], clean: Mapping[str, Estimate]) -> list[Estimate]:
    corrupted = [
        estimate for of_run in accuracies.values() for severities in of_run.values() for estimate in severities.values()
    ]
    return corrupted + [clean[run] for run, of_run in accuracies.items() if of_run and run in clean]


def _named(accuracies: Mapping[str, Mapping[str, Severities]], corruption: str) -> list[Named]:
    """Return the runs that have any measurement, at the last severity measured under `corruption`."""
    lines = []
    for number, (name, of_run) in enumerate(zip(shortened(list(accuracies)), accuracies.values(), strict=True)):
        severities = of_run.get(corruption, {})
        if severities:
            last = max(severities)
            lines.append(Named(name, look(number), (last + dodge(number, len(accuracies)), severities[last].value)))
        elif any(of_run.values()):
            lines.append(Named(name, look(number)))
    return lines


MOST_HORIZONTAL, MOST = 8, 20  # labels of epsilons that find room horizontally, and vertically


def epsilon_curves(curves: Mapping[str, Mapping[float, Estimate]], norm: str, title: str) -> Figure:
    """Draw accuracy against epsilon, a line for each run; epsilons are evenly spaced, whatever their values.

    Args:
        curves: by run and epsilon (a fraction of the pixel range); what was not measured is missing.
            A run's index decides its look.
        norm: "linf", "l2" or "l1".
        title: the attack.
    """
    epsilons = sorted({epsilon for curve in curves.values() for epsilon in curve})
    rank = {epsilon: index for index, epsilon in enumerate(epsilons)}
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    figure.suptitle(wrapped(title, 90), fontsize=10, parse_math=False)
    lines = []
    for number, (name, curve) in enumerate(zip(shortened(list(curves)), curves.values(), strict=True)):
        if curve:
            positions, estimates = (
                [rank[epsilon] for epsilon in sorted(curve)],
                [curve[epsilon] for epsilon in sorted(curve)],
            )
            draw_line(axes, positions, estimates, look(number))
            lines.append(Named(name, look(number), (positions[-1], estimates[-1].value)))
    bounds = [bound for curve in curves.values() for score in curve.values() for bound in (score.low, score.high)]
    axes.set(xlabel=f"epsilon ({norm}), not to scale", ylabel="top-1, 95 % interval", ylim=fraction_limits(bounds))
    every = -(-len(epsilons) // MOST)
    texts = [format_epsilon(epsilon, norm) for epsilon in epsilons[::every]]
    rotation = 0 if len(texts) <= MOST_HORIZONTAL else 90
    axes.set_xticks(range(0, len(epsilons), every), texts, fontsize=SMALL, rotation=rotation)
    percent_axis(axes.yaxis)
    plain(axes)
    name_lines(figure, axes, lines)
    return figure
