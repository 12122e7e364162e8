"""Plots for print and screen, as PNG and SVG: no state of pyplot, no display, colours that everybody can tell apart."""

import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from doublevit.files import whole_file
from doublevit.report.calibration import Binned, Calibration
from doublevit.report.classes import ClassResult, best_first, worst_first
from doublevit.report.gallery import first_name
from doublevit.statistics import wilson_interval

BLUE, ORANGE, DARK, GREY, LIGHT = "#0072B2", "#D55E00", "#222222", "#999999", "#D9D9D9"
"""Of Okabe and Ito's palette, told apart in grey too."""
FORMATS = ("png", "svg")
NAMED = 30  # classes that find room on a page
LETTERS = 26  # of a class's name
PERCENT = PercentFormatter(1, decimals=0, symbol=" %")


def save(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as .png and .svg, the same bytes for the same figure; `path` has no ending."""
    written = []
    with warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": "doublevit"}):
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # of a class's name: an empty box is shown
        for ending in FORMATS:
            written.append(path.with_name(f"{path.name}.{ending}"))
            with whole_file(written[-1]) as file:
                metadata = {"Date": None} if ending == "svg" else None
                figure.savefig(file, format=ending, dpi=200, metadata=metadata)
    return written


def reliability(found: Calibration, title: str) -> Figure:
    """Accuracy by confidence (DeGroot and Fienberg 1983; Guo et al. 2017), and below it how many photos are there."""
    figure = Figure(figsize=(5.5, 6.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    bins, error = found.equal_width, found.equal_width.error
    figure.suptitle(
        f"{_broken(title, 62)}\n"
        f"expected calibration error {_percent(error.value)} (95 % interval {_percent(error.low)} to"
        f" {_percent(error.high)})\nmean confidence {_percent(found.confidence)}, accuracy"
        f" {_percent(found.accuracy)}, n = {found.count:,}",
        fontsize=10,
        parse_math=False,
    )
    _draw_bins(above, bins)
    below.bar(bins.edges[:-1], bins.counts, np.diff(bins.edges), align="edge", color=GREY, edgecolor="white")
    below.set(xlabel="confidence", ylabel="photos", xlim=(0, 1))
    below.xaxis.set_major_formatter(PERCENT)
    figure.legend(*above.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    _plain(above, below)
    return figure


def _draw_bins(axes: Axes, bins: Binned) -> None:
    full = np.flatnonzero(bins.counts)
    left, width = bins.edges[full], np.diff(bins.edges)[full]
    accuracy, confidence = bins.accuracy[full], bins.confidence[full]
    axes.bar(left, accuracy, width, align="edge", color=BLUE, edgecolor="white", label="accuracy")
    low, high = np.minimum(accuracy, confidence), np.maximum(accuracy, confidence)
    gaps = axes.bar(left, high - low, width, low, align="edge", label="gap to mean confidence")
    for gap in gaps:
        gap.set(facecolor="none", edgecolor=ORANGE, hatch="////", linewidth=0.8)
    right = np.rint(accuracy * bins.counts[full]).astype(int)
    _intervals(axes, left + width / 2, accuracy, list(zip(right, bins.counts[full], strict=True)))
    axes.plot([0, 1], [0, 1], color=DARK, linestyle="--", linewidth=1, label="perfect")
    axes.set(ylabel="accuracy, 95 % interval", ylim=(0, 1))
    axes.yaxis.set_major_formatter(PERCENT)


def _intervals(axes: Axes, places: np.ndarray, shares: np.ndarray, counts: Sequence[tuple[int, int]]) -> None:
    bounds = np.array([wilson_interval(int(right), int(count)) for right, count in counts])
    axes.errorbar(places, shares, np.abs(bounds.T - shares), fmt="none", ecolor=DARK, elinewidth=1, capsize=2)


def classes(results: Sequence[ClassResult], class_names: Sequence[str], worst: int, title: str) -> Figure:
    """Accuracy of all classes from worst to best, and of the worst with their names, each with its 95 % interval."""
    named = worst_first(results)[: min(worst, NAMED)]
    figure = Figure(figsize=(9, max(4.2, 1.9 + 0.27 * len(named))), layout="constrained")
    left, right = figure.subplots(1, 2)
    figure.suptitle(_broken(title, 100), fontsize=10, parse_math=False)
    _draw_all(left, results)
    _draw_named(right, named, class_names)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    _plain(left, right)
    return figure


def _draw_all(axes: Axes, results: Sequence[ClassResult]) -> None:
    rising = best_first(results)[::-1]
    overall = sum(result.right for result in rising) / sum(result.photos for result in rising)
    shares, bounds = _shares(rising)
    edges = np.arange(len(rising) + 1) + 0.5
    band = np.append(bounds, bounds[:, -1:], axis=1)  # a step ends where the next begins
    axes.fill_between(edges, band[0], band[1], step="post", color=LIGHT, linewidth=0, label="95 % interval of each")
    axes.plot(edges[:-1] + 0.5, shares, ".", color=BLUE, markersize=5, label="accuracy of each class")
    axes.axhline(overall, color=ORANGE, linewidth=1.2, label=f"all photos: {_percent(overall)}")
    axes.set(xlabel="class, worst first", ylabel="accuracy", ylim=(-0.02, 1.02), xlim=(edges[0], edges[-1]))
    axes.set_title(f"the {len(rising):,} classes that have photos", fontsize=10)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _draw_named(axes: Axes, named: Sequence[ClassResult], class_names: Sequence[str]) -> None:
    shares, bounds = _shares(named)
    places = np.arange(len(named))
    axes.errorbar(shares, places, xerr=np.abs(bounds - shares), fmt="none", ecolor=DARK, elinewidth=1, capsize=2)
    axes.plot(shares, places, "o", color=BLUE, markersize=5)
    labels = [f"{_short(class_names[result.label])} ({result.right:,}/{result.photos:,})" for result in named]
    axes.set_yticks(places, labels=labels, fontsize=9, parse_math=False)
    axes.set(xlabel="accuracy, 95 % interval", xlim=(-0.02, 1.02), ylim=(len(named) - 0.5, -0.5))
    axes.set_title(f"the worst {len(named)} (right/photos)", fontsize=10)
    axes.xaxis.set_major_formatter(PERCENT)


def _shares(results: Sequence[ClassResult]) -> tuple[np.ndarray, np.ndarray]:
    """Accuracies (C,), and low and high bounds (2, C)."""
    bounds = np.array([(result.low, result.high) for result in results]).T
    return np.array([result.accuracy for result in results]), bounds


def _plain(*several: Axes) -> None:
    for axes in several:
        axes.spines[["top", "right"]].set_visible(False)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _broken(title: str, letters: int) -> str:
    return "\n".join(textwrap.wrap(title, letters))


def _short(name: str) -> str:
    return textwrap.shorten(first_name(name), LETTERS, placeholder=" …") if len(name) > LETTERS else name
