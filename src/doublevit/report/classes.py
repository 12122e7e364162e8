"""How well each class is known, and what it is taken for."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from doublevit.results import Predictions
from doublevit.statistics import wilson_interval


@dataclasses.dataclass(frozen=True)
class ClassResult:
    """A class with `photos`, of which `right` were known; `said` is how often the answer was this class.

    `low` and `high` bound Wilson's 95 % interval of its accuracy.
    """

    label: int
    photos: int
    right: int
    said: int
    low: float
    high: float

    @property
    def accuracy(self) -> float:
        """The share that was known, of at least one photo."""
        return self.right / self.photos


@dataclasses.dataclass(frozen=True)
class Pair:
    """Photos of the class `true` for which the answer was `said`: how many, and which share of the class they are."""

    true: int
    said: int
    photos: int
    share: float


def labels_and_answers(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """True and most probable class of every photo, int64 (N,) each."""
    return predictions.labels.astype(np.int64), predictions.classes[:, 0].astype(np.int64)


def class_results(labels: np.ndarray, answers: np.ndarray, classes: int) -> list[ClassResult]:
    """Every class in its order, those without photos too (with an interval that says nothing: 0 to 1).

    Args:
        labels: int (N,), the true classes.
        answers: int (N,), the most probable ones.
        classes: how many there are.
    """
    counts = [np.bincount(which, minlength=classes) for which in (labels, labels[labels == answers], answers)]
    return [_result(label, *map(int, of_class)) for label, of_class in enumerate(zip(*counts, strict=True))]


def _result(label: int, photos: int, right: int, said: int) -> ClassResult:
    low, high = wilson_interval(right, photos) if photos else (0.0, 1.0)
    return ClassResult(label, photos, right, said, low, high)


def worst_first(results: Sequence[ClassResult]) -> list[ClassResult]:
    """The classes that have photos, by accuracy; of equals first those of which that is surest."""
    there = [result for result in results if result.photos]
    return sorted(there, key=lambda result: (result.accuracy, result.high))


def best_first(results: Sequence[ClassResult]) -> list[ClassResult]:
    """The classes that have photos, by falling accuracy; of equals first those of which that is surest."""
    there = [result for result in results if result.photos]
    return sorted(there, key=lambda result: (-result.accuracy, -result.low))


def confusions(labels: np.ndarray, answers: np.ndarray) -> list[Pair]:
    """Every pair of classes of which one was taken for the other, the most photos first, then the largest share."""
    wrong = labels != answers
    pairs, counts = np.unique(np.stack([labels[wrong], answers[wrong]]), axis=1, return_counts=True)
    sizes = np.bincount(labels)
    found = [
        Pair(int(true), int(said), int(count), float(count / sizes[true]))
        for (true, said), count in zip(pairs.T, counts, strict=True)
    ]
    return sorted(found, key=lambda pair: (-pair.photos, -pair.share))
