"""Listings of encoded images, which each source makes, and their parallel decoding into arrays on disk."""

import dataclasses
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from doublevit import progress
from doublevit.data.decode import BadImage
from doublevit.errors import UserError
from doublevit.files import reserve

STORE_VERSION = 1  # of the layout that `store` writes; raising it makes new stores
CHUNK = 64  # images that a thread decodes into one buffer and writes at once


@dataclasses.dataclass(frozen=True)
class Entries:
    """A split before decoding: N file `names` and their `labels`, int64 (N,)."""

    names: list[str]
    labels: np.ndarray


class Window(NamedTuple):
    """What is shown of an image: it is resized to (height, width), then the square of `side` at (top, left) is cut."""

    height: int
    width: int
    top: int
    left: int
    side: int
    interpolation: str


@dataclasses.dataclass(frozen=True)
class Listing:
    """A data set before decoding.

    `read` returns the bytes of a file, `decode` turns them into uint8 (side, side, 3) or raises `BadImage`;
    `fingerprint` changes with the files. `window` returns what `decode` shows of an image of this height and width,
    where that is all that it does; so training can do the same faster.
    """

    name: str
    source: str
    side: int
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    splits: dict[str, Entries]
    read: Callable[[str], bytes]
    decode: Callable[[bytes], np.ndarray]
    fingerprint: str
    window: Callable[[int, int], Window] | None = None

    def key(self, skip_bad: bool) -> str:
        """Return the name of this listing's store, which ends in a hash of everything that shapes its contents."""
        parts = [STORE_VERSION, self.fingerprint, self.side, self.class_ids, self.class_names, skip_bad]
        parts += [(split, entries.names, entries.labels.tolist()) for split, entries in self.splits.items()]
        return f"{self.name}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"


def decode_split(
    listing: Listing,
    split: str,
    part: Path,
    bar: progress.Bar,
    on_bad: Callable[[str], None],
    workers: int | None = None,
) -> int:
    """Decode a split into `<split>-images.npy` and `<split>-labels.npy` in the folder `part`; return their length.

    `workers` threads decode, one for each core if not given. `on_bad` is called with each unreadable file and the
    reason; it may raise to stop, or return to leave the file out.

    Raises:
        UserError: no image of a class is left.
    """
    entries = listing.splits[split]
    path = part / f"{split}-images.npy"
    shape = (len(entries.names), listing.side, listing.side, 3)
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    good = np.ones(len(entries.names), dtype=bool)
    with path.open("r+b") as file:
        reserve(file, path.stat().st_size)
        for positions, bad in _decode_chunks(listing, entries.names, file.fileno(), images.offset, workers):
            for position, why in bad.items():
                on_bad(f"{entries.names[position]} ({why})")
                good[position] = False
            bar.advance(len(positions))
    if not good.all():
        _keep_only(good, path)
    np.save(part / f"{split}-labels.npy", entries.labels[good])
    require_all_classes(listing, split, entries.labels[good])
    return int(good.sum())


def _decode_chunks(
    listing: Listing, names: list[str], file: int, start: int, workers: int | None
) -> Iterator[tuple[range, dict[int, str]]]:
    """Decode in threads and write all images into the open `file`, the first at byte `start`.

    Yields the positions of each finished chunk, and an error message by position for the bad images in it.
    """

    def decode_chunk(positions: range) -> tuple[range, dict[int, str]]:
        images, bad = _thread_buffer(CHUNK, listing.side)[: len(positions)], {}
        for image, position in zip(images, positions, strict=True):
            try:
                image[:] = listing.decode(listing.read(names[position]))
            except (BadImage, OSError, UserError) as error:
                bad[position] = str(error)
        _write_at(file, images, start + positions.start * image.nbytes)
        return positions, bad

    chunks = [range(start, min(start + CHUNK, len(names))) for start in range(0, len(names), CHUNK)]
    pool = ThreadPoolExecutor(workers or os.cpu_count())
    try:
        yield from pool.map(decode_chunk, chunks)
    finally:
        pool.shutdown(cancel_futures=True)


def _write_at(file: int, array: np.ndarray, offset: int) -> None:
    rest = array.data.cast("B")
    while rest:  # one call writes at most 2 GiB, and less on a disk that is filling up
        written = os.pwrite(file, rest, offset)
        rest, offset = rest[written:], offset + written


def _keep_only(good: np.ndarray, path: Path) -> None:
    """Leave only the `good` rows in the array in `path`, moved within the file: a copy may not fit on the disk."""
    images, rows = np.load(path, mmap_mode="r"), np.flatnonzero(good)
    size, start = images[0].nbytes, images.offset
    with path.open("r+b") as file:
        for place in range(0, len(rows), CHUNK):
            chunk = images[rows[place : place + CHUNK]]  # copied before it is written over
            _write_at(file.fileno(), chunk, start + place * size)
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (len(rows), *images.shape[1:])}
        )
        if file.tell() != start:  # never: headers leave room for longer numbers
            raise ValueError("a header of another length")
        del images
        file.truncate(start + len(rows) * size)


_buffers = threading.local()


def _thread_buffer(count: int, side: int) -> np.ndarray:
    """Return this thread's reused buffer, uint8 (count, side, side, 3): touching fresh memory is slow."""
    if getattr(_buffers, "images", np.empty(0)).shape != (count, side, side, 3):
        _buffers.images = np.zeros((count, side, side, 3), np.uint8)
    images: np.ndarray = _buffers.images
    return images


def require_all_classes(listing: Listing, split: str, labels: np.ndarray) -> None:
    """Raise `UserError` if a class has none of the `labels` (N,) that are left."""
    counts = np.bincount(labels, minlength=len(listing.class_ids))
    if not counts.all():
        empty = listing.class_ids[int(counts.argmin())]
        raise UserError(f"{listing.source}: no readable image of class {empty!r} is left in {split}")
