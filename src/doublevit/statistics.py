"""What a count of right answers says about the truth."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np


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


ROUNDS = 1000  # of resampling
Statistic = Callable[[np.ndarray], np.ndarray]
"""Means of measures (rounds, measures) -> one number a round (rounds,)."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number that was measured, and its interval."""

    value: float
    low: float
    high: float


def bootstrap(groups: Sequence[np.ndarray], statistic: Statistic, seed: int = 0) -> Estimate:
    """A statistic of several means, with its 95 % interval from samples drawn anew, with replacement (Efron 1979).

    The measures of a group are of the same samples and are drawn together, so that differences and ratios keep their
    pairing; groups are drawn apart.

    Args:
        groups: each (measures, n), what its measures say of each of its n samples.
        statistic: of the means of all measures, in the order of the groups; NaN where it says nothing.
        seed: of the drawing.
    """
    measured = np.concatenate([group.mean(axis=1) for group in groups])[None]
    drawn = np.concatenate([_resampled_means(group, [seed, number]) for number, group in enumerate(groups)], axis=1)
    low, high = np.nanpercentile(statistic(drawn), [2.5, 97.5])
    return Estimate(float(statistic(measured)[0]), float(low), float(high))


def _resampled_means(group: np.ndarray, seed: list[int]) -> np.ndarray:
    """float64 (1000, measures)."""
    random, count = np.random.default_rng(seed), group.shape[1]
    columns = np.ascontiguousarray(group.T, dtype=np.float32)
    means = np.empty((ROUNDS, len(group)))
    for row in means:
        times = np.bincount(random.integers(count, size=count), minlength=count).astype(np.float32)
        row[:] = times @ columns / count
    return means
