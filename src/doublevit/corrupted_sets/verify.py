"""Whether every image of a corrupted set is there and as it should be; each problem is one line."""

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from doublevit import progress
from doublevit.corrupted_sets.layout import (
    CHECKSUM,
    IMAGES,
    cell_folder,
    checksum,
    classes_of,
    missing_cells,
    names_of,
    open_images,
)
from doublevit.corrupted_sets.manifest import MANIFEST, Manifest
from doublevit.corruptions import COMMON, SEVERITIES, VALIDATION
from doublevit.data.identity import Cell
from doublevit.data.tiny_imagenet_c import PublishedFiles, class_of, open_published
from doublevit.errors import UserError, unknown
from doublevit.images import pieces

WHOLE, WHOLE_CLASSES, DEFECTIVE_CLASSES = 10_000, 200, 1000
PUBLISHED_ADVICE = "fetch the repaired archive, Zenodo 8206060"
WRITTEN_ADVICE = "delete that folder, if it is there, and give doublevit data corrupt again"
STEP = 500  # images that are decoded at a time


def problems(files: PublishedFiles, cells: Iterable[Cell], class_ids: Iterable[str]) -> list[str]:
    """What is wrong with the asked-for cells of a published set, a line each, with what to do; or nothing.

    A cell should have 10,000 images of 200 classes, or the same as most cells of another set.
    """
    usual = collections.Counter(map(_file_names, files.cells.values())).most_common(1)[0][0]
    count = WHOLE if len(classes := frozenset(class_ids)) == WHOLE_CLASSES else len(usual)
    return _lines(files, cells, usual, classes, count, PUBLISHED_ADVICE)


def problems_of_written(files: PublishedFiles, cells: Iterable[Cell], manifest: Manifest, root: Path) -> list[str]:
    """What is wrong with cells of JPEG files that we wrote: every image is known by its name."""
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
        return f"holds {len(names):,} images, expected {count:,}"
    other = _file_names(names) - usual
    return f"holds other images than it should, {min(other)} among them" if other else ""


def _wrong_classes(found: set[str], class_ids: frozenset[str]) -> str:
    if strange := found - class_ids:
        known = " (the defect of frost in Zenodo 2536630)" if len(found) == DEFECTIVE_CLASSES else ""
        return f"holds {len(found):,} classes, {min(strange)} among them, expected {len(class_ids)}{known}"
    absent = class_ids - found
    return f"lacks {len(absent)} of {len(class_ids)} classes, {min(absent)} first"


def _file_names(names: Iterable[str]) -> frozenset[str]:
    """Class and file of each name, without the folders above and without what kind of file it is."""
    return frozenset("/".join(name.split("/")[-2:]).rpartition(".")[0] for name in names)


@dataclasses.dataclass(frozen=True)
class Verified:
    """What is there, in a few words, and what is wrong with it, a line each, with what to do."""

    found: str
    problems: list[str]


def verify(path: Path) -> Verified:
    """Read every image of a published or written set.

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
        description = f"{there} cells, {there * manifest.count:,} images of {len(classes_of(path, manifest))} classes"
        return Verified(description, found)
    files = open_published(path)
    return _of_files(files, manifest.cells, problems_of_written(files, manifest.cells, manifest, path), manifest.side)


def _of_files(
    files: PublishedFiles, wanted: Sequence[Cell], found: list[str], side: tuple[int, ...] | None = None
) -> Verified:
    strange = sorted({name for name, _ in files.cells} - {*COMMON, *VALIDATION})
    unknown_names = [f"{files.path}: {unknown('corruption', name, COMMON + VALIDATION)}" for name in strange]
    there = [cell for cell in wanted if cell in files.cells]
    images = sum(len(files.cells[cell]) for cell in there)
    description = f"{len(there)} cells, {images:,} images of {len(files.class_ids)} classes"
    return Verified(description, found + unknown_names + _unreadable(files, there, side))


def _published_cells(files: PublishedFiles) -> list[Cell]:
    """What is expected: all of the fifteen if one of them is there, all of the other four likewise."""
    names = {name for name, _ in files.cells}
    groups = [group for group in (COMMON, VALIDATION) if names & set(group)]
    return [(name, severity) for group in groups for name in group for severity in SEVERITIES]


def _unreadable(files: PublishedFiles, cells: list[Cell], side: tuple[int, ...] | None) -> list[str]:
    """The first image that cannot be read."""
    found = []
    total = sum(len(files.cells[cell]) for cell in cells)
    with progress.bar("reading every image", total) as bar:
        for cell in cells:
            try:
                for images in pieces(files.images(cell, side or files.side), STEP):
                    bar.advance(len(images))
            except UserError as error:
                found.append(str(error))
    return found


def require_no_manifest(files: PublishedFiles) -> None:
    """Raise `UserError` for a home-made set that would be taken for the published one: packed, or below a folder."""
    inner = next((name for name in files.files.names if name.rpartition("/")[2] == MANIFEST), None)
    if inner is not None:
        raise UserError(
            f"{files.path} holds a home-made set ({inner}); pass the very folder that doublevit data corrupt wrote,"
            " unpacked if it is packed"
        )
