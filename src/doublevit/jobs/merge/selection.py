"""The choice of alpha between two runs: on training images, clean and under the four corruptions to tune on."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from doublevit.corrupted_sets.config import CorruptionConfig
from doublevit.corrupted_sets.sets import on_the_fly
from doublevit.corruptions import VALIDATION
from doublevit.data.dataset import Dataset
from doublevit.evaluators.prediction import predict
from doublevit.jobs.merge.images import selection_images
from doublevit.jobs.merge.mean import WeightMean
from doublevit.runs.merged import AlphaAccuracy, Interval, Selection
from doublevit.statistics import Estimate, mean_accuracy, wilson_interval

SEVERITY = 3  # the middle one, so that more images can be looked at


def choose_alpha(mean: WeightMean, alphas: Sequence[float], samples: int) -> Selection:
    """Measure each alpha on the same training images, never on those that results are reported on.

    Args:
        mean: of two runs.
        alphas: weights of the second run, in rising order.
        samples: the most images.

    Raises:
        UserError: the images cannot be loaded, or a corruption cannot work on images of their size.
    """
    images, trained_on = selection_images(mean.base, samples)
    sets = [images, *_corrupted(images, mean)]
    return Selection(
        count=len(images),
        trained_on=trained_on,
        corruptions=VALIDATION,
        severity=SEVERITY,
        curve=tuple(_measure(mean, alpha, sets) for alpha in alphas),
    )


def _measure(mean: WeightMean, alpha: float, sets: Sequence[Dataset]) -> AlphaAccuracy:
    """Measure accuracy on clean images, the first of `sets`, and its mean over corrupted ones."""
    mean.apply((1 - alpha, alpha))
    network, dtype = mean.base.network, mean.base.model.dtype
    predictions = [predict(network, each, dtype, title=f"alpha {alpha:g}").predictions for each in sets]
    clean, *corrupted = (prediction.correct(1) for prediction in predictions)
    of_clean = Estimate(float(clean.mean()), *wilson_interval(int(clean.sum()), len(clean)))
    return AlphaAccuracy(
        alpha=alpha, clean=Interval.of(of_clean), corrupted=Interval.of(mean_accuracy(np.stack(corrupted)))
    )


def _corrupted(images: Dataset, mean: WeightMean) -> Iterator[Dataset]:
    """Yield the images under each corruption, made once for all alphas."""
    made = on_the_fly(images, CorruptionConfig(), mean.base.recipe.data.cache)
    for name in VALIDATION:
        cell = made.cell((name, SEVERITY))
        yield dataclasses.replace(cell, images=cell.images[np.arange(len(cell))])
