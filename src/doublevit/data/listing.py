"""A data set before decoding: what each source has to say of its files."""

import dataclasses
import hashlib
from collections.abc import Callable

import numpy as np

STORE_VERSION = 1  # of the layout that `store` writes; a new one gets new stores


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
