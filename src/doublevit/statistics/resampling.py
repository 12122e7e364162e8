"""Intervals of what has no formula: samples drawn anew, with replacement (Efron 1979)."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from doublevit.statistics.proportions import Estimate, differences

ROUNDS = 1000  # of resampling
DRAWN_AT_ONCE = 1 << 16  # samples, which with their counts stay in the processor's cache
Statistic = Callable[[np.ndarray], np.ndarray]
"""Means of measures (rounds, measures) -> one number a round (rounds,)."""


def bootstrap(groups: Sequence[np.ndarray], statistic: Statistic, seed: int = 0) -> Estimate:
    """A statistic of several means, with its 95 % interval from samples drawn anew, with replacement (Efron 1979).

    The measures of a group are of the same samples and are drawn together, so that differences and ratios keep their
    pairing; groups are drawn apart.

    Args:
        groups: each (measures, n), what its measures say of each of its n samples.
        statistic: of the means of all measures, in the order of the groups; NaN where it says nothing.
        seed: of the drawing.
    """
    return bootstrap_test(groups, statistic, seed)[0]


def bootstrap_test(groups: Sequence[np.ndarray], statistic: Statistic, seed: int = 0) -> tuple[Estimate, float]:
    """What `bootstrap` gives, and the two-sided p value that the statistic is zero, from the same drawings.

    That is Wald's, with the standard deviation of the drawings as its standard error: counting drawings beyond zero
    would give no p below 1 / 1000, and a correction for many comparisons needs smaller ones.
    """
    measured = np.concatenate([group.mean(axis=1) for group in groups])[None]
    means = np.concatenate([_resampled_means(group, [seed, number]) for number, group in enumerate(groups)], axis=1)
    drawn = statistic(means)
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    value, error = float(statistic(measured)[0]), float(np.nanstd(drawn))
    p = math.erfc(abs(value) / error / math.sqrt(2)) if error else float(value == 0)
    return Estimate(value, float(low), float(high)), p


def paired_bootstrap(scores: np.ndarray, others: np.ndarray, seed: int = 0) -> Estimate:
    """How much higher the mean of `scores` is than that of `others` on the same images, with its 95 % interval.

    For right or wrong alone, `paired_difference` keeps its coverage better where few images differ; this also takes
    scores, such as the fraction of an image's corruptions that were recognized.

    Args:
        scores: what each image counts, bool or float (N,).
        others: the same of the other model.
        seed: of the drawing.

    Raises:
        ValueError: these are not of the same images, or of none.
    """
    return bootstrap([differences(scores, others)[None]], lambda means: means[:, 0], seed)


def _resampled_means(group: np.ndarray, seed: list[int]) -> np.ndarray:
    """float64 (1000, measures), some rounds at a time; how many changes no drawing."""
    random, count = np.random.default_rng(seed), group.shape[1]
    columns = np.ascontiguousarray(group.T, dtype=np.float32)
    means = np.empty((ROUNDS, len(group)))
    for rounds in np.array_split(means, min(ROUNDS, -(-ROUNDS * count // DRAWN_AT_ONCE))):
        drawn = random.integers(count, size=(len(rounds), count)) + count * np.arange(len(rounds))[:, None]
        times = np.bincount(drawn.ravel(), minlength=drawn.size).astype(np.float32).reshape(drawn.shape)
        rounds[:] = times @ columns / count
    return means
