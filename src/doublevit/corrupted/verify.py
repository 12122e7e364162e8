"""Whether every photo of a corrupted set is there and as it should be."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from doublevit import progress
from doublevit.corrupted.layout import classes_of, missing_cells
from doublevit.corrupted.manifest import Manifest
from doublevit.corrupted.problems import problems, problems_of_store, problems_of_written
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
        wanted = _published_cells(files)
        return _of_files(files, wanted, problems(files, wanted, files.class_ids))
    if manifest.kept_as == "store":
        cells, found = manifest.cells, problems_of_store(path, manifest.cells, manifest)
        there = len(cells) - len(missing_cells(path, cells))
        said = f"{there} cells, {there * manifest.count:,} photos of {len(classes_of(path, manifest))} classes"
        return Verified(said, found)
    files = open_published(path)
    return _of_files(files, manifest.cells, problems_of_written(files, manifest.cells, manifest, path), manifest.side)


def _of_files(
    files: PublishedFiles, wanted: Sequence[Cell], found: list[str], side: tuple[int, ...] | None = None
) -> Verified:
    strange = sorted({name for name, _ in files.cells} - {*COMMON, *VALIDATION})
    unknown_ones = [f"{files.path}: {unknown('corruption', name, COMMON + VALIDATION)}" for name in strange]
    there = [cell for cell in wanted if cell in files.cells]
    photos = sum(len(files.cells[cell]) for cell in there)
    said = f"{len(there)} cells, {photos:,} photos of {len(files.class_ids)} classes"
    return Verified(said, found + unknown_ones + _unreadable(files, there, side))


def _published_cells(files: PublishedFiles) -> list[Cell]:
    """What is expected: all of the fifteen if one of them is there, all of the other four likewise."""
    names = {name for name, _ in files.cells}
    groups = [group for group in (COMMON, VALIDATION) if names & set(group)]
    return [(name, severity) for group in groups for name in group for severity in SEVERITIES]


def _unreadable(files: PublishedFiles, cells: list[Cell], side: tuple[int, ...] | None) -> list[str]:
    """Of each cell, the first photo that cannot be read."""
    found = []
    total = sum(len(files.cells[cell]) for cell in cells)
    with progress.bar("reading every photo", total) as bar:
        for cell in cells:
            try:
                images = files.images(cell, side or files.side)
                for start in range(0, len(images), STEP):
                    bar.advance(len(images[np.arange(start, min(start + STEP, len(images)))]))
            except UserError as error:
                found.append(str(error))
    return found
