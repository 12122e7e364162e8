"""Show that listing, packing, shuffling and reading cost as much for each image of a large set as of a small one.

    python benchmarks/large.py --path FOLDER/tiny-imagenet-200 --count 1300000 --store encoded

Lists `count` images, of which 1,000 are for validation, made of Tiny ImageNet's files in turn, each as often as need
be, stored at 64 pixels; then prepares a store, opens it again, shuffles an epoch and reads it, all images or as many as
`read`. Prints seconds, those of the processor, and the peak of memory after each step. Run it with two counts, each in
a fresh process.
"""

import dataclasses
import functools
import itertools
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tyro

from doublevit.augment.draws import Draws
from doublevit.data import DataConfig, stores
from doublevit.data.batches import gather, training_batches
from doublevit.data.image_folder import listing as folder_listing
from doublevit.data.sampling import shuffled
from doublevit.prefetch import prefetch

BATCH, COLUMNS, VAL = 256, 51, 1000


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    path: Path
    """Unpacked Tiny ImageNet."""
    count: int = 1_300_000
    """Number of images."""
    store: str = "encoded"
    """decoded, encoded or none."""
    place: Path = Path(tempfile.gettempdir())
    """Where the images and the store are made, and deleted afterwards."""
    read: int | None = None
    """How many images of the epoch to read; all, if not given."""


def make_folder(options: Options, root: Path) -> None:
    """Make class folders of hard links to Tiny ImageNet's files: a file system's limit is 65,000 links to one."""
    files = sorted(str(path) for path in (options.path / "train").rglob("*.JPEG"))
    for index in range(options.count):
        part = "train" if index >= VAL else "val"
        folder = root / part / f"class{index % 100:02}"
        if index < 100 or VAL <= index < VAL + 100:
            folder.mkdir(parents=True)
        os.link(files[index % len(files)], f"{folder}/{index:07}.jpg")


Times = tuple[float, float]
"""By the clock and of the processor, in seconds."""


def times() -> Times:
    """Return the times now."""
    return time.perf_counter(), time.process_time()


def step(name: str, start: Times) -> Times:
    """Print the seconds since `start` and the peak of memory; return the times now."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    clock, processor = (end - begin for begin, end in zip(start, times(), strict=True))
    print(f"{name:10} {clock:8.1f} s, processor {processor:8.1f} s, peak {peak:7,.0f} MB", flush=True)
    return times()


def epoch(count: int) -> Iterator[np.ndarray]:
    """Yield the batches of an epoch of this many images."""
    return (batch.indices for batch in training_batches(shuffled(count, 0, 0).order, BATCH))


def run(options: Options, place: Path) -> None:
    """Make the images, and measure each step."""
    now = times()
    make_folder(options, place / "images")
    now = step("made", now)
    listing = folder_listing(DataConfig("folder", place / "images", size=64))
    now = step("listed", now)
    load = functools.partial(stores.load_stored, listing, place / "cache", kind=options.store)
    load()
    now = step("prepared", now)
    train = load()["train"]
    now = step("opened", now)
    batches = epoch(len(train))
    first = next(batches)
    now = step("shuffled", now)
    draws, seen, total = Draws(0, 0, len(train), COLUMNS), 0, 0
    for batch in prefetch(
        (gather(train, indices), draws.rows(indices))[0] for indices in itertools.chain([first], batches)
    ):
        seen += len(batch)
        total += int(batch.images[0, 0, 0, 0])
        if options.read and seen >= options.read:
            break
    step("read", now)
    print(f"{seen:,} images read; sum of first pixels {total:,}")


def main() -> None:
    """Run the benchmark in a folder that is deleted afterwards."""
    options = tyro.cli(Options, description=__doc__)
    place = Path(tempfile.mkdtemp(dir=options.place, prefix="large-"))
    try:
        run(options, place)
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
