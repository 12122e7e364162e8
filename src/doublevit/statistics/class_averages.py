"""Averages over classes, in which a rare class counts as much as a frequent one, with bootstrap intervals."""

from collections.abc import Callable

import numpy as np

from doublevit.statistics.proportions import Estimate

ROUNDS = 1000  # of resampling
Average = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Counts by class (rounds, classes) of correct, true and predicted images -> an average for each round (rounds,)."""


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray, seed: int = 0) -> Estimate:
    """Return the mean over classes of the fraction of their images that are recognized, with its 95 % interval.

    Args:
        labels: true classes, int (N,); classes without an image count nothing.
        predicted: predicted classes, int (N,).
        seed: of the resampling of images.
    """
    return _estimate(labels, predicted, _mean_recall, seed)


def macro_f1(labels: np.ndarray, predicted: np.ndarray, seed: int = 0) -> Estimate:
    """Return the mean over classes of F1, the harmonic mean of precision and recall, with its 95 % interval.

    Classes that are neither true nor predicted of any image count nothing, as in scikit-learn.
    """
    return _estimate(labels, predicted, _mean_f1, seed)


CLASS_AVERAGES = {"balanced accuracy": balanced_accuracy, "macro-F1": macro_f1}
"""By the name of their metric in rows."""


def _mean_recall(correct: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    present = true > 0
    return np.where(present, correct / np.where(present, true, 1), 0).sum(axis=1) / present.sum(axis=1)


def _mean_f1(correct: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    both = true + predicted
    present = both > 0
    return np.where(present, 2 * correct / np.where(present, both, 1), 0).sum(axis=1) / present.sum(axis=1)


def _estimate(labels: np.ndarray, predicted: np.ndarray, average: Average, seed: int) -> Estimate:
    """An average over classes, and its percentile interval over resampled images."""
    classes, count = 1 + int(max(labels.max(), predicted.max())), len(labels)
    correct = np.flatnonzero(labels == predicted)

    def counts(times: np.ndarray) -> list[np.ndarray]:
        """How often images of each class are correct, true and predicted, where each image counts so many times."""
        return [
            np.bincount(labels[correct], times[correct], classes),
            np.bincount(labels, times, classes),
            np.bincount(predicted, times, classes),
        ]

    random = np.random.default_rng(seed)
    rounds = [counts(np.bincount(random.integers(count, size=count), minlength=count)) for _ in range(ROUNDS)]
    drawn = average(*(np.stack(column) for column in zip(*rounds, strict=True)))
    value = average(*(column[None] for column in counts(np.ones(count))))[0]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(float(value), float(low), float(high))
