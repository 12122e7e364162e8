"""Calibration, whether confidence equals accuracy: Guo et al. (2017), "On Calibration of Modern Neural Networks"."""

import dataclasses

import numpy as np

from doublevit.runs.predictions import Predictions
from doublevit.statistics import RESAMPLES, Estimate, bootstrap

BINS = 15


@dataclasses.dataclass(frozen=True)
class ReliabilityBins:
    """Holds images sorted into bins of confidence, as a reliability diagram shows them.

    `edges` (B+1,); `counts` (B,), images; mean `confidence` and `accuracy` (B,), NaN where a bin is empty. `ece` is the
    expected calibration error, the mean distance of the two over all images; `ece_if_calibrated` holds mean and 95th
    percentile of the error that a perfectly calibrated model would show by chance on images of these confidences.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    ece: Estimate
    ece_if_calibrated: tuple[float, float]

    @property
    def mce(self) -> tuple[float, int]:
        """The maximum calibration error, and the number of images in its bin."""
        gaps = np.abs(self.confidence - self.accuracy)
        worst = int(np.nanargmax(gaps))
        return float(gaps[worst]), int(self.counts[worst])


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Holds the calibration of a model on `count` images, in two binnings.

    `accuracy`, `confidence` and `negative_log_likelihood` (in nats) are means over the images.
    """

    count: int
    accuracy: float
    confidence: float
    negative_log_likelihood: float
    equal_width: ReliabilityBins
    equal_mass: ReliabilityBins


def calibration(predictions: Predictions) -> Calibration:
    """Measure the calibration of the most probable class of every image.

    Bins of equal width are Guo's; those of equal mass hold equally many images each (Nixon et al. 2019, "Measuring
    Calibration in Deep Learning"), except that images of the same confidence stay together.
    """
    confidence = np.clip(predictions.probabilities[:, 0].astype(np.float64), 0, 1)
    correct = predictions.correct(1)
    return Calibration(
        count=len(correct),
        accuracy=float(correct.mean()),
        confidence=float(confidence.mean()),
        negative_log_likelihood=float(-predictions.label_log_probability.astype(np.float64).mean()),
        equal_width=reliability_bins(confidence, correct, np.linspace(0, 1, BINS + 1)),
        equal_mass=reliability_bins(confidence, correct, np.percentile(confidence, np.linspace(0, 100, BINS + 1))),
    )


def reliability_bins(confidence: np.ndarray, correct: np.ndarray, edges: np.ndarray) -> ReliabilityBins:
    """Sort images by confidence, float64 (N,), into bins, and measure how many of each are correct, bool (N,).

    Each bin holds its upper edge; the lowest bin holds both of its edges.
    """
    bins, bin_count = np.searchsorted(edges[1:-1], confidence), len(edges) - 1
    counts = np.bincount(bins, minlength=bin_count)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(bins, weights=values, minlength=bin_count) / counts for values in (confidence, correct)]
    if_calibrated = _ece_if_calibrated(confidence, bins)
    ece = _ece(confidence, correct, bins, by_chance=if_calibrated[1])
    return ReliabilityBins(edges, counts, means[0], means[1], ece, if_calibrated)


def _ece(confidence: np.ndarray, correct: np.ndarray, bins: np.ndarray, by_chance: float) -> Estimate:
    """Estimate the expected calibration error with its 95 % interval, by the basic bootstrap.

    The error is a sum of absolute values: noise makes it larger, and larger once more in every resample. Percentiles of
    resamples therefore lie too high (of a calibrated model none of a thousand intervals held the truth); reflected at
    the value they do not. The interval starts at 0 where the value is not above `by_chance`.
    """
    gaps = (bins == np.arange(bins.max() + 1)[:, None]) * (confidence - correct)
    percentile = bootstrap([gaps], lambda means: np.abs(means).sum(axis=1))
    value = percentile.value
    low = 2 * value - percentile.high if value > by_chance else 0.0
    return Estimate(value, max(low, 0.0), max(2 * value - percentile.low, value))


def _ece_if_calibrated(confidence: np.ndarray, bins: np.ndarray) -> tuple[float, float]:
    """Simulate errors with each image correct at the probability of its confidence: Broecker and Smith (2007)."""
    random, errors = np.random.default_rng(0), np.empty(RESAMPLES)
    for index in range(RESAMPLES):
        gaps = np.bincount(bins, weights=confidence - (random.random(len(confidence)) < confidence))
        errors[index] = np.abs(gaps).sum() / len(confidence)
    return float(errors.mean()), float(np.percentile(errors, 95))
