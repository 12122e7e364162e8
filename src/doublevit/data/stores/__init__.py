"""Where images are kept once they were listed: decoded, packed as they are, or nowhere but where they lie.

Whichever it is, the images that are evaluated are the same to the bit, and so are the ids of the data sets.
"""

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from doublevit.data import store
from doublevit.data.dataset import Splits
from doublevit.data.listing import Listing
from doublevit.data.stores.choice import STORES, Store, choose, measure, threads
from doublevit.data.stores.encoded import Writing, open_encoded, write_store
from doublevit.data.stores.images import Kind, StoredImages
from doublevit.errors import UserError
from doublevit.files import require_space, whole_folder, writable_folder
from doublevit.images import Images

__all__ = ["Store", "folder_of", "load_stored", "store_of", "stored_at"]


def load_stored(
    listing: Listing,
    cache: Path,
    *,
    kind: Store | None = None,
    skip_bad: bool = False,
    workers: int | None = None,
    side: int | None = None,
) -> Splits:
    """Return the splits of a listing, from its store in the cache, which is made first if there is none.

    Args:
        listing: what to store.
        cache: where stores are.
        kind: of store; if None, the one that is there, else as size and free disk suggest.
        skip_bad: leave out files that cannot be read.
        workers: threads that decode; one for each core if not given.
        side: to which shorter side a new "encoded" store shrinks training images, if it is to.

    Raises:
        UserError: the cache is not writable or too small, a file is bad and `skip_bad` is false, or a store is damaged.
    """
    base = store.folder_of(listing, cache, skip_bad)
    found = stored_at(base, kind, side)
    if found is None:
        writable_folder(cache, "the cache; `data.cache` sets another")
        with store.store_lock(base):  # one for all kinds, so that processes choose alike
            found = stored_at(base, kind, side) or kind or choose(listing, cache)
            _prepare(listing, base, found, skip_bad, workers, side)
    if found == "decoded":
        return store.open_store(base, listing.source)
    return open_encoded(folder_of(base, found, side), listing, threads(workers))


def stored_at(base: Path, kind: Store | None, side: int | None = None) -> Store | None:
    """Return the kind of the store that is there: the one asked for, or any."""
    kinds = STORES if kind is None else (kind,)
    return next((kind for kind in kinds if folder_of(base, kind, side).exists()), None)


def store_of(images: Images) -> Store | None:
    """Return the kind of store that images were opened from; None if from none."""
    if isinstance(images, StoredImages):
        return images.kind
    return "decoded" if isinstance(images, np.memmap) else None


def folder_of(base: Path, kind: Store, side: int | None = None) -> Path:
    """Return the folder of a store beside that of the decoded one, `base`."""
    if kind == "decoded":
        return base
    return base.with_name(f"{base.name}-{kind}" + (f"-{side}" if side else ""))


def _prepare(listing: Listing, base: Path, kind: Store, skip_bad: bool, workers: int | None, side: int | None) -> None:
    if folder_of(base, kind, side).exists():
        return
    with _full_disk_told(base.parent):
        if kind == "decoded":
            store.decode_all(listing, base, skip_bad, threads(workers))
        else:
            _encode_all(listing, base, kind, skip_bad, threads(workers), side)


def _encode_all(listing: Listing, base: Path, kind: Kind, skip_bad: bool, count: int, side: int | None) -> None:
    store.remove_stale(base)
    if kind == "encoded" and side is None:
        sizes = measure(listing, base.parent)
        require_space(base.parent, sizes.encoded, f"packing {sizes.count:,} images")
    skipped: list[str] = []
    with whole_folder(folder_of(base, kind, side)) as part:
        write_store(Writing(listing, part, kind, side, skipped.append if skip_bad else store.stop_at_bad, count))
    store.report_skipped(skipped)


@contextlib.contextmanager
def _full_disk_told(cache: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        free = shutil.disk_usage(cache).free / 1e6
        raise UserError(
            f"no space left in {cache} ({error.strerror}, {free:,.1f} MB free): free some, choose another `data.cache`,"
            " or read the files where they are by `data.store=none`"
        ) from error
