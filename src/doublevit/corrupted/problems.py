"""What can be wrong with the cells of a set of files, each in one line."""

import collections
from collections.abc import Iterable, Sequence
from pathlib import Path

from doublevit import progress
from doublevit.corrupted.layout import (
    CHECKSUM,
    IMAGES,
    cell_folder,
    checksum,
    missing_cells,
    names_of,
    open_images,
)
from doublevit.corrupted.manifest import Manifest
from doublevit.data.tiny_imagenet_c import Cell, PublishedFiles, class_of
from doublevit.errors import UserError

WHOLE, WHOLE_CLASSES, DEFECTIVE_CLASSES = 10_000, 200, 1000
PUBLISHED_ADVICE = "fetch the repaired archive, Zenodo 8206060"
WRITTEN_ADVICE = "delete that folder, if it is there, and give doublevit data corrupt again"


def problems(files: PublishedFiles, cells: Iterable[Cell], class_ids: Iterable[str]) -> list[str]:
    """What is wrong with the asked-for cells of a published set, a line each, with what to do; or nothing.

    A cell should have 10,000 photos of 200 classes, or the same as most cells of another set.
    """
    usual = collections.Counter(map(_photos, files.cells.values())).most_common(1)[0][0]
    count = WHOLE if len(classes := frozenset(class_ids)) == WHOLE_CLASSES else len(usual)
    return _lines(files, cells, usual, classes, count, PUBLISHED_ADVICE)


def problems_of_written(files: PublishedFiles, cells: Iterable[Cell], manifest: Manifest, root: Path) -> list[str]:
    """What is wrong with cells of JPEG files that we wrote: every photo is known by its name."""
    expected = names_of(root, manifest)
    classes = frozenset(map(class_of, expected))
    return _lines(files, cells, expected, classes, len(expected), WRITTEN_ADVICE)


def problems_of_store(root: Path, cells: Sequence[Cell], manifest: Manifest) -> list[str]:
    """What is wrong with cells of arrays that we wrote; every byte of them is read."""
    missing = missing_cells(root, cells)
    found = [f"{cell_folder(root, cell)} is missing; give doublevit data corrupt again" for cell in missing]
    there = [cell_folder(root, cell) for cell in cells if cell not in missing]
    with progress.bar("checking cells", len(there), unit="cells") as bar:
        for folder in there:
            found.append(_problem_of_store(folder, manifest))
            bar.advance(1)
    return [problem for problem in found if problem]


def _problem_of_store(folder: Path, manifest: Manifest) -> str:
    try:
        open_images(folder, manifest)
        if checksum(folder / IMAGES) == (folder / CHECKSUM).read_text().strip():
            return ""
        return f"{folder} has changed since it was written; {WRITTEN_ADVICE}"
    except UserError as error:
        return str(error)
    except (OSError, ValueError) as error:
        return f"{folder / CHECKSUM} is damaged ({error}); {WRITTEN_ADVICE}"


def _lines(
    files: PublishedFiles,
    cells: Iterable[Cell],
    usual: frozenset[str],
    classes: frozenset[str],
    count: int,
    advice: str,
) -> list[str]:
    found = ((cell, _problem(files.cells.get(cell, []), usual, classes, count)) for cell in cells)
    return [f"{files.path}: {name}/{severity} {problem}; {advice}" for (name, severity), problem in found if problem]


def _problem(names: list[str], usual: frozenset[str], class_ids: frozenset[str], count: int) -> str:
    """What is wrong with a cell, in a few words, or nothing."""
    if not names:
        return "is missing"
    found = {class_of(name) for name in names}
    if found != class_ids:
        return _wrong_classes(found, class_ids)
    if len(names) != count:
        return f"holds {len(names):,} photos, expected {count:,}"
    other = _photos(names) - usual
    return f"holds other photos than it should, {min(other)} among them" if other else ""


def _wrong_classes(found: set[str], class_ids: frozenset[str]) -> str:
    if strange := found - class_ids:
        known = " (the defect of frost in Zenodo 2536630)" if len(found) == DEFECTIVE_CLASSES else ""
        return f"holds {len(found):,} classes, {min(strange)} among them, expected {len(class_ids)}{known}"
    absent = class_ids - found
    return f"lacks {len(absent)} of {len(class_ids)} classes, {min(absent)} first"


def _photos(names: Iterable[str]) -> frozenset[str]:
    """Class and file of each name, without the folders above and without what kind of file it is."""
    return frozenset("/".join(name.split("/")[-2:]).rpartition(".")[0] for name in names)
