"""Random numbers of each sample: a function of (seed, corruption, severity, sample index) and of nothing else."""

import dataclasses
import zlib
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class CorruptionDraws:
    """Where the random numbers of some samples come from; row i of whatever is drawn belongs to `indices[i]`."""

    seed: int
    corruption: str
    severity: int
    indices: np.ndarray

    def words(self, count: int) -> np.ndarray:
        """Random words, uint32 (n, count); every call begins anew.

        Philox counts blocks of random bits under a key; sample, severity and corruption are parts of the counter, so
        no two of them can share a block, and none needs a generator of its own to be set up.
        """
        generator = np.random.Philox(key=self.seed)
        state: Any = generator.state
        number = zlib.crc32(self.corruption.encode())
        table = np.empty((len(self.indices), (count + 1) // 2), np.uint64)
        for row, index in zip(table, self.indices.tolist(), strict=True):
            state["state"]["counter"][:] = (0, index, self.severity, number)
            generator.state = state
            row[:] = generator.random_raw(len(row))
        return table.view(np.uint32)[:, :count]

    def normal(self, count: int) -> np.ndarray:
        """Standard normal numbers, float32 (n, count)."""
        return to_normal(self.words(count + count % 2))[:, :count]


def to_uniform(words: np.ndarray) -> np.ndarray:
    """Words as numbers in 0..1 (1 excluded), float32: the upper 24 bits, which is what a float32 holds."""
    uniform = (words >> np.uint32(8)).astype(np.float32)
    uniform *= np.float32(2.0**-24)
    return uniform


def to_range(words: np.ndarray, low: float, high: float) -> np.ndarray:
    """Words as uniform numbers in low..high, float32."""
    return to_uniform(words) * np.float32(high - low) + np.float32(low)


def to_normal(words: np.ndarray) -> np.ndarray:
    """An even number of words a row as as many standard normal numbers, float32 (Box and Muller's transform)."""
    half = words.shape[1] // 2
    radius, angle = to_uniform(words[:, :half]), to_uniform(words[:, half:])
    np.subtract(np.float32(1), radius, out=radius)  # 1 instead of 0, whose logarithm is none
    np.log(radius, out=radius)
    radius *= np.float32(-2)
    np.sqrt(radius, out=radius)
    angle *= np.float32(2 * np.pi)
    normal = np.empty((len(words), 2, half), np.float32)
    np.cos(angle, out=normal[:, 0])
    np.sin(angle, out=normal[:, 1])
    normal *= radius[:, None]
    return normal.reshape(len(words), 2 * half)
