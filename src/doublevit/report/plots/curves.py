"""Accuracy as lines: by severity of corruptions, and by epsilon of an attack."""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from doublevit.attacks.epsilons import format_epsilon
from doublevit.report.plots.names import Named, name_lines, shortened
from doublevit.report.plots.style import SMALL, aside, broken, draw_line, fraction_limits, look, percent_axis, plain
from doublevit.statistics import Estimate

Severities = Mapping[int, Estimate]
WORST = 5  # severity


def severity_curves(accuracies: Mapping[str, Mapping[str, Severities]], clean: Mapping[str, Estimate]) -> Figure:
    """A panel for each corruption, with a line for each run from clean images (hollow) to severity 5.

    Args:
        accuracies: by run, corruption and severity; what was not measured is not there. A run's index decides its look,
            so that runs of which there is nothing here keep the looks of the others as in other plots.
        clean: by run, those of the images without corruption.
    """
    corruptions = list(dict.fromkeys(name for of_run in accuracies.values() for name in of_run))
    wide = _wide(len(corruptions))
    figure, panels = _panels(len(corruptions), wide)
    for panel, corruption in zip(panels, corruptions, strict=True):
        panel.set_title(corruption, fontsize=10, parse_math=False)
        for number, (run, of_run) in enumerate(accuracies.items()):
            _draw_run(panel, of_run.get(corruption, {}), clean.get(run), number, aside(number, len(accuracies)))
    limits = fraction_limits([bound for each in _shown(accuracies, clean) for bound in (each.low, each.high)])
    panels[0].set(xlim=(-0.4, WORST + 0.4), xticks=range(WORST + 1), ylim=limits)
    percent_axis(panels[0].yaxis)
    plain(*panels)
    # Looks are the same in all panels: names at the right end of the first row stand for all.
    name_lines(figure, panels[wide - 1], _named(accuracies, corruptions[wide - 1]))
    return figure


def _wide(count: int) -> int:
    """Panels in a row, so that as few as can be are missing in the last."""
    return count if count <= 5 else min((5, 4, 3), key=lambda wide: -count % wide)


def _panels(count: int, wide: int) -> tuple[Figure, list[Axes]]:
    high = math.ceil(count / wide)
    size = (6.5, 4.0) if count == 1 else (max(5.5, 2.1 * wide + 1.2), max(2.8, 2.1 * high + 0.6))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(high, wide, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in grid[count:]:
        axes.remove()
    for axes in grid[count - wide : count]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("severity (0: clean)")
    for axes in grid[::wide]:
        axes.set_ylabel("top-1, 95 % interval")
    return figure, list(grid[:count])


def _draw_run(axes: Axes, severities: Severities, clean: Estimate | None, number: int, offset: float) -> None:
    """A line, a little aside of others so that error bars do not hide one another."""
    measured = dict(sorted(severities.items()))
    if measured and clean:
        thin: dict[str, Any] = look(number) | {"marker": "", "linewidth": 0.7}
        axes.plot([offset, min(measured) + offset], [clean.value, measured[min(measured)].value], **thin)
        draw_line(axes, [offset], [clean], look(number) | {"markerfacecolor": "white"})
    if measured:
        draw_line(axes, [severity + offset for severity in measured], list(measured.values()), look(number))


def _shown(accuracies: Mapping[str, Mapping[str, Severities]], clean: Mapping[str, Estimate]) -> list[Estimate]:
    corrupted = [
        each for of_run in accuracies.values() for severities in of_run.values() for each in severities.values()
    ]
    return corrupted + [clean[run] for run, of_run in accuracies.items() if of_run and run in clean]


def _named(accuracies: Mapping[str, Mapping[str, Severities]], corruption: str) -> list[Named]:
    """The runs of which there is anything, at their last severities of that corruption."""
    lines = []
    for number, (name, of_run) in enumerate(zip(shortened(list(accuracies)), accuracies.values(), strict=True)):
        severities = of_run.get(corruption, {})
        if severities:
            last = max(severities)
            lines.append(Named(name, look(number), (last + aside(number, len(accuracies)), severities[last].value)))
        elif any(of_run.values()):
            lines.append(Named(name, look(number)))
    return lines


LEVEL, MOST = 8, 20  # epsilons whose names find room side by side, and upright


def epsilon_curves(curves: Mapping[str, Mapping[float, Estimate]], norm: str, title: str) -> Figure:
    """Accuracy against epsilon, a line for each run; epsilons stand side by side, however far apart.

    Args:
        curves: by run and epsilon, a fraction of the pixel range; what was not measured is not there.
            A run's index decides its look.
        norm: "linf", "l2" or "l1".
        title: what was attacked, and how.
    """
    epsilons = sorted({epsilon for curve in curves.values() for epsilon in curve})
    rank = {epsilon: index for index, epsilon in enumerate(epsilons)}
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    figure.suptitle(broken(title, 90), fontsize=10, parse_math=False)
    lines = []
    for number, (name, curve) in enumerate(zip(shortened(list(curves)), curves.values(), strict=True)):
        if curve:
            positions, estimates = (
                [rank[epsilon] for epsilon in sorted(curve)],
                [curve[epsilon] for epsilon in sorted(curve)],
            )
            draw_line(axes, positions, estimates, look(number))
            lines.append(Named(name, look(number), (positions[-1], estimates[-1].value)))
    bounds = [bound for curve in curves.values() for each in curve.values() for bound in (each.low, each.high)]
    axes.set(xlabel=f"epsilon ({norm}), not to scale", ylabel="top-1, 95 % interval", ylim=fraction_limits(bounds))
    every = -(-len(epsilons) // MOST)
    texts = [format_epsilon(epsilon, norm) for epsilon in epsilons[::every]]
    axes.set_xticks(range(0, len(epsilons), every), texts, fontsize=SMALL, rotation=0 if len(texts) <= LEVEL else 90)
    percent_axis(axes.yaxis)
    plain(axes)
    name_lines(figure, axes, lines)
    return figure
