"""Data sets of images: `load(DataConfig(...))` decodes a source once and gives its splits "train" and "val"."""

from collections.abc import Callable
from pathlib import Path

from doublevit.data import digits, image_folder, store, tiny_imagenet
from doublevit.data.config import DataConfig
from doublevit.data.dataset import Dataset, Splits
from doublevit.data.listing import Listing
from doublevit.data.stores import folder_of, load_stored, stored_at
from doublevit.data.stores.verify import verify_encoded
from doublevit.errors import unknown

EMBEDDED: dict[str, Callable[[DataConfig], Splits]] = {"digits": digits.load}
"""Sources that come with a library and are loaded straight into memory."""
LISTINGS: dict[str, Callable[[DataConfig], Listing]] = {
    "tiny-imagenet": tiny_imagenet.listing,
    "folder": image_folder.listing,
}
"""Sources of image files, which are decoded into a store; each function lists the files."""
SOURCES = (*EMBEDDED, *LISTINGS)

__all__ = ["SOURCES", "DataConfig", "Dataset", "Splits", "load", "source_at", "verify"]


def load(config: DataConfig) -> Splits:
    """Return the data set's splits, "train" and "val"; images that were never decoded are decoded now.

    Raises:
        UserError: the source is unknown, missing, damaged or incomplete.
    """
    _require_known(config.source)
    if config.source in EMBEDDED:
        splits = EMBEDDED[config.source](config)
    else:
        listing = LISTINGS[config.source](config)
        splits = load_stored(
            listing,
            config.cache,
            kind=None if config.store == "auto" else config.store,
            skip_bad=config.skip_bad,
            workers=config.workers,
            side=config.shrink,
        )
    if config.per_class is not None:
        splits = splits | {"train": splits["train"].per_class(config.per_class)}
    return splits


def source_at(path: Path) -> str:
    """Return the name of the source that reads `path`: "tiny-imagenet" for its zip or folder, else "folder"."""
    is_tiny = any((root / "wnids.txt").exists() for root in (path, path / "tiny-imagenet-200"))
    return "tiny-imagenet" if is_tiny or path.suffix.lower() == ".zip" else "folder"


def verify(config: DataConfig) -> str:
    """Check that a source is complete and its store, if there is one, unchanged; return the result as a sentence.

    Raises:
        UserError: a file or image is missing or has changed.
    """
    _require_known(config.source)
    if config.source in EMBEDDED:
        counts = {split: len(dataset) for split, dataset in EMBEDDED[config.source](config).items()}
        return f"{config.source} is embedded, with nothing on disk to verify: {counts}"
    listing = LISTINGS[config.source](config)
    store.read_all(listing, config.skip_bad)
    base = store.folder_of(listing, config.cache, config.skip_bad)
    kind = stored_at(base, None if config.store == "auto" else config.store, config.shrink)
    if kind is None:
        return f"{listing.source} is complete; not stored yet (doublevit data prepare)"
    folder = folder_of(base, kind, config.shrink)
    if kind == "decoded":
        store.verify(folder)
    else:
        verify_encoded(folder, listing)
    return f"{listing.source} is complete, and {folder} is as it was written"


def _require_known(source: str) -> None:
    if source not in SOURCES:
        raise unknown("data source", source, SOURCES)
