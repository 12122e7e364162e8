"""What right answers on corrupted images say together, of one model and of two.

A cell is a corruption at a severity. Cells are bool (C, N), whether each of N images was recognized in each of C cells;
images are drawn, cells are not: intervals are about other images, not about other corruptions.
"""

from collections.abc import Sequence

import numpy as np

from doublevit.statistics.proportions import Estimate, differences
from doublevit.statistics.resampling import bootstrap, bootstrap_test

EQUAL = 1e-9  # the spread, as a fraction of the numbers themselves, below which they are the same but for rounding
Pair = tuple[np.ndarray, np.ndarray]
"""Whether a model recognized clean images, bool (M,), and those of cells, bool (C, N)."""


def mean_accuracy(cells: np.ndarray, matched: bool = True) -> Estimate:
    """The mean accuracy over cells, bool (C, N), with its 95 % interval.

    Args:
        cells: whether each image was recognized in each cell.
        matched: as for `relative_change`, to have images drawn as it draws them; the value is the same.
    """
    groups = [cells] if matched else [cells[:0], cells]  # none in the place of the clean images
    return bootstrap(groups, lambda means: means.mean(axis=1))


def relative_change(clean: np.ndarray, cells: np.ndarray, matched: bool = True) -> Estimate:
    """The paper's robustness: (mean accuracy over cells - clean accuracy) / clean accuracy, with its 95 % interval.

    A fraction: -0.13 is what the paper prints as -13.0 %.

    Args:
        clean: whether each clean image was recognized, bool (M,).
        cells: whether each image was recognized in each cell, bool (C, N).
        matched: whether the clean images are those of the cells, so that they are drawn together.

    Raises:
        ValueError: no clean image was recognized, so that there is nothing to divide by.
    """
    _require_right(clean)
    return bootstrap(_groups(clean[None], cells, matched), lambda means: _change(means[:, :1], means[:, 1:]))


def change_difference(own: Pair, other: Pair, matched: bool = True) -> tuple[Estimate, float]:
    """How much higher one model's relative change is than another's on the same images; the p value that it is not.

    Both come from the same drawings: the 95 % percentile interval, and Wald's two-sided p value.

    Args:
        own: what it recognized of clean images and of cells.
        other: those of the other model, of the same images and as many cells.
        matched: whether the clean images are those of the cells, so that they are drawn together.

    Raises:
        ValueError: the two are not of the same images, or one recognized no clean image.
    """
    shapes = [[correct.shape for correct in pair] for pair in (own, other)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"expected two models on the same images and cells, found {shapes[0]} and {shapes[1]}")
    for clean, _ in (own, other):
        _require_right(clean)

    def difference(means: np.ndarray) -> np.ndarray:
        cells, others = np.split(means[:, 2:], 2, axis=1)
        return _change(means[:, :1], cells) - _change(means[:, 1:2], others)

    both = np.stack([own[0], other[0]]), np.concatenate([own[1], other[1]])
    return bootstrap_test(_groups(*both, matched), difference)


def relative_error(cells: np.ndarray, reference: np.ndarray, names: Sequence[str]) -> Estimate:
    """Mean over corruptions of the error summed over severities, divided by a reference model's; its 95 % interval.

    Hendrycks and Dietterich's (2019) corruption error, with a model that was measured in the place of AlexNet.

    Args:
        cells: whether each image was recognized in each cell, bool (C, N).
        reference: the same of the reference model, bool (C, N).
        names: the corruption of each cell.

    Raises:
        ValueError: the reference makes no error on some corruption, so that there is nothing to divide by.
    """
    numbers = np.unique(names, return_inverse=True)[1]
    corruptions = numbers == np.arange(numbers.max() + 1)[:, None]  # (corruptions, C)
    if not (corruptions @ (1 - reference.mean(axis=1)) > 0).all():
        raise ValueError("expected a reference that makes errors on every corruption, found one without any")
    least = 0.5 / cells.shape[1]  # half an error, for a drawing in which the reference makes none

    def ratio(means: np.ndarray) -> np.ndarray:
        errors, others = ((1 - half) @ corruptions.T for half in np.split(means, 2, axis=1))
        return (errors / np.maximum(others, least)).mean(axis=1)

    return bootstrap([np.concatenate([cells, reference])], ratio)


def paired_mean_test(scores: np.ndarray, others: np.ndarray) -> float:
    """The p value that two models' mean scores of the same images are equal: Student's paired t test, two-sided.

    Where every score differs by the same, the sign test's.

    Args:
        scores: of each image, float (N,), such as the fraction of its corruptions that were recognized.
        others: the same of the other model.

    Raises:
        ValueError: these are not of the same images, or of fewer than two.
    """
    gaps = differences(scores, others)
    if not gaps.any():
        return 1.0  # where the test would divide zero by zero
    if len(scores) < 2:
        raise ValueError("expected the scores of at least two images, found 1")
    if np.ptp(gaps) < EQUAL * np.abs(gaps).max():
        return float(0.5 ** (len(gaps) - 1))  # the sign test's: there is no spread to divide by
    from scipy.stats import ttest_rel

    return float(ttest_rel(scores, others).pvalue)


def _groups(clean: np.ndarray, cells: np.ndarray, matched: bool) -> list[np.ndarray]:
    """What is drawn together: all if the clean images are those of the cells."""
    return [np.concatenate([clean, cells])] if matched else [clean, cells]


def _change(clean: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Accuracies (rounds, 1) and (rounds, C) -> relative changes (rounds,)."""
    some = np.where(clean[:, 0] > 0, clean[:, 0], np.nan)  # a drawing in which no clean image is right says nothing
    return cells.mean(axis=1) / some - 1


def _require_right(clean: np.ndarray) -> None:
    if not clean.any():
        raise ValueError("expected a model that recognizes some clean image, found none that it does")
