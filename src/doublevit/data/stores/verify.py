"""Verification of stores of images that stay encoded."""

import zlib
from pathlib import Path

import numpy as np

from doublevit.data.listing import Listing
from doublevit.data.store import read_meta
from doublevit.data.stores.encoded import EncodedMeta, open_encoded
from doublevit.data.stores.images import StoredImages
from doublevit.data.stores.packed import changed_shard
from doublevit.errors import UserError
from doublevit.images import Images


def verify_encoded(folder: Path, listing: Listing) -> None:
    """Read every image of a store, and compare all with the checksums that were recorded on writing.

    Raises:
        UserError: a split differs.
    """
    meta = read_meta(folder, EncodedMeta)
    for split, dataset in open_encoded(folder, listing, 1).items():
        changed = changed_shard(folder, split, meta.splits[split].shards)
        if changed is not None:
            raise UserError(f"{changed} has changed since it was written; delete {folder} and prepare again")
        if meta.kind == "none":
            _verify_in_place(listing, split, dataset.images)


def _verify_in_place(listing: Listing, split: str, images: Images) -> None:
    names = listing.splits[split].names
    if not isinstance(images, StoredImages):
        raise TypeError("expected stored images")
    for row, expected in zip(images.rows.tolist(), images.crc32.tolist(), strict=True):
        if zlib.crc32(np.ascontiguousarray(listing.decode_file(split, names[row])).data) != expected:
            raise UserError(f"{names[row]} has changed since it was prepared, though neither its size nor its date")
