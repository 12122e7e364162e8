"""The choice of a store, by the size of the images and the free disk."""

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Literal

import numpy as np

from doublevit import progress
from doublevit.data.listing import Listing
from doublevit.errors import UserError

Store = Literal["decoded", "encoded", "none"]
STORES: tuple[Store, ...] = ("decoded", "encoded", "none")

DECODED_BYTES = 32e9  # of a decoded store that is chosen by itself: more is read slower than it is decoded
PART_OF_DISK = 0.5  # of the free disk that packed files may take
SAMPLE = 64  # files whose sizes are looked at
THREADS_PER_CORE = 4
WORTH_TELLING = 1e9  # bytes


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Number of images, the bytes that they take decoded, about those that they take as they are, and those free."""

    count: int
    decoded: int
    encoded: int
    free: int

    @property
    def store(self) -> Store:
        """The store that is chosen."""
        if self.decoded <= DECODED_BYTES and self.decoded * 1.01 <= self.free:
            return "decoded"
        return "encoded" if self.encoded <= PART_OF_DISK * self.free else "none"


def measure(listing: Listing, cache: Path) -> Sizes:
    """Return the sizes that the choice depends on; those of files from a sample of them."""
    names = [name for entries in listing.splits.values() for name in entries.names]
    sample = [names[index] for index in np.linspace(0, len(names) - 1, SAMPLE).astype(int).tolist()] if names else []
    read = [size for name in sample if (size := _size(listing, name)) is not None]
    mean = sum(read) / max(1, len(read))
    free = shutil.disk_usage(cache).free
    return Sizes(len(names), listing.nbytes(), int(mean * len(names)), free)


def choose(listing: Listing, cache: Path) -> Store:
    """Choose a store and, unless it is a small decoded one, tell which and why."""
    sizes = measure(listing, cache)
    if (sizes.store != "decoded" or sizes.decoded > WORTH_TELLING) and progress.is_main_process():
        progress.console.print(
            f"{sizes.count:,} images: {sizes.decoded / 1e9:,.1f} GB decoded, about {sizes.encoded / 1e9:,.1f} GB as"
            f" they are, {sizes.free / 1e9:,.1f} GB free: {DONE[sizes.store]}; `data.store` sets another way",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    return sizes.store


DONE: dict[Store, str] = {
    "decoded": "decoded once and stored (decoded)",
    "encoded": "packed as they are and decoded in every epoch (encoded)",
    "none": "read where they are and decoded in every epoch (none)",
}


def threads(workers: int | None) -> int:
    """Return the number of threads for `workers`: one for each core if not given, and at most four for each."""
    cores = os.cpu_count() or 1
    return min(workers or cores, THREADS_PER_CORE * cores)


def _size(listing: Listing, name: str) -> int | None:
    try:
        return len(listing.read(name))
    except (OSError, UserError):  # what is damaged is told later, with its name
        return None
