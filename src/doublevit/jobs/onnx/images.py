"""Labeled images as they are, of mixed sizes, for what resizes them by itself."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from doublevit.data import LISTINGS, DataConfig, load, read_parts, source_at
from doublevit.data.dataset import of_split
from doublevit.data.decode import DECODING, BadImage, Decoding, decode_upright
from doublevit.data.identity import DatasetId
from doublevit.data.listing import Entries
from doublevit.data.parts import require_images
from doublevit.errors import UserError


@dataclasses.dataclass(frozen=True)
class MixedImages:
    """Images of any sizes: `read(index)` gives uint8 (H, W, 3); `labels` int64 (N,) are indices into `class_ids`."""

    labels: np.ndarray
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    id: DatasetId
    read: Callable[[int], np.ndarray]

    def __len__(self) -> int:
        return len(self.labels)


def mixed_images(data: str, split: str = "", options: Decoding = DECODING) -> MixedImages:
    """Open what `doublevit evaluate --data` names, without resizing; `options` are those of decoding.

    Raises:
        UserError: the images cannot be had.
    """
    path = Path(data)
    if data == "digits" and not path.exists():
        dataset = of_split(load(DataConfig("digits")), split or "val")
        return MixedImages(
            np.asarray(dataset.labels),
            dataset.class_ids,
            dataset.class_names,
            dataset.id,
            lambda index: np.ascontiguousarray(dataset.images[np.array([index])][0]),
        )
    config = DataConfig(source_at(path), path)
    if config.source == "tiny-imagenet":
        listing = LISTINGS["tiny-imagenet"](config)
        entries = of_split(listing.splits, split or "val")
        read = _decoding(listing.read, entries, listing.source, options)
        return _of_files(entries, (listing.class_ids, listing.class_names), listing.source, read)
    parts = read_parts(config)
    part = require_images(parts.to_evaluate(split))
    read = _decoding(parts.read, part.entries, part.source, options)
    return _of_files(part.entries, (part.class_ids, part.class_ids), part.source, read)


def _of_files(
    entries: Entries, classes: tuple[tuple[str, ...], tuple[str, ...]], source: str, read: Callable[[int], np.ndarray]
) -> MixedImages:
    return MixedImages(entries.labels, *classes, DatasetId(source, ""), read)


def _decoding(
    read: Callable[[str], bytes], entries: Entries, source: str, options: Decoding
) -> Callable[[int], np.ndarray]:
    def decoded(index: int) -> np.ndarray:
        try:
            return decode_upright(read(entries.names[index]), options)
        except BadImage as error:
            raise UserError(f"{entries.names[index]} in {source} cannot be read ({error}); leave it out") from error

    return decoded
