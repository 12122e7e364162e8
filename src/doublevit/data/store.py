"""Photos decoded once, into arrays on disk that are memory-mapped from then on.

A store is a folder in the cache: meta.json and, for each split, `<split>-images.npy` uint8 (N, S, S, 3) and
`<split>-labels.npy` int64 (N,). Its name ends in a fingerprint of all that it was made from, so a changed source
gets a store of its own; it appears whole or not at all.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from doublevit import progress
from doublevit.data.dataset import Dataset, Splits
from doublevit.data.decode import BadImage
from doublevit.errors import UserError
from doublevit.files import require_space, whole_folder, writable_folder, write_text

STORE_VERSION = 1
CHUNK = 64  # photos that a thread decodes into one buffer and writes in one go


@dataclasses.dataclass(frozen=True)
class Entries:
    """A split before decoding: file `names` and `labels` int64 (N,) beside them."""

    names: list[str]
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Listing:
    """A data set before decoding.

    `read` gives a file's bytes, `decode` makes them uint8 (side, side, 3) or raises `BadImage`;
    `fingerprint` changes with the files.
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

    def key(self, skip_bad: bool) -> str:
        """What the store of this listing is called: a hash of everything that shapes its contents."""
        parts = [STORE_VERSION, self.fingerprint, self.side, self.class_ids, self.class_names, skip_bad]
        parts += [(split, entries.names, entries.labels.tolist()) for split, entries in self.splits.items()]
        return f"{self.name}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"


def prepare(listing: Listing, cache: Path, skip_bad: bool) -> Path:
    """The listing's store, decoded first if the cache has none; a second process waits for the one that decodes.

    Raises:
        UserError: the cache is not writable or too small, or a file is bad and `skip_bad` is off.
    """
    folder = cache / listing.key(skip_bad)
    if not folder.exists():
        writable_folder(cache, "the cache; --data.cache sets another")
        with _alone(folder):
            if not folder.exists():
                _decode_all(listing, folder, skip_bad)
    return folder


def find(listing: Listing, cache: Path, skip_bad: bool) -> Path | None:
    """The listing's store, if it was prepared."""
    folder = cache / listing.key(skip_bad)
    return folder if folder.exists() else None


def open_store(folder: Path) -> Splits:
    """The splits of a prepared store, memory-mapped.

    Raises:
        UserError: files are missing or have another size than they should.
    """
    meta = read_meta(folder)
    return {split: _open_split(folder, split, meta) for split in meta["splits"]}


def verify(folder: Path) -> None:
    """Read every byte of a store and compare with the checksums noted when it was written.

    Raises:
        UserError: a split differs.
    """
    for split, noted in read_meta(folder)["splits"].items():
        if _checksum(folder, split) != noted["crc32"]:
            raise UserError(f"{folder}: {split} has changed since it was written; delete the folder and prepare again")


def read_meta(folder: Path) -> dict[str, Any]:
    """What a store says of itself.

    Raises:
        UserError: there is no readable meta.json.
    """
    try:
        return dict(json.loads((folder / "meta.json").read_text()))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} is no prepared data ({error}); delete it and prepare again") from error


def _open_split(folder: Path, split: str, meta: dict[str, Any]) -> Dataset:
    try:
        images = np.load(folder / f"{split}-images.npy", mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / f"{split}-labels.npy", allow_pickle=False)
        return Dataset(
            images, labels, tuple(meta["class_ids"]), tuple(meta["class_names"]), f"{meta['source']}, {split}"
        )
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: {split} is damaged ({error}); delete the folder and prepare again") from error


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    lock = filelock.FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=1)
    except filelock.Timeout:
        progress.console.print(f"another process is preparing {folder.name}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _decode_all(listing: Listing, folder: Path, skip_bad: bool) -> None:
    total = sum(len(entries.names) for entries in listing.splits.values())
    for stale in folder.parent.glob(f".{folder.name}-*"):  # of a process that was killed; the lock says none is at work
        shutil.rmtree(stale, ignore_errors=True)
    require_space(folder.parent, total * listing.side**2 * 3, f"decoding {total:,} photos")
    skipped: list[str] = []
    with whole_folder(folder) as part, progress.bar(f"decoding {listing.name}", total) as bar:
        on_bad = skipped.append if skip_bad else _stop_at_bad
        meta = {
            "version": STORE_VERSION,
            "class_ids": listing.class_ids,
            "class_names": listing.class_names,
            "splits": {split: _decode_split(listing, split, part, bar, on_bad) for split in listing.splits},
            "source": listing.source + (f" ({len(skipped)} bad files left out)" if skipped else ""),
            "skipped": skipped,
        }
        write_text(part / "meta.json", json.dumps(meta, indent=1))
    _tell_skipped(skipped)


def _stop_at_bad(found: str) -> None:
    raise UserError(f"cannot read {found}; mend or remove the file, or pass --data.skip-bad")


def _tell_skipped(skipped: list[str]) -> None:
    for found in skipped[:10]:
        progress.console.print(f"left out {found}", markup=False)
    if len(skipped) > 10:
        progress.console.print(f"left out {len(skipped) - 10} more; meta.json in the store names all")


def _decode_split(
    listing: Listing, split: str, part: Path, bar: progress.Bar, on_bad: Callable[[str], None]
) -> dict[str, Any]:
    entries = listing.splits[split]
    path = part / f"{split}-images.npy"
    shape = (len(entries.names), listing.side, listing.side, 3)
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    good = np.ones(len(entries.names), dtype=bool)
    with path.open("r+b") as file:
        for positions, bad in _decode_chunks(listing, entries.names, file.fileno(), images.offset):
            for position, why in bad.items():
                on_bad(f"{entries.names[position]} ({why})")
                good[position] = False
            bar.advance(len(positions))
    if not good.all():
        _keep_only(good, path)
    np.save(part / f"{split}-labels.npy", entries.labels[good])
    _require_all_classes(listing, split, entries.labels[good])
    return {"count": int(good.sum()), "crc32": _checksum(part, split)}


def _decode_chunks(listing: Listing, names: list[str], file: int, start: int) -> Iterator[tuple[range, dict[int, str]]]:
    """Write all photos into the open `file`, the first at byte `start`, on all cores.

    Yields the positions of each finished chunk and what was wrong with the bad ones among them.
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
    pool = ThreadPoolExecutor(os.cpu_count())
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
    """Rewrite the array in `path` without the rows that are not `good`, a little at a time."""
    images, rows = np.load(path, mmap_mode="r"), np.flatnonzero(good)
    part = path.with_suffix(".part")
    kept = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=(len(rows), *images.shape[1:]))
    for start in range(0, len(rows), CHUNK):
        kept[start : start + CHUNK] = images[rows[start : start + CHUNK]]
    kept.flush()
    part.replace(path)


_buffers = threading.local()


def _thread_buffer(count: int, side: int) -> np.ndarray:
    """This thread's own uint8 (count, side, side, 3), used again and again: touching fresh memory is slow."""
    if getattr(_buffers, "images", np.empty(0)).shape != (count, side, side, 3):
        _buffers.images = np.zeros((count, side, side, 3), np.uint8)
    images: np.ndarray = _buffers.images
    return images


def _require_all_classes(listing: Listing, split: str, labels: np.ndarray) -> None:
    counts = np.bincount(labels, minlength=len(listing.class_ids))
    if not counts.all():
        empty = listing.class_ids[int(counts.argmin())]
        raise UserError(f"{listing.source}: no readable photo of class {empty!r} is left in {split}")


def _checksum(folder: Path, split: str) -> int:
    """CRC-32 of both arrays: it is there to find damage, not malice, and is eight times as fast as SHA-256."""
    checksum = 0
    for kind in ("images", "labels"):
        with (folder / f"{split}-{kind}.npy").open("rb") as file:
            while block := file.read(1 << 20):
                checksum = zlib.crc32(block, checksum)
    return checksum
