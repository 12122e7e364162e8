"""Whether every photo of a corrupted set is there and as it should be."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from doublevit import progress
from doublevit.corrupted.layout import (
    CHECKSUM,
    IMAGES,
    PHOTOS,
    cell_folder,
    checksum,
    classes_of,
    missing_cells,
    open_images,
    read_photos,
)
from doublevit.corrupted.manifest import Manifest
from doublevit.corrupted.problems import WRITTEN_ADVICE, problems
from doublevit.corruptions import COMMON, SEVERITIES, VALIDATION
from doublevit.data.tiny_imagenet_c import Cell, PublishedFiles, open_published, require_no_manifest
from doublevit.errors import UserError, unknown

STEP = 500  # photos that are decoded at a time


@dataclasses.dataclass(frozen=True)
class Verified:
    """What is there, in a few words, and what is wrong with it, a line each, with what to do."""

    found: str
    problems: list[str]


def verify(path: Path) -> Verified:
    """Read every photo of a published or written set.

    Raises:
        UserError: there is no such set.
    """
    manifest = Manifest.read(path)
    if manifest is None:
        files = open_published(path)
        require_no_manifest(files)
        return _of_files(files, _published_cells(files), problems(files, _published_cells(files), files.class_ids))
    if len(read_photos(path)) != manifest.count:
        raise UserError(f"{path / PHOTOS} is damaged: expected {manifest.count} entries; make the set again")
    if manifest.kept_as == "store":
        return _of_store(path, manifest)
    files = open_published(path)
    return _of_files(
        files,
        manifest.cells,
        problems(files, manifest.cells, classes_of(path, manifest), manifest.count, WRITTEN_ADVICE),
    )


def _of_files(files: PublishedFiles, wanted: Sequence[Cell], found: list[str]) -> Verified:
    strange = sorted({name for name, _ in files.cells} - {*COMMON, *VALIDATION})
    unknown_ones = [f"{files.path}: {unknown('corruption', name, COMMON + VALIDATION)}" for name in strange]
    there = [cell for cell in wanted if cell in files.cells]
    photos = sum(len(files.cells[cell]) for cell in there)
    said = f"{len(there)} cells, {photos:,} photos of {len(files.class_ids)} classes"
    return Verified(said, found + unknown_ones + _unreadable(files, there))


def _published_cells(files: PublishedFiles) -> list[Cell]:
    """What is expected: all of the fifteen if one of them is there, all of the other four likewise."""
    names = {name for name, _ in files.cells}
    groups = [group for group in (COMMON, VALIDATION) if names & set(group)]
    return [(name, severity) for group in groups for name in group for severity in SEVERITIES]


def _unreadable(files: PublishedFiles, cells: list[Cell]) -> list[str]:
    """Of each cell, the first photo that cannot be read."""
    found = []
    total = sum(len(files.cells[cell]) for cell in cells)
    with progress.bar("reading every photo", total) as bar:
        for cell in cells:
            images = files.images(cell, files.side)
            try:
                for start in range(0, len(images), STEP):
                    bar.advance(len(images[np.arange(start, min(start + STEP, len(images)))]))
            except UserError as error:
                found.append(str(error))
    return found


def _of_store(path: Path, manifest: Manifest) -> Verified:
    missing = missing_cells(path, manifest.cells)
    there = [cell for cell in manifest.cells if cell not in missing]
    found = [f"{cell_folder(path, cell)} is missing; give doublevit data corrupt again" for cell in missing]
    with progress.bar("reading every cell", len(there), unit="cells") as bar:
        found += [_of_cell(cell_folder(path, cell), manifest, bar) for cell in there]
    said = f"{len(there)} cells, {len(there) * manifest.count:,} photos of {len(manifest.class_ids)} classes"
    return Verified(said, [problem for problem in found if problem])


def _of_cell(folder: Path, manifest: Manifest, bar: progress.Bar) -> str:
    try:
        open_images(folder, manifest)
        if checksum(folder / IMAGES) == (folder / CHECKSUM).read_text().strip():
            return ""
        return f"{folder} has changed since it was written; delete it and give doublevit data corrupt again"
    except (OSError, UserError) as error:
        return str(error)
    finally:
        bar.advance(1)
