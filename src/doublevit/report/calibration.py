"""Whether a model is as often right as it says: Guo et al. (2017), "On Calibration of Modern Neural Networks"."""

import dataclasses

import numpy as np

from doublevit.results import Predictions
from doublevit.statistics import ROUNDS, Estimate, bootstrap

BINS = 15


@dataclasses.dataclass(frozen=True)
class Binned:
    """Photos sorted into bins of confidence.

    `edges` (B+1,); `counts` (B,); mean `confidence` and `accuracy` (B,), NaN where a bin is empty. `error` is the
    expected calibration error, the mean distance of the two over all photos. `by_chance`: what a model that is
    calibrated perfectly would show with this many photos of these confidences, its mean and its 95th percentile.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    error: Estimate
    by_chance: tuple[float, float]

    @property
    def largest(self) -> tuple[float, int]:
        """The maximum calibration error, and how many photos are in its bin."""
        gaps = np.abs(self.confidence - self.accuracy)
        bin_ = int(np.nanargmax(gaps))
        return float(gaps[bin_]), int(self.counts[bin_])


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Of `count` photos: `accuracy`, mean `confidence`, mean negative `log_likelihood` in nats, and two binnings."""

    count: int
    accuracy: float
    confidence: float
    log_likelihood: float
    equal_width: Binned
    equal_mass: Binned


def calibration(predictions: Predictions) -> Calibration:
    """Of the most probable class of every photo.

    Bins of equal width are Guo's; those of equal mass hold as many photos each (Nixon et al. 2019, "Measuring
    Calibration in Deep Learning"), but for photos of the same confidence, which stay together.
    """
    confidence = np.clip(predictions.probabilities[:, 0].astype(np.float64), 0, 1)
    hits = predictions.hits(1)
    return Calibration(
        count=len(hits),
        accuracy=float(hits.mean()),
        confidence=float(confidence.mean()),
        log_likelihood=float(-predictions.label_log_probability.astype(np.float64).mean()),
        equal_width=binned(confidence, hits, np.linspace(0, 1, BINS + 1)),
        equal_mass=binned(confidence, hits, np.percentile(confidence, np.linspace(0, 100, BINS + 1))),
    )


def binned(confidence: np.ndarray, hits: np.ndarray, edges: np.ndarray) -> Binned:
    """Confidences float64 (N,) and hits bool (N,) in bins that hold their upper edge, and the lowest its lower one."""
    bins, number = np.searchsorted(edges[1:-1], confidence), len(edges) - 1
    counts = np.bincount(bins, minlength=number)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(bins, weights=values, minlength=number) / counts for values in (confidence, hits)]
    by_chance = _by_chance(confidence, bins)
    return Binned(edges, counts, means[0], means[1], _error(confidence, hits, bins, by_chance[1]), by_chance)


def _error(confidence: np.ndarray, hits: np.ndarray, bins: np.ndarray, by_chance: float) -> Estimate:
    """The expected calibration error with its 95 % interval, by the basic bootstrap.

    An error is a sum of absolute values, so that noise makes it larger, and larger once more in every sample drawn
    anew. The percentiles of these therefore lie too high (of a calibrated model none of a thousand held the truth);
    reflected at the value they do not. From 0 where chance alone shows as much.
    """
    gaps = (bins == np.arange(bins.max() + 1)[:, None]) * (confidence - hits)
    drawn = bootstrap([gaps], lambda means: np.abs(means).sum(axis=1))
    low = 2 * drawn.value - drawn.high if drawn.value > by_chance else 0.0
    return Estimate(drawn.value, max(low, 0.0), max(2 * drawn.value - drawn.low, drawn.value))


def _by_chance(confidence: np.ndarray, bins: np.ndarray) -> tuple[float, float]:
    """Errors where each photo is right with a chance of just its confidence: Broecker and Smith (2007)."""
    random, errors = np.random.default_rng(0), np.empty(ROUNDS)
    for place in range(ROUNDS):
        gaps = np.bincount(bins, weights=confidence - (random.random(len(confidence)) < confidence))
        errors[place] = np.abs(gaps).sum() / len(confidence)
    return float(errors.mean()), float(np.percentile(errors, 95))
