"""Confidence intervals and paired tests of accuracies, spread over seeds, and correction of p values."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

Z_95 = 1.959963984540054  # the 97.5th percentile of the standard normal distribution
MCNEMAR_EXACT_BELOW = 25  # discordant samples, below which the chi-square distribution is too coarse


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Holds an estimated value with its confidence interval from `low` to `high`."""

    value: float
    low: float
    high: float


def wilson_interval(correct: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of the proportion `correct / count`, in 0..1.

    Unlike the textbook interval it stays inside 0..1 and keeps its coverage near 0 and 1 and for small `count`
    (Wilson 1927; Brown, Cai and DasGupta 2001).

    Raises:
        ValueError: `count` is not positive, or `correct` is not in 0..count.
    """
    if count < 1 or not 0 <= correct <= count:
        raise ValueError(f"expected 0 <= correct <= count and count >= 1, found correct={correct}, count={count}")
    from scipy.stats import binomtest  # a slow import that few commands need

    interval = binomtest(correct, count).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(correct: np.ndarray, other_correct: np.ndarray) -> float:
    """Return McNemar's p value that two classifiers are equally accurate on the same samples.

    The test is exact (binomial) where fewer than 25 samples are discordant, else chi-square with continuity correction
    (McNemar 1947; Edwards 1948).

    Args:
        correct: whether the first classifier recognized each sample, bool (N,).
        other_correct: whether the other one did, bool (N,).

    Raises:
        ValueError: the shapes differ or hold no sample.
    """
    from scipy.stats import binomtest, chi2

    won, lost = _discordant(correct, other_correct)
    if won == lost:  # where the continuity correction would overshoot
        return 1.0
    if won + lost < MCNEMAR_EXACT_BELOW:
        return float(binomtest(won, won + lost).pvalue)
    return float(chi2.sf((abs(won - lost) - 1) ** 2 / (won + lost), 1))


def paired_difference(correct: np.ndarray, other_correct: np.ndarray) -> Estimate:
    """Estimate the accuracy of one classifier minus another's on the same samples, with its 95 % interval.

    The interval is Wald's with one sample added to each kind of disagreement (Bonett and Price 2012), which Fagerland,
    Lydersen and Laake (2014) recommend: unlike the bootstrap it keeps its width and coverage where no sample or hardly
    any is discordant, and needs no random numbers.

    Args:
        correct: whether the first classifier recognized each sample, bool (N,).
        other_correct: whether the other one did, bool (N,).

    Raises:
        ValueError: the shapes differ or hold no sample.
    """
    won, lost = _discordant(correct, other_correct)
    count = len(correct)
    more, less = (won + 1) / (count + 2), (lost + 1) / (count + 2)
    half = Z_95 * math.sqrt((more + less - (more - less) ** 2) / (count + 2))
    return Estimate((won - lost) / count, max(-1.0, more - less - half), min(1.0, more - less + half))


def independent_difference(correct: int, count: int, other_correct: int, other_count: int) -> Estimate:
    """Estimate an accuracy minus another one on other samples, with its 95 % interval.

    The interval is Newcombe's (1998, method 10), made of both Wilson intervals: it stays inside -1..1 and keeps its
    coverage near 0 and 1.

    Raises:
        ValueError: as `wilson_interval`.
    """
    (low, high), (other_low, other_high) = wilson_interval(correct, count), wilson_interval(other_correct, other_count)
    value, other = correct / count, other_correct / other_count
    below, above = math.hypot(value - low, other_high - other), math.hypot(high - value, other - other_low)
    return Estimate(value - other, value - other - below, value - other + above)


def sample_differences(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return `scores - others` for each sample, float64 (N,), of bool or float (N,) each.

    Raises:
        ValueError: the shapes differ or hold no sample.
    """
    if scores.shape != others.shape or scores.ndim != 1 or not len(scores):
        raise ValueError(f"expected two models on the same samples, found {scores.shape} and {others.shape}")
    return scores.astype(np.float64) - others


def _discordant(correct: np.ndarray, other_correct: np.ndarray) -> tuple[int, int]:
    """Count the samples that only the first classifier recognized, and those that only the other did."""
    gaps = sample_differences(correct, other_correct)
    return int((gaps > 0).sum()), int((gaps < 0).sum())


@dataclasses.dataclass(frozen=True)
class Spread:
    """Holds the mean of `count` seeds with its 95 % interval, and the standard deviation between seeds."""

    mean: float
    standard_deviation: float
    low: float
    high: float
    count: int

    @property
    def estimate(self) -> Estimate:
        """The mean with its interval."""
        return Estimate(self.mean, self.low, self.high)


def over_seeds(values: Sequence[float]) -> Spread:
    """Return mean and standard deviation of one value for each seed, with Student's 95 % interval of the mean.

    The interval takes the seeds for draws from a normal distribution (Student 1908): with two or three it is wide, and
    rightly so. It is about what another seed would change, not about what other images would.

    Raises:
        ValueError: there are fewer than two values, which have no spread.
    """
    count = len(values)
    if count < 2:
        raise ValueError(f"expected the values of at least two seeds, found {count}")
    from scipy.stats import t

    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(t.ppf(0.975, count - 1)) * deviation / count**0.5
    return Spread(mean, deviation, mean - half, mean + half, count)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for multiple comparisons by Holm's method (1979), in the order given."""
    order = np.argsort(p_values)
    raised = np.maximum.accumulate(np.asarray(p_values)[order] * np.arange(len(order), 0, -1))
    return [float(p) for p in np.minimum(raised, 1.0)[np.argsort(order)]]
