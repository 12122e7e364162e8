"""How often a classifier is right, and whether another is right more often on the same samples."""

import dataclasses
import math

import numpy as np

Z_95 = 1.959963984540054  # 97.5 % of a normal distribution lie below
FEW = 25  # pairs that differ, below which the chi-square distribution is too coarse


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number that was measured, and its interval."""

    value: float
    low: float
    high: float


def wilson_interval(right: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a proportion, in 0..1.

    Unlike the textbook interval it stays inside 0..1 and keeps its coverage near 0 and 1 and for small `count`
    (Wilson 1927; Brown, Cai and DasGupta 2001).

    Raises:
        ValueError: `count` is not positive, or `right` is not in 0..count.
    """
    if count < 1 or not 0 <= right <= count:
        raise ValueError(f"expected 0 <= right <= count and count >= 1, found right={right}, count={count}")
    from statsmodels.stats.proportion import proportion_confint  # a slow import that few commands need

    low, high = proportion_confint(right, count, alpha=1 - confidence, method="wilson")
    return float(low), float(high)


def mcnemar(hits: np.ndarray, other_hits: np.ndarray) -> float:
    """McNemar's p value that two classifiers are right equally often, from what they said of the same samples.

    Exact (binomial) where fewer than 25 samples are known to one of the two alone, else chi-square with continuity
    correction (McNemar 1947; Edwards 1948), which goes no further than to no difference.

    Args:
        hits: whether each sample was recognised, bool (N,).
        other_hits: the same of the other classifier.

    Raises:
        ValueError: these are not of the same samples, or of none.
    """
    from statsmodels.stats.contingency_tables import mcnemar as test

    won, lost = _discordant(hits, other_hits)
    if won == lost:
        return 1.0
    return float(test([[0, won], [lost, 0]], exact=won + lost < FEW, correction=True).pvalue)


def paired_difference(hits: np.ndarray, other_hits: np.ndarray) -> Estimate:
    """How much more often `hits` is right than `other_hits` on the same samples, with its 95 % interval, in -1..1.

    The interval is Wald's with one sample added to each kind of disagreement (Bonett and Price 2012), which Fagerland,
    Lydersen and Laake (2014) recommend: unlike the bootstrap it has a width where no sample or hardly any differs, it
    keeps its coverage there, and there is nothing to draw.

    Args:
        hits: whether each sample was recognised, bool (N,).
        other_hits: the same of the other classifier.

    Raises:
        ValueError: these are not of the same samples, or of none.
    """
    won, lost = _discordant(hits, other_hits)
    count = len(hits)
    more, less = (won + 1) / (count + 2), (lost + 1) / (count + 2)
    half = Z_95 * math.sqrt((more + less - (more - less) ** 2) / (count + 2))
    return Estimate((won - lost) / count, max(-1.0, more - less - half), min(1.0, more - less + half))


def differences(hits: np.ndarray, other_hits: np.ndarray) -> np.ndarray:
    """How much more each sample counts for the first than for the other, float64 (N,).

    Args:
        hits: what each sample counts, bool or float (N,).
        other_hits: the same of the other classifier.

    Raises:
        ValueError: these are not of the same samples, or of none.
    """
    if hits.shape != other_hits.shape or hits.ndim != 1 or not len(hits):
        raise ValueError(f"expected two rows of hits on the same samples, found {hits.shape} and {other_hits.shape}")
    return hits.astype(np.float64) - other_hits


def _discordant(hits: np.ndarray, other_hits: np.ndarray) -> tuple[int, int]:
    """How many samples only the first classifier recognised, and how many only the other."""
    gaps = differences(hits, other_hits)
    return int((gaps > 0).sum()), int((gaps < 0).sum())
