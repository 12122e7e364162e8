"""Listings of encoded images, which each source makes, and their parallel decoding into arrays on disk."""

import dataclasses
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from doublevit import progress
from doublevit.data.decode import BadImage, decode_upright
from doublevit.data.names import printable
from doublevit.errors import UserError
from doublevit.files import reserve
from doublevit.geometry import Window

STORE_VERSION = 1  # of the layout that `store` writes; raising it makes new stores
FLAT = 17  # levels of 256: 12-bit data in 16 bits have 16
MAX_NAME = 180  # bytes of a store's name, before its hash: of 255, some are for what is temporary beside it
CHUNK = 64  # images that a thread decodes into one buffer and writes at once


@dataclasses.dataclass(frozen=True)
class Entries:
    """A split before decoding: N file `names` and their `labels`, int64 (N,)."""

    names: list[str]
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Listing:
    """A data set before decoding.

    `read` returns the bytes of a file, `decode` turns them into uint8 (side, side, 3) or raises `BadImage`; with a
    `margin`, training images are stored with so many pixels more on each side, which `decode` is then told.
    `window` says what `decode` shows of an image of this height, width and margin, where that is all that it does: so
    training can do the same faster. `pixels` decodes without resizing. `fingerprint` changes with the files;
    `notes` are what the user should know of how they were found.
    """

    name: str
    source: str
    side: int
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    splits: dict[str, Entries]
    read: Callable[[str], bytes]
    decode: Callable[..., np.ndarray]
    fingerprint: str
    margin: int = 0
    window: Callable[[int, int, int], Window] | None = None
    pixels: Callable[[bytes], np.ndarray] = decode_upright
    notes: tuple[str, ...] = ()

    def margin_of(self, split: str) -> int:
        """Return the margin of a split's images in pixels."""
        return self.margin if split == "train" else 0

    def side_of(self, split: str) -> int:
        """Return the side of a split's images in pixels."""
        return self.side + 2 * self.margin_of(split)

    def decode_file(self, split: str, name: str) -> np.ndarray:
        """Read and decode a file of a split, uint8 (S, S, 3).

        Raises:
            BadImage: it is no image, or damaged.
            OSError: it cannot be read.
            UserError: as `read`.
        """
        return self.decode_bytes(split, self.read(name))

    def decode_bytes(self, split: str, data: bytes) -> np.ndarray:
        """Decode the bytes of a file of a split, uint8 (S, S, 3).

        Raises:
            BadImage: it is no image, or damaged.
        """
        margin = self.margin_of(split)
        return self.decode(data, margin) if margin else self.decode(data)

    def nbytes(self) -> int:
        """Return how many bytes all images take decoded."""
        return sum(len(entries.names) * self.side_of(split) ** 2 * 3 for split, entries in self.splits.items())

    def key(self, skip_bad: bool) -> str:
        """Return the name of this listing's store, which ends in a hash of everything that shapes its contents."""
        parts = [STORE_VERSION, self.fingerprint, self.side, self.class_ids, self.class_names, skip_bad]
        parts += [self.margin] if self.margin else []
        parts += [(split, entries.names, entries.labels.tolist()) for split, entries in self.splits.items()]
        name = os.fsdecode(os.fsencode(self.name)[:MAX_NAME])
        return f"{name}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"


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
    side = listing.side_of(split)
    shape = (len(entries.names), side, side, 3)
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    good, flat = np.ones(len(entries.names), dtype=bool), []
    with path.open("r+b") as file:
        reserve(file, path.stat().st_size)
        for positions, bad, constant in _decode_chunks(listing, split, file.fileno(), images.offset, workers):
            for position, why in bad.items():
                on_bad(f"{printable(entries.names[position])} ({why})")
                good[position] = False
            flat += [entries.names[position] for position in constant]
            bar.advance(len(positions))
    if not good.all():
        _keep_only(good, path)
    report_flat(flat, int(good.sum()), split)
    np.save(part / f"{split}-labels.npy", entries.labels[good])
    require_all_classes(listing, split, entries.labels[good])
    return int(good.sum())


def _decode_chunks(
    listing: Listing, split: str, file: int, start: int, workers: int | None
) -> Iterator[tuple[range, dict[int, str], list[int]]]:
    """Decode in threads and write all images into the open `file`, the first at byte `start`.

    Yields the positions of each finished chunk, an error message by position for the bad images in it, and the
    positions of those that are nearly constant.
    """
    names = listing.splits[split].names

    def decode_chunk(positions: range) -> tuple[range, dict[int, str], list[int]]:
        images, bad, flat = _thread_buffer(CHUNK, listing.side_of(split))[: len(positions)], {}, []
        for image, position in zip(images, positions, strict=True):
            try:
                image[:] = listing.decode_file(split, names[position])
            except (BadImage, OSError, UserError) as error:
                bad[position] = str(error)
                continue
            if is_flat(image):
                flat.append(position)
        _write_at(file, images, start + positions.start * image.nbytes)
        return positions, bad, flat

    chunks = [range(start, min(start + CHUNK, len(names))) for start in range(0, len(names), CHUNK)]
    pool = ThreadPoolExecutor(workers or os.cpu_count())
    try:
        yield from pool.map(decode_chunk, chunks)
    finally:
        pool.shutdown(cancel_futures=True)


def is_flat(image: np.ndarray) -> bool:
    """Whether an image's levels are so close to one another that it shows next to nothing."""
    return int(image.max()) - int(image.min()) < FLAT


def report_flat(names: list[str], count: int, split: str) -> None:
    """Warn of the files `names` of `count` that show next to nothing."""
    if names:
        progress.console.print(
            f"warning: {len(names):,} of {count:,} {split} images are nearly constant, {printable(names[0])} first:"
            f" all their levels are within {FLAT} of 256. For 12-bit data in files of 16 bits, pass `data.bits=12`",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


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
