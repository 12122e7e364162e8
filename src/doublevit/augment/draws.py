"""The random numbers of an epoch, drawn at once on the CPU, and what is made of uniform ones."""

import numpy as np
from scipy import special


def draw_table(seed: int, epoch: int, count: int, columns: int) -> np.ndarray:
    """Uniform numbers in 0..1, float32 (count, columns): row i belongs to sample i and to nothing else.

    (Policies that need different numbers of columns draw different ones: they do not share their crops.)
    """
    # The third number keeps these draws apart from the shuffling, which is seeded with (seed, epoch).
    return np.random.default_rng([seed, epoch, 1]).random((count, columns), dtype=np.float32)


def choose(uniform: np.ndarray, count: int) -> np.ndarray:
    """One of `count` things, all equally likely, as a number from 0."""
    return (uniform * np.float64(count)).astype(np.int64)


def band(uniform: np.ndarray, side: int, length: np.ndarray) -> np.ndarray:
    """Which pixels of an axis lie in a piece of `length` (n,) or (1,) of them, centered on any: bool (n, side)."""
    position = np.arange(side) - (choose(uniform, side) - length // 2)[:, None]
    return (position >= 0) & (position < length[:, None])


def signs(uniform: np.ndarray) -> np.ndarray:
    """1 or -1."""
    return np.where(uniform < 0.5, 1.0, -1.0)


def dirichlet(uniform: np.ndarray, alpha: float) -> np.ndarray:
    """Weights (n, k) that sum to 1, from as many uniform numbers: Gamma's quantiles, divided by their sum."""
    gamma = special.gammaincinv(alpha, _open(uniform))
    return gamma / gamma.sum(axis=1, keepdims=True)


def beta(uniform: np.ndarray, alpha: float) -> np.ndarray:
    """Beta(alpha, alpha) from as many uniform numbers."""
    return special.betaincinv(alpha, alpha, _open(uniform))


def normal(uniform: np.ndarray) -> np.ndarray:
    """Standard normal from as many uniform numbers."""
    return special.ndtri(_open(uniform))


def _open(uniform: np.ndarray) -> np.ndarray:
    """Away from 0, where a quantile can be infinite; in double precision. 1 is never drawn."""
    return np.maximum(uniform.astype(np.float64), 2.0**-25)
