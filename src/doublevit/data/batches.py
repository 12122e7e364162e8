"""Batches of an epoch's samples, and the gathering of samples into tensors.

A batch is the same whatever the number of processes: each process takes its part of it. There are no worker processes:
gathering from the decoded store is far faster than any network, and images that are stored encoded are decoded in
threads, a batch ahead.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch

from doublevit.data.dataset import Dataset
from doublevit.data.stores.images import StoredImages
from doublevit.images import Regions
from doublevit.regions import resize_regions


@dataclasses.dataclass(frozen=True)
class Batch:
    """`images` uint8 (B, 3, H, W); `labels` int64 (B,); `indices` int64 (B,) in the data set."""

    images: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return the same batch on `device`."""
        return Batch(self.images.to(device), self.labels.to(device), self.indices.to(device))

    def __len__(self) -> int:
        return len(self.labels)


def gather(dataset: Dataset, indices: np.ndarray, regions: Regions | None = None) -> Batch:
    """Return the samples at `indices`, int64 (B,), in that order; of each image only its region, resized, if given.

    Of images that are stored encoded, a region is decoded at the detail that it needs, else cut out of what is stored.
    """
    if regions is None:
        images = dataset.images[indices]
    elif isinstance(dataset.images, StoredImages):
        images = dataset.images.make_regions(indices, regions)
    else:
        images = resize_regions(dataset.images[indices], regions)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    return Batch(pixels, torch.from_numpy(dataset.labels[indices]), torch.from_numpy(indices))


def steps_per_epoch(count: int, batch_size: int, smallest: int = 1) -> int:
    """Return the number of batches in an epoch.

    The last one may be smaller than the others; one of fewer than `smallest` samples is added to the one before.
    """
    full, rest = divmod(count, batch_size)
    return max(full + (rest >= smallest), min(count, 1))


@dataclasses.dataclass(frozen=True)
class BatchPart:
    """One process's part of a training batch: the `indices` int64 (b,) of its samples among the batch's `size`.

    `weight` is that of the mean over the part's samples in the mean over all processes, so that this is the mean over
    the batch: b * processes / size. It is 0 where the batch has no sample for the process, which then gets one of
    another's, since all must take part in the step.
    """

    indices: np.ndarray
    size: int
    weight: float


def training_batches(
    order: np.ndarray, batch_size: int, smallest: int = 1, rank: int = 0, world: int = 1
) -> Iterator[BatchPart]:
    """Yield this process's part of each batch of an epoch, whose samples are `order`, int64 (N,).

    `batch_size` is that of all `world` processes together, and `smallest` as in `steps_per_epoch`. Every sample comes
    once in an epoch; where a batch cannot be divided evenly, the first processes have one sample more.
    """
    steps = steps_per_epoch(len(order), batch_size, smallest)
    for step in range(steps):
        batch = order[step * batch_size : (step + 1) * batch_size if step < steps - 1 else None]
        part = batch[rank::world]
        yield BatchPart(part if len(part) else batch[:1], len(batch), len(part) * world / len(batch))


def evaluation_batches(count: int, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[np.ndarray]:
    """Yield batches of at most `batch_size` ascending indices; over all processes every sample comes exactly once."""
    indices = np.arange(rank, count, world)
    for start in range(0, len(indices), batch_size):
        yield indices[start : start + batch_size]


def shuffled_batches(count: int, batch_size: int, seed: int) -> list[np.ndarray]:
    """Return all sample indices, shuffled by `seed` and split into the fewest batches of nearly equal size.

    So no batch is much smaller than `batch_size`, and none holds a single class where samples are sorted by class.
    """
    order = np.random.default_rng(seed).permutation(count)
    return np.array_split(order, steps_per_epoch(count, batch_size))
