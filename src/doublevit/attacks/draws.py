"""Random numbers of attacks, by seed, repetition, name and sample: neither batching nor device changes them."""

import dataclasses
import zlib

import numpy as np


@dataclasses.dataclass(frozen=True)
class AttackDraws:
    """Draws random numbers for each sample of a batch.

    `indices` int64 (B,) are the samples' indices in their data set; `repeat` counts repetitions of an attack.
    """

    seed: int
    indices: np.ndarray
    repeat: int = 0

    def generators(self, name: str) -> list[np.random.Generator]:
        """Return a generator for each sample, seeded for the draws called `name`."""
        key = zlib.crc32(name.encode())
        return [np.random.default_rng([self.seed, self.repeat, key, int(index)]) for index in self.indices]

    def uniform(self, name: str, *shape: int) -> np.ndarray:
        """Draw float32 (B, *shape) in [0, 1)."""
        return np.stack([generator.random(shape, dtype=np.float32) for generator in self.generators(name)])

    def normal(self, name: str, *shape: int) -> np.ndarray:
        """Draw float32 (B, *shape) of the standard normal distribution."""
        draws = [generator.standard_normal(shape, dtype=np.float32) for generator in self.generators(name)]
        return np.stack(draws)

    def batch_seed(self, name: str) -> int:
        """Return a seed for code with one generator for a whole batch, whose draws then depend on the batch."""
        key = [self.seed, self.repeat, zlib.crc32(name.encode()), *self.indices]
        return int(np.random.default_rng(key).integers(2**31))

    def at(self, positions: np.ndarray) -> "AttackDraws":
        """Return the draws of the samples at these positions in the batch."""
        return dataclasses.replace(self, indices=self.indices[positions])
