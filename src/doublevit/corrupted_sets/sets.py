"""Corrupted images of any origin as one `CorruptedSet`: a cell is a corruption at a severity, and a `Dataset`.

They are made on the fly, or lie on the disk, where every cell that is asked for is looked at before a set is opened.
"""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np

from doublevit.corrupted_sets.config import CorruptionConfig
from doublevit.corrupted_sets.layout import (
    cell_folder,
    describe_images,
    open_images,
    read_descriptions,
    require_finished,
)
from doublevit.corrupted_sets.manifest import Manifest, home_made
from doublevit.corrupted_sets.verify import problems, problems_of_store, problems_of_written, require_no_manifest
from doublevit.corruptions import textures
from doublevit.corruptions.apply import CorruptedImages, require_fit
from doublevit.corruptions.config import table_for
from doublevit.corruptions.textures import Textures
from doublevit.data.dataset import Dataset
from doublevit.data.identity import Cell, DatasetId, Subset
from doublevit.data.tiny_imagenet_c import PublishedFiles, open_published
from doublevit.errors import UserError
from doublevit.images import Images
from doublevit.runs.conditions import Corruption, CorruptionSource, frost_of


class CorruptedSet(Protocol):
    """`source`: who made the images, and with what; `frost`: the textures' name, if there are any.

    `matched`: whether it shows the very images of the clean set.
    """

    @property
    def source(self) -> CorruptionSource: ...

    @property
    def frost(self) -> str | None: ...

    @property
    def matched(self) -> bool: ...

    def cell(self, cell: Cell) -> Dataset:
        """One corruption at one severity."""


def condition_of(corrupted: CorruptedSet, cell: Cell) -> Corruption:
    """The condition of a cell."""
    name, severity = cell
    frost = frost_of((name,), corrupted.frost)
    return Corruption(corruption=name, severity=severity, source=corrupted.source, frost=frost)


@dataclasses.dataclass(frozen=True)
class OnTheFly:
    """`clean` images, corrupted batch by batch as they are looked at."""

    clean: Dataset
    seed: int
    textures: Textures
    matched = True

    @property
    def source(self) -> CorruptionSource:
        return home_made(table_for(*self.clean.images.shape[1:3]).name, self.seed)

    @property
    def frost(self) -> str:
        return self.textures.name

    def cell(self, cell: Cell) -> Dataset:
        images = CorruptedImages(self.clean.images, *cell, self.seed, self.textures)
        return dataclasses.replace(self.clean, images=images)


def on_the_fly(clean: Dataset, config: CorruptionConfig, cache: Path) -> OnTheFly:
    """`clean` images, to be corrupted as `config` says, with frost that is found or fetched.

    Raises:
        UserError: there is no such frost, or the images are of a size that a corruption cannot be made of.
    """
    ice = textures.find(config.frost_textures, cache, download=config.download_frost_textures)
    for name in config.names:
        require_fit(clean.images, name, ice)  # now, not when its turn comes, hours later
    return OnTheFly(clean, config.corruption_seed, ice)


@dataclasses.dataclass(frozen=True)
class WrittenSet:
    """A set in a folder that `doublevit data corrupt` has written from the `clean` images, or from more like them."""

    folder: Path
    manifest: Manifest
    clean: Dataset
    files: PublishedFiles | None
    matched = True

    @property
    def source(self) -> CorruptionSource:
        return self.manifest.corruption_source()

    @property
    def frost(self) -> str:
        return self.manifest.frost

    def cell(self, cell: Cell) -> Dataset:
        if self.files is not None:
            images: Images = self.files.images(cell, self.manifest.side, len(self.clean))
        else:
            images = open_images(cell_folder(self.folder, cell), self.manifest)[: len(self.clean)]
        return dataclasses.replace(self.clean, images=images)


@dataclasses.dataclass(frozen=True)
class PublishedSet:
    """The published set: images of the classes of `clean`, but others; `count` limits them to the first so many."""

    files: PublishedFiles
    clean: Dataset
    count: int | None
    matched = False
    source = CorruptionSource(kind="published")
    frost = None

    def cell(self, cell: Cell) -> Dataset:
        images = self.files.images(cell, self.clean.images.shape[1:3], self.count)
        labels = self.files.labels(cell, self.clean.class_ids)[: self.count]
        subset = Subset("first", self.count) if self.count else None
        # Not the path, where another archive may lie one day.
        identity = DatasetId("Tiny-ImageNet-C", self.files.files.fingerprint[:8], subset=subset)
        return dataclasses.replace(self.clean, images=images, labels=labels, id=identity)


def open_set(path: Path, clean: Dataset, cells: Iterable[Cell], count: int | None = None) -> CorruptedSet:
    """The set in a folder or tar: one that was written here, or the published one, of which `count` limits the images.

    Raises:
        UserError: cells are missing or not as they should be, or the set was made from other images than `clean`.
    """
    cells, manifest = tuple(cells), Manifest.read(path)
    if manifest is None:
        files = open_published(path)
        require_no_manifest(files)
        _require_shared_classes(files, clean)
        _require_none(problems(files, cells, clean.class_ids), path)
        return PublishedSet(files, clean, count)
    _require_same_images(manifest, clean, path)
    require_finished(path, cells)
    if manifest.kept_as == "store":
        _require_none(problems_of_store(path, cells, manifest), path)
        return WrittenSet(path, manifest, clean, None)
    files = open_published(path)
    _require_none(problems_of_written(files, cells, manifest, path), path)
    return WrittenSet(path, manifest, clean, files)


def _require_none(found: list[str], path: Path) -> None:
    if found:
        more = f" ({len(found) - 1} more cells are not right: verify the set to see all)"
        raise UserError(found[0] + (more if len(found) > 1 else ""))


def _require_shared_classes(files: PublishedFiles, clean: Dataset) -> None:
    if not set(files.class_ids) & set(clean.class_ids):
        raise UserError(
            f"{files.path} shows other classes ({', '.join(files.class_ids[:2])} ...) than the network was made for"
            f" ({', '.join(clean.class_ids[:2])} ...); evaluate a run on Tiny ImageNet with it"
        )


def _require_same_images(manifest: Manifest, clean: Dataset, path: Path) -> None:
    if len(clean) > manifest.count:
        raise UserError(f"{path} holds {manifest.count:,} of the {len(clean):,} images; add `first={manifest.count}`")
    same_kind = manifest.class_ids == clean.class_ids and manifest.side == clean.images.shape[1:3]
    if not same_kind or not np.array_equal(read_descriptions(path)[: len(clean)], describe_images(clean)):
        raise UserError(
            f"{path} was made from other images ({manifest.source}) than those to be evaluated ({clean.id});"
            " make a set from these: doublevit data corrupt"
        )
