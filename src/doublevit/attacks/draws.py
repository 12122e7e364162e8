"""Random numbers of attacks: a function of (seed, repetition, name, sample), so that no batching changes them."""

import dataclasses
import zlib

import numpy as np


@dataclasses.dataclass(frozen=True)
class AttackDraws:
    """What is drawn for each sample of a batch.

    `indices` int64 (B,) are the samples' indices in their data set; `repeat` counts repetitions of an attack.
    """

    seed: int
    indices: np.ndarray
    repeat: int = 0

    def generators(self, name: str) -> list[np.random.Generator]:
        """A generator for each sample, of draws that are called `name`."""
        key = zlib.crc32(name.encode())
        return [np.random.default_rng([self.seed, self.repeat, key, int(index)]) for index in self.indices]

    def uniform(self, name: str, *shape: int) -> np.ndarray:
        """float32 (B, *shape) in [0, 1)."""
        return np.stack([random.random(shape, dtype=np.float32) for random in self.generators(name)])

    def normal(self, name: str, *shape: int) -> np.ndarray:
        """float32 (B, *shape), standard normal."""
        return np.stack([random.standard_normal(shape, dtype=np.float32) for random in self.generators(name)])

    def batch_seed(self, name: str) -> int:
        """For code that draws from one generator for a whole batch: what is drawn then depends on the batch."""
        key = [self.seed, self.repeat, zlib.crc32(name.encode()), *self.indices]
        return int(np.random.default_rng(key).integers(2**31))

    def at(self, chosen: np.ndarray) -> "AttackDraws":
        """The draws of some of the samples."""
        return dataclasses.replace(self, indices=self.indices[chosen])
