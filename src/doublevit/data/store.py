"""Stores of decoded images: arrays on disk, written once and memory-mapped from then on.

A store is a folder in the cache: meta.json and, for each split, `<split>-images.npy` uint8 (N, S, S, 3) and
`<split>-labels.npy` int64 (N,). Its name ends in a fingerprint of everything that it was made from, so a changed
source gets a new store; it appears whole or not at all.
"""

import contextlib
import glob
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import filelock
import msgspec
import numpy as np

from doublevit import progress, strict_json
from doublevit.data.dataset import Dataset, Splits
from doublevit.data.decode import BadImage
from doublevit.data.identity import DatasetId
from doublevit.data.listing import STORE_VERSION, Listing, decode_split
from doublevit.data.names import printable
from doublevit.errors import UserError
from doublevit.files import crc32, require_space, whole_folder, write_text


class StoredSplit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The number of images in a split and the CRC-32 of its two arrays."""

    count: int
    crc32: int


class StoreMeta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of meta.json; `skipped` names the files that were left out, and why."""

    version: int
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    splits: dict[str, StoredSplit]
    skipped: tuple[str, ...]


def folder_of(listing: Listing, cache: Path, skip_bad: bool) -> Path:
    """Return the folder of the listing's store, whether it exists or not."""
    return cache / listing.key(skip_bad)


def open_store(folder: Path, source: str) -> Splits:
    """Return the splits of a prepared store, memory-mapped; `source` becomes that of their ids.

    Raises:
        UserError: files are missing, damaged, or of unexpected shape.
    """
    meta = read_meta(folder, StoreMeta)
    return {split: _open_split(folder, split, meta, source) for split in meta.splits}


def read_all(listing: Listing, skip_bad: bool) -> None:
    """Read and decode every file of a source, so that damage is found.

    Raises:
        UserError: a file cannot be read and `skip_bad` is false.
    """
    names = [(split, name) for split, entries in listing.splits.items() for name in entries.names]
    with progress.bar(f"reading {listing.name}", len(names)) as bar:
        for split, name in names:
            try:
                listing.decode_file(split, name)
            except (BadImage, OSError, UserError) as error:
                if not skip_bad:
                    stop_at_bad(f"{name} ({error})")
            bar.advance(1)


def verify(folder: Path) -> None:
    """Read every byte of a store and compare it with the checksums that were recorded on writing.

    Raises:
        UserError: a split differs.
    """
    for split, stored in read_meta(folder, StoreMeta).splits.items():
        try:
            checksum = _checksum(folder, split)
        except OSError as error:
            raise UserError(f"{folder}: {split} is damaged ({error}); delete the folder and prepare again") from error
        if checksum != stored.crc32:
            raise UserError(f"{folder}: {split} has changed since it was written; delete the folder and prepare again")


Meta = TypeVar("Meta", bound=msgspec.Struct)


def read_meta(folder: Path, kind: type[Meta]) -> Meta:
    """Read the meta.json of a store, whose contents are of a kind: `StoreMeta`, or `EncodedMeta`.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        return strict_json.decode((folder / "meta.json").read_bytes(), kind)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} is no prepared data ({error}); delete it and prepare again") from error


def _open_split(folder: Path, split: str, meta: StoreMeta, source: str) -> Dataset:
    try:
        images = np.load(folder / f"{split}-images.npy", mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / f"{split}-labels.npy", allow_pickle=False)
        identity = DatasetId(source, f"{meta.splits[split].crc32:08x}", split, skipped=len(meta.skipped))
        return Dataset(images, labels, meta.class_ids, meta.class_names, identity)
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise UserError(f"{folder}: {split} is damaged ({error}); delete the folder and prepare again") from error


@contextlib.contextmanager
def store_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a store while it is made; a second process waits for the first."""
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


def decode_all(listing: Listing, folder: Path, skip_bad: bool, workers: int | None) -> None:
    """Make the store of a listing, whose lock is held.

    Raises:
        UserError: there is too little space, or a file is bad and `skip_bad` is false.
    """
    total = sum(len(entries.names) for entries in listing.splits.values())
    remove_stale(folder)
    require_space(folder.parent, listing.nbytes(), f"decoding {total:,} images")
    skipped: list[str] = []
    with whole_folder(folder) as part, progress.bar(f"decoding {listing.name}", total) as bar:
        on_bad = skipped.append if skip_bad else stop_at_bad
        splits = {split: _write_split(listing, split, part, bar, on_bad, workers) for split in listing.splits}
        meta = StoreMeta(STORE_VERSION, listing.class_ids, listing.class_names, splits, tuple(skipped))
        write_text(part / "meta.json", strict_json.pretty(meta))
    report_skipped(skipped)


def remove_stale(folder: Path) -> None:
    """Remove what a killed process left of a store of this name, whose lock is held."""
    for stale in folder.parent.glob(f".{glob.escape(folder.name)}-*"):
        shutil.rmtree(stale, ignore_errors=True)


def stop_at_bad(description: str) -> None:
    """Raise `UserError` for the file of this description, and reason."""
    raise UserError(f"cannot read {printable(description)}; mend or remove the file, or pass `data.skip_bad=True`")


def report_skipped(skipped: list[str]) -> None:
    """Print which files were left out, and why."""
    for description in skipped[:10]:
        progress.console.print(f"left out {description}", markup=False, highlight=False, soft_wrap=True)
    if len(skipped) > 10:
        progress.console.print(f"left out {len(skipped) - 10} more; meta.json in the store names all")


def _write_split(
    listing: Listing, split: str, part: Path, bar: progress.Bar, on_bad: Callable[[str], None], workers: int | None
) -> StoredSplit:
    return StoredSplit(decode_split(listing, split, part, bar, on_bad, workers), _checksum(part, split))


def _checksum(folder: Path, split: str) -> int:
    """Return the CRC-32 of both array files, images first."""
    return crc32(folder / f"{split}-labels.npy", crc32(folder / f"{split}-images.npy"))
