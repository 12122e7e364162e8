"""How well each class is known, and what it is taken for."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from doublevit.runs.predictions import Predictions
from doublevit.statistics import wilson_interval


@dataclasses.dataclass(frozen=True)
class ClassResult:
    """A class with `images`, of which `right` were known; `answered` is how often the answer was this class.

    `low` and `high` bound Wilson's 95 % interval of its accuracy.
    """

    label: int
    images: int
    right: int
    answered: int
    low: float
    high: float

    @property
    def accuracy(self) -> float:
        """The fraction that was known, of at least one image."""
        return self.right / self.images


@dataclasses.dataclass(frozen=True)
class Confusion:
    """Images of the class `true` for which the answer was `answer`: how many, which fraction of the class."""

    true: int
    answer: int
    images: int
    fraction: float


def labels_and_answers(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """True and most probable class of every image, int64 (N,) each."""
    return predictions.labels.astype(np.int64), predictions.classes[:, 0].astype(np.int64)


def class_results(labels: np.ndarray, answers: np.ndarray, classes: int) -> list[ClassResult]:
    """Every class in its order, those without images too (with an interval that says nothing: 0 to 1).

    Args:
        labels: int (N,), the true classes.
        answers: int (N,), the most probable ones.
        classes: how many there are.
    """
    counts = [np.bincount(which, minlength=classes) for which in (labels, labels[labels == answers], answers)]
    return [_result(label, *map(int, of_class)) for label, of_class in enumerate(zip(*counts, strict=True))]


def _result(label: int, images: int, right: int, answered: int) -> ClassResult:
    low, high = wilson_interval(right, images) if images else (0.0, 1.0)
    return ClassResult(label, images, right, answered, low, high)


def worst_first(results: Sequence[ClassResult]) -> list[ClassResult]:
    """The classes that have images, by accuracy; of equals first those of which that is surest."""
    there = [result for result in results if result.images]
    return sorted(there, key=lambda result: (result.accuracy, result.high))


def best_first(results: Sequence[ClassResult]) -> list[ClassResult]:
    """The classes that have images, by falling accuracy; of equals first those of which that is surest."""
    there = [result for result in results if result.images]
    return sorted(there, key=lambda result: (-result.accuracy, -result.low))


def surest_mistakes(predictions: Predictions, count: int) -> np.ndarray:
    """Indices of up to `count` images for which the answer was wrong, the surest answer first, int (n,)."""
    wrong = np.flatnonzero(~predictions.correct(1))
    return wrong[np.argsort(-predictions.probabilities[wrong, 0], kind="stable")][:count]


def confusions(labels: np.ndarray, answers: np.ndarray) -> list[Confusion]:
    """Every pair of classes of which one was taken for the other, the most images first, then the largest fraction."""
    wrong = labels != answers
    pairs, counts = np.unique(np.stack([labels[wrong], answers[wrong]]), axis=1, return_counts=True)
    sizes = np.bincount(labels)
    found = [
        Confusion(int(true), int(answer), int(count), float(count / sizes[true]))
        for (true, answer), count in zip(pairs.T, counts, strict=True)
    ]
    return sorted(found, key=lambda pair: (-pair.images, -pair.fraction))
