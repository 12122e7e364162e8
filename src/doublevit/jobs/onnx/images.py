"""Labeled images as they are, of mixed sizes, for what resizes them by itself."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from doublevit.data import LISTINGS, DataConfig, load, source_at
from doublevit.data.archive import FolderFiles
from doublevit.data.dataset import of_split
from doublevit.data.decode import BadImage, decode
from doublevit.data.identity import DatasetId
from doublevit.data.labeled import labeled_files
from doublevit.data.listing import Entries
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


def mixed_images(data: str, split: str = "") -> MixedImages:
    """Open what `doublevit evaluate --data` names, without resizing: class folders, CSV, Tiny ImageNet, or digits.

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
    if source_at(path) == "tiny-imagenet":
        listing = LISTINGS["tiny-imagenet"](DataConfig("tiny-imagenet", path))
        entries = of_split(listing.splits, split or "val")
        return _of_files(entries, listing.class_ids, listing.class_names, listing.source, listing.read)
    root, entries, class_ids = labeled_files(path, split)
    return _of_files(entries, class_ids, class_ids, f"images in {root}", FolderFiles(root).read)


def _of_files(
    entries: Entries, ids: Sequence[str], names: Sequence[str], source: str, read: Callable[[str], bytes]
) -> MixedImages:
    def decoded(index: int) -> np.ndarray:
        try:
            return decode(read(entries.names[index]))
        except BadImage as error:
            raise UserError(f"{entries.names[index]} in {source} cannot be read ({error}); leave it out") from error

    return MixedImages(entries.labels, tuple(ids), tuple(names), DatasetId(source, ""), decoded)
