"""The reliability diagram."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from doublevit.report.calibration import Binned, Calibration
from doublevit.report.plots.style import BLUE, DARK, GREY, ORANGE, PERCENT, broken, percent, plain
from doublevit.statistics import wilson_interval


def reliability(found: Calibration, title: str) -> Figure:
    """Accuracy by confidence (DeGroot and Fienberg 1983; Guo et al. 2017), and below it how many photos are there."""
    figure = Figure(figsize=(5.5, 6.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    bins, error = found.equal_width, found.equal_width.error
    figure.suptitle(
        f"{broken(title, 62)}\n"
        f"expected calibration error {percent(error.value)} (95 % interval {percent(error.low)} to"
        f" {percent(error.high)})\nmean confidence {percent(found.confidence)}, accuracy"
        f" {percent(found.accuracy)}, n = {found.count:,}",
        fontsize=10,
        parse_math=False,
    )
    _draw_bins(above, bins)
    below.bar(bins.edges[:-1], bins.counts, np.diff(bins.edges), align="edge", color=GREY, edgecolor="white")
    below.set(xlabel="confidence", ylabel="photos", xlim=(0, 1))
    below.xaxis.set_major_formatter(PERCENT)
    figure.legend(*above.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    plain(above, below)
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
