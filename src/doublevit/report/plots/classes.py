"""How well each class is known."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from doublevit.report.classes import ClassResult, best_first, worst_first
from doublevit.report.plots.style import BLUE, DARK, LIGHT, ORANGE, PERCENT, broken, percent, plain, short

NAMED = 30  # classes that find room on a page


def classes(results: Sequence[ClassResult], class_names: Sequence[str], worst: int, title: str) -> Figure:
    """Accuracy of all classes from worst to best, and of the worst with their names, each with its 95 % interval."""
    named = worst_first(results)[: min(worst, NAMED)]
    figure = Figure(figsize=(9, max(4.2, 1.9 + 0.27 * len(named))), layout="constrained")
    left, right = figure.subplots(1, 2)
    figure.suptitle(broken(title, 100), fontsize=10, parse_math=False)
    _draw_all(left, results)
    _draw_named(right, named, class_names)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    plain(left, right)
    return figure


def _draw_all(axes: Axes, results: Sequence[ClassResult]) -> None:
    rising = best_first(results)[::-1]
    overall = sum(result.right for result in rising) / sum(result.photos for result in rising)
    shares, bounds = _shares(rising)
    edges = np.arange(len(rising) + 1) + 0.5
    band = np.append(bounds, bounds[:, -1:], axis=1)  # a step ends where the next begins
    axes.fill_between(edges, band[0], band[1], step="post", color=LIGHT, linewidth=0, label="95 % interval of each")
    axes.plot(edges[:-1] + 0.5, shares, ".", color=BLUE, markersize=5, label="accuracy of each class")
    axes.axhline(overall, color=ORANGE, linewidth=1.2, label=f"all photos: {percent(overall)}")
    axes.set(xlabel="class, worst first", ylabel="accuracy", ylim=(-0.02, 1.02), xlim=(edges[0], edges[-1]))
    axes.set_title(f"the {len(rising):,} classes that have photos", fontsize=10)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _draw_named(axes: Axes, named: Sequence[ClassResult], class_names: Sequence[str]) -> None:
    shares, bounds = _shares(named)
    places = np.arange(len(named))
    axes.errorbar(shares, places, xerr=np.abs(bounds - shares), fmt="none", ecolor=DARK, elinewidth=1, capsize=2)
    axes.plot(shares, places, "o", color=BLUE, markersize=5)
    labels = [f"{short(class_names[result.label])} ({result.right:,}/{result.photos:,})" for result in named]
    axes.set_yticks(places, labels=labels, fontsize=9, parse_math=False)
    axes.set(xlabel="accuracy, 95 % interval", xlim=(-0.02, 1.02), ylim=(len(named) - 0.5, -0.5))
    axes.set_title(f"the worst {len(named)} (right/photos)", fontsize=10)
    axes.xaxis.set_major_formatter(PERCENT)


def _shares(results: Sequence[ClassResult]) -> tuple[np.ndarray, np.ndarray]:
    """Accuracies (C,), and low and high bounds (2, C)."""
    bounds = np.array([(result.low, result.high) for result in results]).T
    return np.array([result.accuracy for result in results]), bounds
