"""Random numbers of each sample, a function of (seed, corruption, severity, sample index) alone."""

import dataclasses
import zlib
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class CorruptionDraws:
    """Source of random numbers for n samples; row i of every result belongs to sample `indices[i]`."""

    seed: int
    corruption: str
    severity: int
    indices: np.ndarray

    def words(self, count: int) -> np.ndarray:
        """Draw random words, uint32 (n, count); every call starts over.

        Philox maps a key and a counter to a block of random bits; sample, severity and corruption are parts of the
        counter, so no two of them can share a block, and none needs a generator of its own.
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
        """Draw standard normal numbers, float32 (n, count)."""
        return to_normal(self.words(count + count % 2))[:, :count]


def to_uniform(words: np.ndarray) -> np.ndarray:
    """Map words to [0, 1), float32, by their upper 24 bits, the precision of a float32."""
    uniform = (words >> np.uint32(8)).astype(np.float32)
    uniform *= np.float32(2.0**-24)
    return uniform


def to_range(words: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map words to uniform numbers in low..high, float32."""
    return to_uniform(words) * np.float32(high - low) + np.float32(low)


def to_normal(words: np.ndarray) -> np.ndarray:
    """Map words (n, even) to as many standard normal numbers, float32, by the Box-Muller transform."""
    half = words.shape[1] // 2
    radius, angle = to_uniform(words[:, :half]), to_uniform(words[:, half:])
    np.subtract(np.float32(1), radius, out=radius)  # in (0, 1], so that the logarithm is finite
    np.log(radius, out=radius)
    radius *= np.float32(-2)
    np.sqrt(radius, out=radius)
    angle *= np.float32(2 * np.pi)
    normal = np.empty((len(words), 2, half), np.float32)
    np.cos(angle, out=normal[:, 0])
    np.sin(angle, out=normal[:, 1])
    normal *= radius[:, None]
    return normal.reshape(len(words), 2 * half)
