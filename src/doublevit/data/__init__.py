"""Data sets of images: `load(DataConfig(...))` decodes a source once and gives its splits "train" and "val"."""

from collections.abc import Callable, Iterable

from doublevit import progress
from doublevit.data import digits, huggingface, image_folder, image_list, shards, store, tiny_imagenet
from doublevit.data.address import absolute, source_at
from doublevit.data.config import DataConfig
from doublevit.data.dataset import Dataset, Splits
from doublevit.data.listing import Listing
from doublevit.data.names import printable
from doublevit.data.parts import Parts
from doublevit.data.stores import folder_of, load_stored, stored_at
from doublevit.data.stores.verify import verify_encoded
from doublevit.errors import unknown

EMBEDDED: dict[str, Callable[[DataConfig], Splits]] = {"digits": digits.load}
"""Sources that come with a library and are loaded straight into memory."""
LISTINGS: dict[str, Callable[[DataConfig], Listing]] = {
    "tiny-imagenet": tiny_imagenet.listing,
    "folder": image_folder.listing,
    "list": image_list.listing,
    "hf": huggingface.listing,
    "wds": shards.listing,
}
"""Sources of image files, which are decoded into a store; each function lists the files."""
READERS: dict[str, Callable[[DataConfig], Parts]] = {
    "folder": image_folder.read,
    "list": image_list.read,
    "hf": huggingface.read,
    "wds": shards.read,
}
"""The same sources before a part is chosen, for training and evaluation alike."""
SOURCES = (*EMBEDDED, *LISTINGS)

__all__ = [
    "SOURCES",
    "DataConfig",
    "Dataset",
    "Splits",
    "absolute",
    "load",
    "read_parts",
    "source_at",
    "tell",
    "verify",
]


def load(config: DataConfig, *, quiet: bool = True) -> Splits:
    """Return the data set's splits, "train" and "val"; images that were never decoded are decoded now.

    Unless `quiet`, which images were found is said before.

    Raises:
        UserError: the source is unknown, missing, damaged or incomplete.
    """
    _require_known(config.source)
    if config.source in EMBEDDED:
        splits = EMBEDDED[config.source](config)
    else:
        listing = LISTINGS[config.source](config)
        tell(() if quiet else listing.notes)
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


def read_parts(config: DataConfig) -> Parts:
    """Return the parts of a source of labeled files, whatever they are called there.

    Raises:
        UserError: the source is unknown, missing or laid out otherwise.
    """
    if config.source not in READERS:
        raise unknown("source of labeled files", config.source, READERS)
    return READERS[config.source](config)


def tell(notes: Iterable[str]) -> None:
    """Print, in the first process, what the user should know of how images were found."""
    if progress.is_main_process():
        for note in notes:
            progress.console.print(printable(note), markup=False, highlight=False, soft_wrap=True)


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
