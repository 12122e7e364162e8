"""Stores of images that stay encoded: packed into a few files ("encoded"), or left where they are ("none").

A store is a folder in the cache: meta.json and, for each split, `<split>-labels.npy` int64 (N,), `<split>-crc32.npy`
uint32 (N,), the checksums of the decoded images, `<split>-inner-crc32.npy`, those without their margin, and packed
files with `<split>-offsets.npy` int64 (N + 1,), or `<split>-rows.npy` int64 (N,), the places of the images in
the listing.
"""

import array
import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from doublevit import progress, strict_json
from doublevit.data.dataset import Dataset, Splits
from doublevit.data.identity import DatasetId
from doublevit.data.listing import Listing, report_flat, require_all_classes
from doublevit.data.names import printable
from doublevit.data.store import read_meta
from doublevit.data.stores.checksum import array_checksum
from doublevit.data.stores.images import Decode, Kind, StoredImages, decode_whole
from doublevit.data.stores.packed import PackedFiles, Packer, Shard
from doublevit.data.stores.reading import read_files
from doublevit.errors import UserError
from doublevit.files import crc32, write_text
from doublevit.geometry import Window

VERSION = 1
PLACES = {"encoded": "offsets", "none": "rows"}

OnBad = Callable[[str], None]


class EncodedSplit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A split's number of images, the checksum that its decoded store would have, and its packed files.

    `index_crc32` is the CRC-32 of its arrays.
    """

    count: int
    crc32: int
    index_crc32: int
    shards: tuple[Shard, ...]


class EncodedMeta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of meta.json; `skipped` names the files that were left out, and why."""

    version: int
    kind: Kind
    side: int
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    splits: dict[str, EncodedSplit]
    skipped: tuple[str, ...]


class Writing(NamedTuple):
    """What is to be written, and how: `side` is the shorter side of training images that are made smaller."""

    listing: Listing
    folder: Path
    kind: Kind
    side: int | None
    on_bad: OnBad
    threads: int


def write_store(writing: Writing) -> None:
    """Read and decode every file of a listing, once, and write the files of its store.

    Raises:
        UserError: no image of a class is left.
        Whatever `on_bad` raises, which is called with each unreadable file and the reason.
    """
    listing, skipped = writing.listing, list[str]()

    def note(description: str) -> None:
        writing.on_bad(description)
        skipped.append(description)

    total = sum(len(entries.names) for entries in listing.splits.values())
    verb = "packing" if writing.kind == "encoded" else "checking"
    with progress.bar(f"{verb} {listing.name}", total) as bar:
        splits = {split: _write_split(writing._replace(on_bad=note), split, bar) for split in listing.splits}
    names = listing.class_ids, listing.class_names
    meta = EncodedMeta(VERSION, writing.kind, listing.side, *names, splits, tuple(skipped))
    write_text(writing.folder / "meta.json", strict_json.pretty(meta))


def _write_split(writing: Writing, split: str, bar: progress.Bar) -> EncodedSplit:
    """Write a split; of its arrays, the lists that grow are of plain numbers, eight bytes an image."""
    entries, folder = writing.listing.splits[split], writing.folder
    packer = Packer(folder, split) if writing.kind == "encoded" else None
    side = writing.side if split == "train" else None  # what is evaluated stays as it is
    rows, checksums, inner, flat = array.array("q"), array.array("I"), array.array("I"), list[str]()
    for positions, files in read_files(writing.listing, split, side, writing.threads):
        for position, file in zip(positions, files, strict=True):
            if file.bad:
                writing.on_bad(f"{printable(entries.names[position])} ({file.bad})")
                continue
            rows.append(position)
            checksums.append(file.crc32)
            inner.append(file.inner_crc32)
            flat += [entries.names[position]] * file.is_flat
            if packer is not None:
                packer.add(file.data)
        bar.advance(len(positions))
    labels = entries.labels[np.asarray(rows)]
    require_all_classes(writing.listing, split, labels)
    np.save(folder / f"{split}-labels.npy", labels)
    report_flat(flat, len(rows), split)
    np.save(folder / f"{split}-crc32.npy", np.asarray(checksums, np.uint32))
    np.save(folder / f"{split}-inner-crc32.npy", np.asarray(inner, np.uint32))
    places = rows if packer is None else packer.offsets
    np.save(folder / f"{split}-{PLACES[writing.kind]}.npy", np.asarray(places, np.int64))
    length = writing.listing.side_of(split)
    images = array_checksum((len(rows), length, length, 3), checksums)
    shards = () if packer is None else packer.close()
    checksum = crc32(folder / f"{split}-labels.npy", images)
    return EncodedSplit(len(rows), checksum, index_checksum(folder, split, writing.kind), shards)


def open_encoded(folder: Path, listing: Listing, threads: int) -> Splits:
    """Return the splits of a prepared store; training images are decoded the quick way.

    Raises:
        UserError: files are missing, damaged, or of unexpected size.
    """
    meta = read_meta(folder, EncodedMeta)
    return {split: _open_split(folder, split, meta, listing, threads) for split in meta.splits}


def _open_split(folder: Path, split: str, meta: EncodedMeta, listing: Listing, threads: int) -> Dataset:
    stored = meta.splits[split]
    try:
        labels, checksums, inner, places = (
            np.load(folder / f"{split}-{name}.npy", allow_pickle=False) for name in _arrays(meta.kind)
        )
        if not len(labels) == len(checksums) == len(inner) == stored.count:
            raise ValueError(f"expected {stored.count:,} labels, found {len(labels):,}")
        if index_checksum(folder, split, meta.kind) != stored.index_crc32:  # cheap: some 24 bytes an image
            raise ValueError("its index has changed since it was written")
        read = _reader(folder, split, meta, listing, places)
        rows = np.arange(stored.count) if meta.kind == "encoded" else places
        images = StoredImages(
            *(rows, listing.side_of(split), read, _decoder(listing, split)),
            *(checksums, inner, listing.margin_of(split), threads),
            kind=meta.kind,
        )
        identity = DatasetId(listing.source, f"{stored.crc32:08x}", split, skipped=len(meta.skipped))
        return Dataset(images, labels, meta.class_ids, meta.class_names, identity)
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise UserError(f"{folder}: {split} is damaged ({error}); delete the folder and prepare again") from error


def _reader(
    folder: Path, split: str, meta: EncodedMeta, listing: Listing, places: np.ndarray
) -> Callable[[int], bytes]:
    """Return what reads the bytes of an image by its place in the store."""
    if meta.kind == "encoded":
        if len(places) != meta.splits[split].count + 1:
            raise ValueError("its places are not whole")
        return PackedFiles(folder, split, meta.splits[split].shards, places).read
    names = listing.splits[split].names
    if len(places) and not 0 <= places.min() <= places.max() < len(names):
        raise ValueError("its places are not those of the files")
    return lambda row: listing.read(names[row])


def _decoder(listing: Listing, split: str) -> Decode:
    """Return what decodes a split's images: exactly what is evaluated, quickly what is trained on."""
    exact = functools.partial(listing.decode_bytes, split)
    if split != "train" or listing.window is None:
        return functools.partial(decode_whole, exact=exact)
    from doublevit.data.stores.fast import decode_fast  # which needs torch

    plan = functools.partial(_plan, window=listing.window, margin=listing.margin_of(split))
    return functools.partial(decode_fast, plan=plan, exact=exact)


def _plan(height: int, width: int, window: Callable[[int, int, int], Window], margin: int) -> Window:
    return window(height, width, margin)


def _arrays(kind: Kind) -> tuple[str, str, str, str]:
    return "labels", "crc32", "inner-crc32", PLACES[kind]


def index_checksum(folder: Path, split: str, kind: Kind) -> int:
    """Return the CRC-32 of a split's arrays."""
    checksum = 0
    for name in _arrays(kind):
        checksum = crc32(folder / f"{split}-{name}.npy", checksum)
    return checksum
