"""Averages over classes, in which a rare class counts as much as a frequent one, with 95 % intervals."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from doublevit.statistics.proportions import Estimate, wilson_interval

ROUNDS = 1000  # of resampling


class ClassScore(NamedTuple):
    """A score of one class as a function of a proportion: of correct images among those that `total` counts.

    `total` takes counts by class of correct, true and predicted images, `value` maps the proportion to the score.
    """

    total: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    value: Callable[[np.ndarray], np.ndarray]


RECALL = ClassScore(lambda correct, true, predicted: true, lambda proportion: proportion)
F1 = ClassScore(
    lambda correct, true, predicted: true + predicted - correct, lambda jaccard: 2 * jaccard / (1 + jaccard)
)


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray, seed: int = 0) -> Estimate:
    """Return the mean over classes of the fraction of their images that are recognized, with its 95 % interval.

    Args:
        labels: true classes, int (N,); classes without an image count nothing.
        predicted: predicted classes, int (N,).
        seed: of the resampling of images.
    """
    return _estimate(labels, predicted, RECALL, seed)


def macro_f1(labels: np.ndarray, predicted: np.ndarray, seed: int = 0) -> Estimate:
    """Return the mean over classes of F1, the harmonic mean of precision and recall, with its 95 % interval.

    Classes that are neither true nor predicted of any image count nothing, as in scikit-learn. Where classes have a
    single image each, F1 of a sample is lower than that of many images, and the interval misses the latter.
    """
    return _estimate(labels, predicted, F1, seed)


CLASS_AVERAGES = {"balanced accuracy": balanced_accuracy, "macro-F1": macro_f1}
"""By the name of their metric in rows."""


def _estimate(labels: np.ndarray, predicted: np.ndarray, score: ClassScore, seed: int) -> Estimate:
    """An average over classes, with the lower and the upper of two intervals' bounds.

    The bootstrap collapses where few images are wrong; Wilson's intervals of the classes take these for independent,
    which their F1 are not.
    """
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
    drawn = _mean(score, *(np.stack(column) for column in zip(*rounds, strict=True)))
    once = counts(np.ones(count))
    value = float(_mean(score, *(column[None] for column in once))[0])
    # Resamples lack images, and rare classes wholly, so that they lie off the value: their spread is taken, not that.
    low, high = np.percentile(drawn, [2.5, 97.5]) - drawn.mean() + value
    wilson = _combined_wilson(score, *once)
    return Estimate(value, max(0.0, min(float(low), wilson[0])), min(1.0, max(float(high), wilson[1])))


def _mean(score: ClassScore, correct: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Mean over the classes that there are of each round, from counts (rounds, classes)."""
    total = score.total(correct, true, predicted)
    present = total > 0
    return np.where(present, score.value(correct / np.where(present, total, 1)), 0).sum(axis=1) / present.sum(axis=1)


def _combined_wilson(
    score: ClassScore, correct: np.ndarray, true: np.ndarray, predicted: np.ndarray
) -> tuple[float, float]:
    """Interval of the mean over classes from Wilson's interval of each, by MOVER (Zou and Donner 2008).

    F1 is monotonic in the Jaccard index, which is a proportion, and so has the transformed interval.
    """
    total = score.total(correct, true, predicted)
    pairs = [(int(right), int(of)) for right, of in zip(correct, total, strict=True) if of]
    bounds = np.array([(right / of, *wilson_interval(right, of)) for right, of in pairs])
    value, low, high = score.value(bounds).T
    below, above = np.sqrt(((value - low) ** 2).sum()), np.sqrt(((high - value) ** 2).sum())
    return float(value.mean() - below / len(pairs)), float(value.mean() + above / len(pairs))
