"""Which samples come when, as a function of (seed, epoch) alone, and the gathering of them into tensors.

A batch is the same whatever the number of processes: each takes its own part of it. No worker processes: a gather
from the decoded store is far faster than any network.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch

from doublevit.data.dataset import Dataset


@dataclasses.dataclass(frozen=True)
class Batch:
    """`images` uint8 (B, 3, H, W); `labels` int64 (B,); `indices` int64 (B,), the samples' places in the data set."""

    images: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`."""
        return Batch(self.images.to(device), self.labels.to(device), self.indices.to(device))

    def __len__(self) -> int:
        return len(self.labels)


def gather(dataset: Dataset, indices: np.ndarray) -> Batch:
    """The samples at `indices`, in that order."""
    images = torch.from_numpy(dataset.images[indices]).permute(0, 3, 1, 2)
    return Batch(images, torch.from_numpy(dataset.labels[indices]), torch.from_numpy(indices))


def steps_per_epoch(count: int, batch_size: int) -> int:
    """How many batches an epoch has; the last may be smaller."""
    return -(-count // batch_size)


def training_batches(
    count: int, batch_size: int, seed: int, epoch: int, rank: int = 0, world: int = 1
) -> Iterator[np.ndarray]:
    """Sample indices of each batch of an epoch, shuffled by (seed, epoch): this process's fraction of them.

    `batch_size` is that of all `world` processes together. Every process gets equally many samples of every batch,
    as averaging of gradients demands; where the last batch cannot be shared evenly, its first samples come twice.
    """
    order = np.random.default_rng([seed, epoch]).permutation(count)
    for start in range(0, count, batch_size):
        batch = order[start : start + batch_size]
        padding = -len(batch) % world
        yield np.concatenate([batch, np.resize(batch, padding)])[rank::world]


def evaluation_batches(count: int, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[np.ndarray]:
    """Sample indices in their order, each exactly once over all processes, `batch_size` for each process at a time."""
    own = np.arange(rank, count, world)
    for start in range(0, len(own), batch_size):
        yield own[start : start + batch_size]


def shuffled_batches(count: int, batch_size: int, seed: int) -> list[np.ndarray]:
    """Sample indices, each exactly once, shuffled by `seed` and cut into the fewest batches, as equal as can be.

    So no batch is much smaller than `batch_size`, and where samples are sorted by class none holds a single one.
    """
    order = np.random.default_rng(seed).permutation(count)
    return np.array_split(order, steps_per_epoch(count, batch_size))
