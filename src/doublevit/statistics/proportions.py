"""How often a classifier is right, whether another is right more often, and what other seeds would give."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

Z_95 = 1.959963984540054  # 97.5 % of a normal distribution lie below
FEW = 25  # pairs that differ, below which the chi-square distribution is too coarse


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number that was measured, and its interval."""

    value: float
    low: float
    high: float


def wilson_interval(correct: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a proportion, in 0..1.

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
    """McNemar's p value that two classifiers are right equally often, from what they said of the same samples.

    Exact (binomial) where fewer than 25 samples are known to one of the two alone, else chi-square with continuity
    correction (McNemar 1947; Edwards 1948), which goes no further than to no difference.

    Args:
        correct: whether each sample was recognized, bool (N,).
        other_correct: the same of the other classifier.

    Raises:
        ValueError: these are not of the same samples, or of none.
    """
    from scipy.stats import binomtest, chi2

    won, lost = _discordant(correct, other_correct)
    if won == lost:
        return 1.0
    if won + lost < FEW:
        return float(binomtest(won, won + lost).pvalue)
    return float(chi2.sf((abs(won - lost) - 1) ** 2 / (won + lost), 1))


def paired_difference(correct: np.ndarray, other_correct: np.ndarray) -> Estimate:
    """How much more often `correct` is right than `other_correct` on the same samples, with its 95 % interval.

    The interval is Wald's with one sample added to each kind of disagreement (Bonett and Price 2012), which Fagerland,
    Lydersen and Laake (2014) recommend: unlike the bootstrap it has a width where no sample or hardly any differs, it
    keeps its coverage there, and there is nothing to draw.

    Args:
        correct: whether each sample was recognized, bool (N,).
        other_correct: the same of the other classifier.

    Raises:
        ValueError: these are not of the same samples, or of none.
    """
    won, lost = _discordant(correct, other_correct)
    count = len(correct)
    more, less = (won + 1) / (count + 2), (lost + 1) / (count + 2)
    half = Z_95 * math.sqrt((more + less - (more - less) ** 2) / (count + 2))
    return Estimate((won - lost) / count, max(-1.0, more - less - half), min(1.0, more - less + half))


def differences(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How much more each sample counts for the first than for the other, float64 (N,).

    Args:
        scores: what each sample counts, bool or float (N,).
        others: the same of the other classifier.

    Raises:
        ValueError: these are not of the same samples, or of none.
    """
    if scores.shape != others.shape or scores.ndim != 1 or not len(scores):
        raise ValueError(f"expected two models on the same samples, found {scores.shape} and {others.shape}")
    return scores.astype(np.float64) - others


def _discordant(correct: np.ndarray, other_correct: np.ndarray) -> tuple[int, int]:
    """How many samples only the first classifier recognized, and how many only the other."""
    gaps = differences(correct, other_correct)
    return int((gaps > 0).sum()), int((gaps < 0).sum())


@dataclasses.dataclass(frozen=True)
class Spread:
    """What several seeds gave: their mean with its 95 % interval, and the standard deviation of one of them."""

    mean: float
    standard_deviation: float
    low: float
    high: float
    count: int

    @property
    def estimate(self) -> Estimate:
        """The mean and its interval."""
        return Estimate(self.mean, self.low, self.high)


def over_seeds(values: Sequence[float]) -> Spread:
    """Mean and standard deviation of the same number from several trainings, with Student's 95 % interval of the mean.

    The interval takes the seeds for draws from a normal distribution (Student 1908): with two or three it is wide, and
    rightly so. It is about what another seed would change, not about what other images would.

    Args:
        values: one for each seed.

    Raises:
        ValueError: fewer than two values, which have no spread.
    """
    count = len(values)
    if count < 2:
        raise ValueError(f"expected the values of at least two seeds, found {count}")
    from scipy.stats import t

    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(t.ppf(0.975, count - 1)) * deviation / count**0.5
    return Spread(mean, deviation, mean - half, mean + half, count)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for how many they are; the same order (Holm 1979)."""
    order = np.argsort(p_values)
    raised = np.maximum.accumulate(np.asarray(p_values)[order] * np.arange(len(order), 0, -1))
    return [float(p) for p in np.minimum(raised, 1.0)[np.argsort(order)]]
