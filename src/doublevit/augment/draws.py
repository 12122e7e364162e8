"""The random numbers of an epoch, drawn on the CPU, row by row or at once, and their transformation."""

import numpy as np
from scipy import special

TABLE_NUMBERS = 1 << 24  # of a table that is drawn at once: 67 MB


def draw_table(seed: int, epoch: int, count: int, columns: int) -> np.ndarray:
    """Draw uniform numbers in 0..1, float32 (count, columns): row i belongs to sample i alone.

    Policies with different numbers of columns get different numbers: they do not share their crops.
    """
    # The third number keeps these draws apart from the shuffling, which is seeded with (seed, epoch).
    return np.random.default_rng([seed, epoch, 1]).random((count, columns), dtype=np.float32)


class Draws:
    """Rows of the table that `draw_table` draws: of the whole table if it is small, else one by one, to the same bits.

    A row by itself takes 3 us, which counts only where images are small; of ImageNet's the table would take 235 MB. For
    a row the generator (PCG64) is sent to where it begins: two numbers come from each of its steps, so that a row may
    begin with the second one.
    """

    def __init__(self, seed: int, epoch: int, count: int, columns: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, epoch, 1]))
        self._generator, self._step, self.columns = np.random.Generator(self._bits), 0, columns
        self._table = draw_table(seed, epoch, count, columns) if count * columns <= TABLE_NUMBERS else None

    def rows(self, indices: np.ndarray) -> np.ndarray:
        """Return the rows of the samples at `indices`, int64 (n,): float32 (n, columns)."""
        if self._table is not None:
            return self._table[indices]
        rows = np.empty((len(indices), self.columns), np.float32)
        for row, index in zip(rows, indices.tolist(), strict=True):
            step, odd = divmod(index * self.columns, 2)
            self._bits.advance(step - self._step)  # backwards as well: it wraps around
            row[:] = self._generator.random(odd + self.columns, dtype=np.float32)[odd:]
            self._step = step + (odd + self.columns + 1) // 2
        return rows


def choose(uniform: np.ndarray, count: int) -> np.ndarray:
    """Map uniform numbers to indices below `count`, all equally likely, int64."""
    return (uniform * np.float64(count)).astype(np.int64)


def band(uniform: np.ndarray, side: int, length: np.ndarray) -> np.ndarray:
    """Mark the pixels of an axis in a segment of `length` (n,) or (1,), centered on a random one: bool (n, side)."""
    position = np.arange(side) - (choose(uniform, side) - length // 2)[:, None]
    return (position >= 0) & (position < length[:, None])


def signs(uniform: np.ndarray) -> np.ndarray:
    """Map uniform numbers to 1.0 or -1.0, equally likely."""
    return np.where(uniform < 0.5, 1.0, -1.0)


def dirichlet(uniform: np.ndarray, alpha: float) -> np.ndarray:
    """Map uniform numbers (n, k) to weights that sum to 1, Dirichlet(alpha): Gamma quantiles divided by their sum."""
    gamma = special.gammaincinv(alpha, _open(uniform))
    return gamma / gamma.sum(axis=1, keepdims=True)


def beta(uniform: np.ndarray, alpha: float) -> np.ndarray:
    """Map uniform numbers to Beta(alpha, alpha) by its quantiles."""
    return special.betaincinv(alpha, alpha, _open(uniform))


def normal(uniform: np.ndarray) -> np.ndarray:
    """Map uniform numbers to standard normal ones by its quantiles."""
    return special.ndtri(_open(uniform))


def _open(uniform: np.ndarray) -> np.ndarray:
    """Keep uniform numbers away from 0, where a quantile can be infinite, in float64; 1 is never drawn."""
    return np.maximum(uniform.astype(np.float64), 2.0**-25)
