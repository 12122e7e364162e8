"""Plots of a network's mistakes: accuracy by class, confusions, reliability."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from doublevit.analysis.calibration import Calibration, ReliabilityBins
from doublevit.analysis.classes import ClassResult, best_first, worst_first
from doublevit.report.plots.style import BLUE, DARK, GRAY, LIGHT, ORANGE, PERCENT, percent, plain, short, wrapped
from doublevit.statistics import wilson_interval

MOST_NAMED = 30  # classes that find room on a page


def classes(results: Sequence[ClassResult], class_names: Sequence[str], worst: int, title: str) -> Figure:
    """Draw the accuracy of all classes from worst to best, and of the worst by name, with 95 % intervals."""
    named = worst_first(results)[: min(worst, MOST_NAMED)]
    figure = Figure(figsize=(9, max(4.2, 1.9 + 0.27 * len(named))), layout="constrained")
    left, right = figure.subplots(1, 2)
    figure.suptitle(wrapped(title, 100), fontsize=10, parse_math=False)
    _draw_all(left, results)
    _draw_named(right, named, class_names)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    plain(left, right)
    return figure


def _draw_all(axes: Axes, results: Sequence[ClassResult]) -> None:
    rising = best_first(results)[::-1]
    overall = sum(result.correct for result in rising) / sum(result.images for result in rising)
    fractions, bounds = _fractions(rising)
    edges = np.arange(len(rising) + 1) + 0.5
    band = np.append(bounds, bounds[:, -1:], axis=1)  # a step ends where the next begins
    axes.fill_between(edges, band[0], band[1], step="post", color=LIGHT, linewidth=0, label="95 % interval of each")
    axes.plot(edges[:-1] + 0.5, fractions, ".", color=BLUE, markersize=5, label="accuracy of each class")
    axes.axhline(overall, color=ORANGE, linewidth=1.2, label=f"all images: {percent(overall)}")
    axes.set(xlabel="class, worst first", ylabel="accuracy", ylim=(-0.02, 1.02), xlim=(edges[0], edges[-1]))
    axes.set_title(f"the {len(rising):,} classes that have images", fontsize=10)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _draw_named(axes: Axes, named: Sequence[ClassResult], class_names: Sequence[str]) -> None:
    fractions, bounds = _fractions(named)
    positions = np.arange(len(named))
    axes.errorbar(
        fractions, positions, xerr=np.abs(bounds - fractions), fmt="none", ecolor=DARK, elinewidth=1, capsize=2
    )
    axes.plot(fractions, positions, "o", color=BLUE, markersize=5)
    labels = [f"{short(class_names[result.label])} ({result.correct:,}/{result.images:,})" for result in named]
    axes.set_yticks(positions, labels=labels, fontsize=9, parse_math=False)
    axes.set(xlabel="accuracy, 95 % interval", xlim=(-0.02, 1.02), ylim=(len(named) - 0.5, -0.5))
    axes.set_title(f"the worst {len(named)} (right/images)", fontsize=10)
    axes.xaxis.set_major_formatter(PERCENT)


def _fractions(results: Sequence[ClassResult]) -> tuple[np.ndarray, np.ndarray]:
    """Return accuracies (C,), and low and high bounds (2, C)."""
    bounds = np.array([(result.low, result.high) for result in results]).T
    return np.array([result.accuracy for result in results]), bounds


ALL, CONFUSED, COUNTED = 25, 20, 12  # classes shown whole, shown of more, and with counts
DARK_TEXT, LIGHT_TEXT, EMPTY = "#111111", "#fefefe", "#bbbbbb"  # none of the colors that `inline_svg` replaces


def confusion(labels: np.ndarray, answers: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Draw the confusion matrix: fractions of each true class (a row) predicted as each class (a column), in percent.

    With 12 classes or fewer, cells also have numbers of images. Of more than 25 classes, the 20 that are most often
    confused are shown, whether they are missed or others are taken for them; all other classes share one column.

    Args:
        labels: int (N,), the true classes.
        answers: int (N,), the predicted classes.
        class_names: the names of all classes.
    """
    count = len(class_names)
    counts = np.bincount(labels * count + answers, minlength=count * count).reshape(count, count)
    shown = np.arange(count) if count <= ALL else most_confused(counts)
    matrix, columns = counts[np.ix_(shown, shown)], [short(class_names[label]) for label in shown.tolist()]
    rows, images = list(columns), counts[shown].sum(axis=1)
    title = f"all {count} classes" if len(shown) == count else f"the {len(shown)} most confused of {count:,} classes"
    if len(shown) < count:
        matrix, columns = np.column_stack([matrix, images - matrix.sum(axis=1)]), [*columns, "other"]
    side = 1.8 + len(shown) * (0.55 if count <= COUNTED else 0.36)
    figure = Figure(figsize=(max(5.0, side + 1.0), max(3.6, side)), layout="constrained")
    axes = figure.subplots()
    letters = int(11 * figure.get_figwidth())
    figure.suptitle(wrapped(f"{title}: fraction of the true class, in percent", letters), fontsize=10)
    _draw(axes, matrix, images, counted=count <= COUNTED)
    _name(axes, rows, columns)
    return figure


def most_confused(counts: np.ndarray) -> np.ndarray:
    """Return the 20 classes of a matrix (C, C) that are most often confused, true or predicted, sorted; int (20,)."""
    mistakes = counts - np.diag(np.diag(counts))
    times = mistakes.sum(axis=0) + mistakes.sum(axis=1)
    return np.sort(np.argsort(-times, kind="stable")[:CONFUSED])


def _draw(axes: Axes, matrix: np.ndarray, images: np.ndarray, *, counted: bool) -> None:
    fractions = np.ma.masked_invalid(matrix / np.where(images, images, np.nan)[:, None])
    colors = mpl.colormaps["Blues"].with_extremes(bad=EMPTY)
    positions = [np.arange(size + 1) - 0.5 for size in matrix.shape[::-1]]
    axes.pcolormesh(*positions, fractions, cmap=colors, vmin=0, vmax=1, edgecolor=EMPTY, linewidth=0.4)
    for row in np.flatnonzero(images == 0).tolist():
        axes.text(positions[0].mean(), row, "no images", ha="center", va="center", fontsize=7.5, color=DARK_TEXT)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            fraction = float(fractions[row, column])
            text = _text(fraction) + (f"\n({count:,})" if counted else "")
            color = LIGHT_TEXT if fraction > 0.5 else DARK_TEXT
            axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=color)


def _text(fraction: float) -> str:
    return f"{100 * fraction:.0f}" if fraction >= 0.005 else "<1"


def _name(axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=9, parse_math=False)
    axes.set_yticks(range(len(rows)), rows, fontsize=9, parse_math=False)
    axes.set(xlabel="predicted", ylabel="true", xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.set_aspect("equal")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def reliability(calibration: Calibration, title: str) -> Figure:
    """Draw accuracy by confidence (DeGroot and Fienberg 1983; Guo et al. 2017), and the number of images below it."""
    figure = Figure(figsize=(5.5, 6.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    bins, error = calibration.equal_width, calibration.equal_width.ece
    figure.suptitle(
        f"{wrapped(title, 62)}\n"
        f"expected calibration error {percent(error.value)} (95 % interval {percent(error.low)} to"
        f" {percent(error.high)})\nmean confidence {percent(calibration.confidence)}, accuracy"
        f" {percent(calibration.accuracy)}, n = {calibration.count:,}",
        fontsize=10,
        parse_math=False,
    )
    _draw_bins(above, bins)
    below.bar(bins.edges[:-1], bins.counts, np.diff(bins.edges), align="edge", color=GRAY, edgecolor="white")
    below.set(xlabel="confidence", ylabel="images", xlim=(0, 1))
    below.xaxis.set_major_formatter(PERCENT)
    figure.legend(*above.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    plain(above, below)
    return figure


def _draw_bins(axes: Axes, bins: ReliabilityBins) -> None:
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


def _intervals(axes: Axes, positions: np.ndarray, fractions: np.ndarray, counts: Sequence[tuple[int, int]]) -> None:
    bounds = np.array([wilson_interval(int(right), int(count)) for right, count in counts])
    axes.errorbar(positions, fractions, np.abs(bounds.T - fractions), fmt="none", ecolor=DARK, elinewidth=1, capsize=2)
