"""Whether a model is as often right as it says: Guo et al. (2017), "On Calibration of Modern Neural Networks"."""

import dataclasses

import numpy as np

from doublevit.runs.predictions import Predictions
from doublevit.statistics import ROUNDS, Estimate, bootstrap

BINS = 15


@dataclasses.dataclass(frozen=True)
class Binned:
    """Images sorted into bins of confidence.

    `edges` (B+1,); `counts` (B,); mean `confidence` and `accuracy` (B,), NaN where a bin is empty. `error` is the
    expected calibration error, the mean distance of the two over all images. `by_chance`: what a model that is
    calibrated perfectly would show with this many images of these confidences, its mean and its 95th percentile.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    error: Estimate
    by_chance: tuple[float, float]

    @property
    def largest(self) -> tuple[float, int]:
        """The maximum calibration error, and how many images are in its bin."""
        gaps = np.abs(self.confidence - self.accuracy)
        bin_ = int(np.nanargmax(gaps))
        return float(gaps[bin_]), int(self.counts[bin_])


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The calibration of `count` images, in two binnings.

    `accuracy`, mean `confidence`, and mean negative `log_likelihood` in nats.
    """

    count: int
    accuracy: float
    confidence: float
    log_likelihood: float
    equal_width: Binned
    equal_mass: Binned


def calibration(predictions: Predictions) -> Calibration:
    """The calibration of the most probable class of every image.

    Bins of equal width are Guo's; those of equal mass hold as many images each (Nixon et al. 2019, "Measuring
    Calibration in Deep Learning"), but for images of the same confidence, which stay together.
    """
    confidence = np.clip(predictions.probabilities[:, 0].astype(np.float64), 0, 1)
    correct = predictions.correct(1)
    return Calibration(
        count=len(correct),
        accuracy=float(correct.mean()),
        confidence=float(confidence.mean()),
        log_likelihood=float(-predictions.label_log_probability.astype(np.float64).mean()),
        equal_width=binned(confidence, correct, np.linspace(0, 1, BINS + 1)),
        equal_mass=binned(confidence, correct, np.percentile(confidence, np.linspace(0, 100, BINS + 1))),
    )


def binned(confidence: np.ndarray, correct: np.ndarray, edges: np.ndarray) -> Binned:
    """Confidences float64 (N,) and correct bool (N,) in bins that hold their upper edge, and the lowest both of its."""
    bins, number = np.searchsorted(edges[1:-1], confidence), len(edges) - 1
    counts = np.bincount(bins, minlength=number)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(bins, weights=values, minlength=number) / counts for values in (confidence, correct)]
    by_chance = _by_chance(confidence, bins)
    return Binned(edges, counts, means[0], means[1], _error(confidence, correct, bins, by_chance[1]), by_chance)


def _error(confidence: np.ndarray, correct: np.ndarray, bins: np.ndarray, by_chance: float) -> Estimate:
    """The expected calibration error with its 95 % interval, by the basic bootstrap.

    An error is a sum of absolute values, so that noise makes it larger, and larger once more in every sample drawn
    anew. The percentiles of these therefore lie too high (of a calibrated model none of a thousand held the truth);
    reflected at the value they do not. From 0 where chance alone shows as much.
    """
    gaps = (bins == np.arange(bins.max() + 1)[:, None]) * (confidence - correct)
    drawn = bootstrap([gaps], lambda means: np.abs(means).sum(axis=1))
    low = 2 * drawn.value - drawn.high if drawn.value > by_chance else 0.0
    return Estimate(drawn.value, max(low, 0.0), max(2 * drawn.value - drawn.low, drawn.value))


def _by_chance(confidence: np.ndarray, bins: np.ndarray) -> tuple[float, float]:
    """Errors where each image is right with a chance of just its confidence: Broecker and Smith (2007)."""
    random, errors = np.random.default_rng(0), np.empty(ROUNDS)
    for round_ in range(ROUNDS):
        gaps = np.bincount(bins, weights=confidence - (random.random(len(confidence)) < confidence))
        errors[round_] = np.abs(gaps).sum() / len(confidence)
    return float(errors.mean()), float(np.percentile(errors, 95))
