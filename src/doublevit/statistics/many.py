"""Many comparisons, and the same training with several seeds."""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Spread:
    """What several seeds gave: their mean with its 95 % interval, and the standard deviation of one of them."""

    mean: float
    standard_deviation: float
    low: float
    high: float
    count: int


def over_seeds(values: Sequence[float]) -> Spread:
    """Mean and standard deviation of the same number from several trainings, with Student's 95 % interval of the mean.

    The interval takes the seeds for draws from a normal distribution (Student 1908): with two or three it is wide, and
    rightly so. It is about what another seed would change, not about what other photos would.

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
