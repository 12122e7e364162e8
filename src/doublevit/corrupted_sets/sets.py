"""Corrupted images of any origin as one `CorruptedSet`: a cell is a corruption at a severity, and a `Dataset`.

They are made on the fly or read from disk; every requested cell on disk is checked when its set is opened.
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
from doublevit.corrupted_sets.verify import (
    problems_of_published,
    problems_of_store,
    problems_of_written,
    require_no_manifest,
)
from doublevit.corruptions import textures
from doublevit.corruptions.apply import CorruptedImages, require_fit
from doublevit.corruptions.config import IMAGENET, table_for
from doublevit.corruptions.textures import Textures
from doublevit.data import tell
from doublevit.data.dataset import Dataset
from doublevit.data.identity import Cell, DatasetId, Subset
from doublevit.data.tiny_imagenet_c import IMAGENET_SIDE, PublishedFiles, open_published
from doublevit.errors import UserError
from doublevit.images import Images
from doublevit.runs.conditions import Corruption, CorruptionSource, frost_of


class CorruptedSet(Protocol):
    """A corrupted set: `source` is the origin of its images, `frost` the name of its textures, if known.

    `matched` tells whether its images are those of the clean set, corrupted.
    """

    @property
    def source(self) -> CorruptionSource: ...

    @property
    def frost(self) -> str | None: ...

    @property
    def matched(self) -> bool: ...

    def cell(self, cell: Cell) -> Dataset:
        """Return the images at one corruption and severity."""


def condition_of(corrupted: CorruptedSet, cell: Cell) -> Corruption:
    """Return the condition under which a cell is evaluated."""
    name, severity = cell
    frost = frost_of((name,), corrupted.frost)
    return Corruption(corruption=name, severity=severity, source=corrupted.source, frost=frost)


@dataclasses.dataclass(frozen=True)
class OnTheFly:
    """The `clean` images, corrupted batch by batch on indexing."""

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
    """Make the set of `clean` images corrupted as `config` says, with frost textures found or fetched.

    Raises:
        UserError: the textures are missing, or a corruption cannot work on images of this size.
    """
    frost_textures = textures.find(config.frost_textures, cache, download=config.download_frost_textures)
    require_fit(clean.images)  # fail now, not hours later
    return OnTheFly(clean, config.corruption_seed, frost_textures)


@dataclasses.dataclass(frozen=True)
class WrittenSet:
    """A set that `doublevit data corrupt` wrote to a folder, whose first images are made from the `clean` ones."""

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
    """A published set: other images of the classes of `clean`, of each cell the first `count`, or all.

    Tiny-ImageNet-C's have the size of the clean images. ImageNet-C's are shown as they are, whole and of 224 pixels, as
    its authors do (CenterCrop(224) in hendrycks/robustness, ImageNet-C/test.py); other networks resize them.
    """

    files: PublishedFiles
    clean: Dataset
    count: int | None
    matched = False
    frost = None

    @property
    def source(self) -> CorruptionSource:
        return CorruptionSource(kind="published", constants=IMAGENET.name if self.files.is_imagenet_c else None)

    def cell(self, cell: Cell) -> Dataset:
        side = IMAGENET_SIDE if self.files.is_imagenet_c else self.clean.images.shape[1:3]
        images = self.files.images(cell, side, self.count)
        labels = self.files.labels(cell, self.clean.class_ids)[: self.count]
        subset = Subset("first", self.count) if self.count else None
        # The id holds no path, since another archive may be there later.
        identity = DatasetId(self.files.name, self.files.files.fingerprint[:8], subset=subset)
        return dataclasses.replace(self.clean, images=images, labels=labels, id=identity)


def open_set(
    path: Path, clean: Dataset, cells: Iterable[Cell], count: int | None = None, cache: Path | None = None
) -> CorruptedSet:
    """Open the set in a folder or tars, written here or published; of a published cell only the first `count` images.

    With a `cache`, the index of each tar is saved there.

    Raises:
        UserError: cells are missing or defective, or the set was made from images other than `clean`.
    """
    cells, manifest = tuple(cells), Manifest.read(path)
    if manifest is None:
        files = open_published(path, cache)
        require_no_manifest(files)
        _require_shared_classes(files, clean)
        _require_none(problems_of_published(files, cells, clean.class_ids))
        if files.is_imagenet_c:
            classes = f"{len(files.class_ids):,} classes"
            tell([f"ImageNet-C, {classes}: images of 224 pixels as published, not resized or cut"])
        return PublishedSet(files, clean, count)
    _require_same_images(manifest, clean, path)
    require_finished(path, cells)
    if manifest.kept_as == "store":
        _require_none(problems_of_store(path, cells, manifest))
        return WrittenSet(path, manifest, clean, None)
    files = open_published(path)
    _require_none(problems_of_written(files, cells, manifest, path))
    return WrittenSet(path, manifest, clean, files)


def _require_none(problems: list[str]) -> None:
    if problems:
        more = f" ({len(problems) - 1} more cells are not right: verify the set to see all)"
        raise UserError(problems[0] + (more if len(problems) > 1 else ""))


def _require_shared_classes(files: PublishedFiles, clean: Dataset) -> None:
    if not set(files.class_ids) & set(clean.class_ids):
        raise UserError(
            f"{files.path} shows other classes ({', '.join(files.class_ids[:2])} ...) than the network was made for"
            f" ({', '.join(clean.class_ids[:2])} ...); evaluate a model of these with it"
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
