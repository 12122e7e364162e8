"""What classes are taken for, as a matrix."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from doublevit.report.plots.style import broken, short

ALL, CONFUSED, COUNTED = 25, 20, 12  # classes shown whole, shown of more, and with counts
DARK_TEXT, LIGHT_TEXT, EMPTY = "#111111", "#fefefe", "#bbbbbb"  # none that an HTML page would replace


def confusion(labels: np.ndarray, answers: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Shares of each true class (a row) that were said to be each class (a column), in percent.

    With 12 classes or fewer each cell tells its photos too. Of more than 25 classes those 20 are shown that are most
    often confused, be it that they are not recognised or that others are taken for them; the rest is one column.

    Args:
        labels: int (N,), the true classes.
        answers: int (N,), the most probable ones.
        class_names: of all classes.
    """
    count = len(class_names)
    counts = np.bincount(labels * count + answers, minlength=count * count).reshape(count, count)
    shown = np.arange(count) if count <= ALL else most_confused(counts)
    matrix, columns = counts[np.ix_(shown, shown)], [short(class_names[label]) for label in shown.tolist()]
    rows, photos = list(columns), counts[shown].sum(axis=1)
    title = f"all {count} classes" if len(shown) == count else f"the {len(shown)} most confused of {count:,} classes"
    if len(shown) < count:
        matrix, columns = np.column_stack([matrix, photos - matrix.sum(axis=1)]), [*columns, "other"]
    side = 1.8 + len(shown) * (0.55 if count <= COUNTED else 0.36)
    figure = Figure(figsize=(max(5.0, side + 1.0), max(3.6, side)), layout="constrained")
    axes = figure.subplots()
    letters = int(11 * figure.get_figwidth())
    figure.suptitle(broken(f"{title}: share of the true class, in percent", letters), fontsize=10)
    _draw(axes, matrix, photos, counted=count <= COUNTED)
    _name(axes, rows, columns)
    return figure


def most_confused(counts: np.ndarray) -> np.ndarray:
    """The 20 classes of a matrix (C, C) that are most often confused, true or said, in their order; int (20,)."""
    mistakes = counts - np.diag(np.diag(counts))
    times = mistakes.sum(axis=0) + mistakes.sum(axis=1)
    return np.sort(np.argsort(-times, kind="stable")[:CONFUSED])


def _draw(axes: Axes, matrix: np.ndarray, photos: np.ndarray, *, counted: bool) -> None:
    shares = np.ma.masked_invalid(matrix / np.where(photos, photos, np.nan)[:, None])
    colours = mpl.colormaps["Blues"].with_extremes(bad=EMPTY)
    places = [np.arange(size + 1) - 0.5 for size in matrix.shape[::-1]]
    axes.pcolormesh(*places, shares, cmap=colours, vmin=0, vmax=1, edgecolor=EMPTY, linewidth=0.4)
    for row in np.flatnonzero(photos == 0).tolist():
        axes.text(places[0].mean(), row, "no photos", ha="center", va="center", fontsize=7.5, color=DARK_TEXT)
    for (row, column), photos_there in np.ndenumerate(matrix):
        if photos_there:
            share = float(shares[row, column])
            text = _text(share) + (f"\n({photos_there:,})" if counted else "")
            colour = LIGHT_TEXT if share > 0.5 else DARK_TEXT
            axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=colour)


def _text(share: float) -> str:
    return f"{100 * share:.0f}" if share >= 0.005 else "<1"


def _name(axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=9, parse_math=False)
    axes.set_yticks(range(len(rows)), rows, fontsize=9, parse_math=False)
    axes.set(xlabel="said", ylabel="true", xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.set_aspect("equal")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
