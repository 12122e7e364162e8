"""The bootstrap (Efron 1979): intervals for statistics that have no closed formula."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from doublevit.statistics.proportions import Estimate, sample_differences

RESAMPLES = 1000
SAMPLES_AT_ONCE = 1 << 16  # as many samples and their counts stay in the processor's cache
Statistic = Callable[[np.ndarray], np.ndarray]
"""A function of the means of measures, (resamples, measures) -> (resamples,)."""


def bootstrap(groups: Sequence[np.ndarray], statistic: Statistic, seed: int = 0) -> Estimate:
    """Estimate a statistic of several means, with its 95 % percentile interval (Efron 1979).

    The measures of a group are of the same samples and are resampled together, so that differences and ratios stay
    paired; groups are resampled independently.

    Args:
        groups: arrays (measures, n), the value of each measure for each of the group's n samples.
        statistic: a function of the means of all measures, in the order of the groups; NaN where it is undefined.
        seed: the seed of the resampling.
    """
    return bootstrap_test(groups, statistic, seed)[0]


def bootstrap_test(groups: Sequence[np.ndarray], statistic: Statistic, seed: int = 0) -> tuple[Estimate, float]:
    """Return the estimate of `bootstrap` and the two-sided p value that the statistic is zero, from the same resamples.

    The test is Wald's, with the standard deviation over resamples as its standard error: counting resamples beyond
    zero would give no p below 1 / 1000, and a correction for many comparisons needs smaller ones.
    """
    sample_means = np.concatenate([group.mean(axis=1) for group in groups])[None]
    means = np.concatenate([_resampled_means(group, [seed, index]) for index, group in enumerate(groups)], axis=1)
    resampled = statistic(means)
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    value, error = float(statistic(sample_means)[0]), float(np.nanstd(resampled))
    p = math.erfc(abs(value) / error / math.sqrt(2)) if error else float(value == 0)
    return Estimate(value, float(low), float(high)), p


def paired_bootstrap(scores: np.ndarray, others: np.ndarray, seed: int = 0) -> Estimate:
    """Estimate the mean of `scores` minus that of `others` on the same images, with its 95 % bootstrap interval.

    For bool scores prefer `paired_difference`, whose coverage is better where few images differ.

    Args:
        scores: the first model's score of each image, bool or float (N,), such as the fraction of its corruptions.
        others: the other model's scores, (N,).
        seed: the seed of the resampling.

    Raises:
        ValueError: the shapes differ or hold no image.
    """
    return bootstrap([sample_differences(scores, others)[None]], lambda means: means[:, 0], seed)


def _resampled_means(group: np.ndarray, seed: list[int]) -> np.ndarray:
    """Return the means of each resample of a group (measures, n), float64 (resamples, measures)."""
    random, count = np.random.default_rng(seed), group.shape[1]
    columns = np.ascontiguousarray(group.T, dtype=np.float32)
    means = np.empty((RESAMPLES, len(group)))
    # Blocks bound the memory; the generator draws the same numbers whatever the size of a block.
    for block in np.array_split(means, min(RESAMPLES, -(-RESAMPLES * count // SAMPLES_AT_ONCE))):
        drawn = random.integers(count, size=(len(block), count)) + count * np.arange(len(block))[:, None]
        times = np.bincount(drawn.ravel(), minlength=drawn.size).astype(np.float32).reshape(drawn.shape)
        block[:] = times @ columns / count
    return means
