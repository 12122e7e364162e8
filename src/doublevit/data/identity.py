"""Identity of a data set, by which results tell one set of images from another."""

from typing import Literal

import msgspec

Cell = tuple[str, int]
"""A corruption's name and a severity, 1 to 5."""


class Subset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a split: its first `count` images, or `count` images drawn by `seed`, classes in proportion."""

    kind: Literal["first", "stratified"]
    count: int
    seed: int | None = None


class DatasetId(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Origin and identity of a set of images.

    `source` names them for people; `checksum` (CRC-32, eight hexadecimal digits) tells them from others of the same
    source, "" where there is none; `subset` is None for the whole split; `skipped` counts files that were left out.
    """

    source: str
    checksum: str = ""
    split: str = ""
    subset: Subset | None = None
    skipped: int = 0

    @property
    def base(self) -> str:
        """What all subsets of the same images have in common: the checksum, or the source where there is none."""
        return self.checksum or self.source

    @property
    def key(self) -> tuple[str, str, Subset | None]:
        """A key that is equal for equal images, wherever they are stored."""
        return self.base, self.split, self.subset

    def __str__(self) -> str:
        skipped = f" ({self.skipped} bad files left out)" if self.skipped else ""
        split = f", {self.split}" if self.split else ""
        checksum = f" [{self.checksum}]" if self.checksum else ""
        return f"{self.source}{skipped}{split}{checksum}{describe_subset(self.subset, ', ')}"


def describe_subset(subset: Subset | None, lead: str = "") -> str:
    """Return `lead` and the subset in words, such as "first 100"; "" for the whole split."""
    if subset is None:
        return ""
    if subset.kind == "first":
        return f"{lead}first {subset.count:,}"
    return f"{lead}{subset.count:,} stratified by class, seed {subset.seed}"
