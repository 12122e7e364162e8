"""Images and labels from four sources, decoded once: `load(DataConfig(...))` gives the splits "train" and "val"."""

from collections.abc import Callable
from pathlib import Path

from doublevit.data import digits, image_folder, store, tiny_imagenet
from doublevit.data.config import DataConfig
from doublevit.data.dataset import Dataset, Splits
from doublevit.data.listing import Listing
from doublevit.errors import unknown

EMBEDDED: dict[str, Callable[[DataConfig], Splits]] = {"digits": digits.load}
"""Sources that are in memory at once."""
LISTINGS: dict[str, Callable[[DataConfig], Listing]] = {
    "tiny-imagenet": tiny_imagenet.listing,
    "folder": image_folder.listing,
}
"""Sources that are decoded into a store: what there is to decode."""
SOURCES = (*EMBEDDED, *LISTINGS)

__all__ = ["SOURCES", "DataConfig", "Dataset", "Splits", "load", "source_at", "verify"]


def load(config: DataConfig) -> Splits:
    """The data set's splits, "train" and "val", decoded now if they never were.

    Raises:
        UserError: the source is unknown, missing, damaged or incomplete.
    """
    _require_known(config.source)
    if config.source in EMBEDDED:
        splits = EMBEDDED[config.source](config)
    else:
        listing = LISTINGS[config.source](config)
        splits = store.open_store(store.prepare(listing, config.cache, config.skip_bad, config.workers), listing.source)
    if config.per_class is not None:
        splits = splits | {"train": splits["train"].per_class(config.per_class)}
    return splits


def source_at(path: Path) -> str:
    """The source that reads what lies at `path`: "tiny-imagenet" for its zip or folder, "folder" for class folders."""
    is_tiny = any((root / "wnids.txt").exists() for root in (path, path / "tiny-imagenet-200"))
    return "tiny-imagenet" if is_tiny or path.suffix.lower() == ".zip" else "folder"


def verify(config: DataConfig) -> str:
    """Check that a source is complete and that its store, if it has one, is as it was written; says what was found.

    Raises:
        UserError: something is missing or has changed.
    """
    _require_known(config.source)
    if config.source in EMBEDDED:
        counts = {split: len(dataset) for split, dataset in EMBEDDED[config.source](config).items()}
        return f"{config.source} is embedded, with nothing on disk to verify: {counts}"
    listing = LISTINGS[config.source](config)
    store.read_all(listing, config.skip_bad)
    folder = store.folder_of(listing, config.cache, config.skip_bad)
    if not folder.exists():
        return f"{listing.source} is complete; not decoded yet (doublevit data prepare)"
    store.verify(folder)
    return f"{listing.source} is complete, and {folder} is as it was written"


def _require_known(source: str) -> None:
    if source not in SOURCES:
        raise unknown("data source", source, SOURCES)
