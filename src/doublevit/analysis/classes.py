"""Accuracy of each class, and which classes are confused."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from doublevit.runs.predictions import Predictions
from doublevit.statistics import wilson_interval


@dataclasses.dataclass(frozen=True)
class ClassResult:
    """Counts the images of the class `label`, those `correct`, and how often it was `predicted` for any image.

    `low` and `high` bound Wilson's 95 % interval of its accuracy.
    """

    label: int
    images: int
    correct: int
    predicted: int
    low: float
    high: float

    @property
    def accuracy(self) -> float:
        """The fraction that is correct; a class without images has none."""
        return self.correct / self.images

    @property
    def f1(self) -> float:
        """The harmonic mean of accuracy and precision, 0 where no image is correct; a class without images has none."""
        return 2 * self.correct / (self.images + self.predicted)


@dataclasses.dataclass(frozen=True)
class Confusion:
    """Counts the images of the class `label` predicted as class `predicted`, also as a `fraction` of the former."""

    label: int
    predicted: int
    images: int
    fraction: float


def labels_and_predictions(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Return the true and the most probable class of every image, int64 (N,) each."""
    return predictions.labels.astype(np.int64), predictions.classes[:, 0].astype(np.int64)


def class_results(labels: np.ndarray, predicted: np.ndarray, class_count: int) -> list[ClassResult]:
    """Count the images of each class from true and predicted classes, int (N,) each.

    Classes are in their order; those without images have the interval 0 to 1.
    """
    correct = labels[labels == predicted]
    counts = [np.bincount(classes, minlength=class_count) for classes in (labels, correct, predicted)]
    return [_class_result(label, *map(int, of_class)) for label, of_class in enumerate(zip(*counts, strict=True))]


def _class_result(label: int, images: int, correct: int, predicted: int) -> ClassResult:
    low, high = wilson_interval(correct, images) if images else (0.0, 1.0)
    return ClassResult(label, images, correct, predicted, low, high)


def worst_first(results: Sequence[ClassResult]) -> list[ClassResult]:
    """Sort the classes that have images by rising accuracy, and equals by the upper end of the interval."""
    with_images = [result for result in results if result.images]
    return sorted(with_images, key=lambda result: (result.accuracy, result.high))


def best_first(results: Sequence[ClassResult]) -> list[ClassResult]:
    """Sort the classes that have images by falling accuracy, and equals by the lower end of the interval, falling."""
    with_images = [result for result in results if result.images]
    return sorted(with_images, key=lambda result: (-result.accuracy, -result.low))


def most_confident_mistakes(predictions: Predictions, count: int) -> np.ndarray:
    """Return indices of up to `count` misclassified images, the highest confidence first, int (n,)."""
    wrong = np.flatnonzero(~predictions.correct(1))
    return wrong[np.argsort(-predictions.probabilities[wrong, 0], kind="stable")][:count]


def confusions(labels: np.ndarray, predicted: np.ndarray) -> list[Confusion]:
    """List every pair of a true and another predicted class, the most images first, then the largest fraction."""
    wrong = labels != predicted
    pairs, counts = np.unique(np.stack([labels[wrong], predicted[wrong]]), axis=1, return_counts=True)
    sizes = np.bincount(labels)
    unsorted = [
        Confusion(int(label), int(other), int(count), float(count / sizes[label]))
        for (label, other), count in zip(pairs.T, counts, strict=True)
    ]
    return sorted(unsorted, key=lambda pair: (-pair.images, -pair.fraction))
