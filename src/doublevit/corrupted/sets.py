"""Where corrupted photos come from, behind one face: a cell is a corruption at a severity, and a `Dataset`."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from doublevit.corrupted.config import CorruptionConfig
from doublevit.corrupted.layout import cell_folder, open_images
from doublevit.corrupted.manifest import Manifest, home_made
from doublevit.corruptions import textures
from doublevit.corruptions.apply import require_fit
from doublevit.corruptions.config import table_for
from doublevit.corruptions.lazy import CorruptedImages
from doublevit.corruptions.textures import Textures
from doublevit.data.dataset import Dataset
from doublevit.data.tiny_imagenet_c import Cell, PublishedFiles
from doublevit.images import Images


class CorruptedSet(Protocol):
    """`condition`: what every row says of the set; `matched`: whether it shows the very photos of the clean one."""

    @property
    def condition(self) -> Mapping[str, Any]: ...

    @property
    def matched(self) -> bool: ...

    def cell(self, cell: Cell) -> Dataset:
        """One corruption at one severity."""


def condition_of(corrupted: CorruptedSet, cell: Cell) -> dict[str, Any]:
    """What a row of a cell says."""
    return {"kind": "corruption", "corruption": cell[0], "severity": cell[1], **corrupted.condition}


@dataclasses.dataclass(frozen=True)
class OnTheFly:
    """`clean` photos, corrupted batch by batch as they are looked at."""

    clean: Dataset
    seed: int
    textures: Textures
    matched = True

    @property
    def condition(self) -> Mapping[str, Any]:
        return home_made(table_for(*self.clean.images.shape[1:3]).name, self.seed, self.textures.name)

    def cell(self, cell: Cell) -> Dataset:
        images = CorruptedImages(self.clean.images, *cell, self.seed, self.textures)
        return dataclasses.replace(self.clean, images=images)


def on_the_fly(clean: Dataset, config: CorruptionConfig, cache: Path) -> OnTheFly:
    """`clean` photos, to be corrupted as `config` says, with frost that is found or fetched.

    Raises:
        UserError: there is no such frost, or the photos are of a size that a corruption cannot be made of.
    """
    ice = textures.find(config.frost_textures, cache, download=config.download_frost_textures)
    for name in config.names:
        require_fit(clean.images, name, ice)  # now, not when its turn comes, hours later
    return OnTheFly(clean, config.corruption_seed, ice)


@dataclasses.dataclass(frozen=True)
class Written:
    """A set in a folder that `doublevit data corrupt` has written from the `clean` photos, or from more like them."""

    folder: Path
    manifest: Manifest
    clean: Dataset
    files: PublishedFiles | None
    matched = True

    @property
    def condition(self) -> Mapping[str, Any]:
        return self.manifest.condition()

    def cell(self, cell: Cell) -> Dataset:
        if self.files is not None:
            images: Images = self.files.images(cell, self.manifest.side, len(self.clean))
        else:
            images = open_images(cell_folder(self.folder, cell), self.manifest)[: len(self.clean)]
        return dataclasses.replace(self.clean, images=images)


@dataclasses.dataclass(frozen=True)
class Published:
    """The published set: photos of the classes of `clean`, but others; `count` limits them to the first so many."""

    files: PublishedFiles
    clean: Dataset
    count: int | None
    matched = False

    @property
    def condition(self) -> Mapping[str, Any]:
        return {"set": "published"}

    def cell(self, cell: Cell) -> Dataset:
        images = self.files.images(cell, self.clean.images.shape[1:3], self.count)
        labels = self.files.labels(cell, self.clean.class_ids)[: self.count]
        # Not the path, where another archive may lie one day.
        source = f"Tiny-ImageNet-C {self.files.files.fingerprint[:8]}" + (
            f", first {self.count:,}" if self.count else ""
        )
        return dataclasses.replace(self.clean, images=images, labels=labels, source=source)
