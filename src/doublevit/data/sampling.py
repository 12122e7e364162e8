"""The order of an epoch's images: every image once, or every class equally often. A function of (seed, epoch) alone."""

import dataclasses

import numpy as np

from doublevit.data.dataset import Dataset
from doublevit.errors import UserError

SLOTS, CLASS_CYCLES = 2, 3  # keep these draws apart from the shuffling, (seed, epoch), and augmentation, (..., 1)


@dataclasses.dataclass(frozen=True)
class EpochOrder:
    """Holds an epoch's samples: `order` int64 (N,) has their numbers in time, `images` int64 (N,) each number's image.

    A sample's number decides its random draws, so that an image that comes twice in an epoch is augmented in two ways.
    """

    order: np.ndarray
    images: np.ndarray


def shuffled(count: int, seed: int, epoch: int) -> EpochOrder:
    """Return every image once, in an order drawn by (seed, epoch); an image's number is its index."""
    return EpochOrder(np.random.default_rng([seed, epoch]).permutation(count), np.arange(count))


def balanced(labels: np.ndarray, seed: int, epoch: int) -> EpochOrder:
    """Return as many samples as there are images, every class equally often, in an order drawn by (seed, epoch).

    Where classes do not divide the epoch, some come once more than others, each in its turn over the epochs. Images of
    a class come in cycles that go on from epoch to epoch: none comes again before all of its class have come.

    Args:
        labels: classes of the images, int64 (N,); classes without an image are passed over.
        seed: seed of the training run.
        epoch: number of the epoch, from 0.
    """
    count, members = len(labels), _by_class(labels)
    slots = np.random.default_rng([seed, epoch, SLOTS]).permutation(np.arange(count * epoch, count * (epoch + 1)))
    images = np.empty(count, np.int64)
    for number, of_class in enumerate(members):
        times = np.flatnonzero(slots % len(members) == number)
        before = -(-(count * epoch - number) // len(members))  # how often the class came in earlier epochs
        images[times] = of_class[_cycled(len(of_class), before, before + len(times), [seed, number])]
    return EpochOrder(np.arange(count), images)


def require_every_class(dataset: Dataset, option: str) -> None:
    """Raise `UserError` if a class has no image, since it can be neither weighed nor drawn; `option` asks for that."""
    counts = np.bincount(dataset.labels, minlength=len(dataset.class_ids))
    empty = [dataset.class_names[label] for label in np.flatnonzero(counts == 0)]
    if empty:
        more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
        raise UserError(
            f"{option}: expected training images of every class, found none of {empty[0]!r}{more}; add some, leave the"
            " class out, or do without"
        )


def _by_class(labels: np.ndarray) -> list[np.ndarray]:
    """Return the indices of each class that has images."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def _cycled(size: int, first: int, end: int, seed: list[int]) -> np.ndarray:
    """Return places `first` to `end` of an endless sequence of permutations of `size` numbers: int64 (end - first,)."""
    rounds = range(first // size, -(-end // size))
    cycles = [np.random.default_rng([*seed, CLASS_CYCLES, number]).permutation(size) for number in rounds]
    return np.concatenate([np.arange(0), *cycles])[first % size :][: end - first]
