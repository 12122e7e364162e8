"""Where corrupted photos come from, behind one face: a cell is a corruption at a severity, and a `Dataset`."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from doublevit.corrupted.layout import cell_folder, open_images, read_labels, require_finished
from doublevit.corrupted.manifest import Manifest, home_made
from doublevit.corruptions.config import table_for
from doublevit.corruptions.lazy import CorruptedImages
from doublevit.corruptions.textures import Textures
from doublevit.data.dataset import Dataset
from doublevit.data.tiny_imagenet_c import Cell, PublishedFiles, open_published
from doublevit.errors import UserError
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
        source = f"Tiny-ImageNet-C from {self.files.path}" + (f", first {self.count:,}" if self.count else "")
        return dataclasses.replace(self.clean, images=images, labels=labels, source=source)


def open_set(path: Path, clean: Dataset, cells: Iterable[Cell], count: int | None = None) -> CorruptedSet:
    """The set in a folder or tar: one that was written here, or the published one, of which `count` limits the photos.

    Raises:
        UserError: cells are missing or not as they should be, or the set was made from other photos than `clean`.
    """
    cells = tuple(cells)
    manifest = Manifest.read(path)
    if manifest is None:
        files = open_published(path)
        _require_none(files.problems(cells, clean.class_ids), path)
        return Published(files, clean, count)
    _require_same_photos(manifest, clean, path)
    require_finished(path, cells)
    files_or_none = open_published(path) if manifest.kept_as == "jpeg" else None
    if files_or_none is not None:
        _require_none(files_or_none.problems(cells, clean.class_ids, manifest.count), path)
    return Written(path, manifest, clean, files_or_none)


def _require_none(problems: list[str], path: Path) -> None:
    if problems:
        more = f" ({len(problems) - 1} more cells are not right: doublevit data verify --corrupted-set {path})"
        raise UserError(problems[0] + (more if len(problems) > 1 else ""))


def _require_same_photos(manifest: Manifest, clean: Dataset, path: Path) -> None:
    same_kind = manifest.class_ids == clean.class_ids and manifest.side == clean.images.shape[1:3]
    if not same_kind or not np.array_equal(read_labels(path)[: len(clean)], clean.labels):
        raise UserError(
            f"{path} was made from other photos ({manifest.source}) than those to be evaluated ({clean.source});"
            " make a set from these: doublevit data corrupt"
        )
