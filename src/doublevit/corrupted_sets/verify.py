"""Verification of corrupted sets; each problem is described in one line."""

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
from doublevit.images import chunks

TINY_IMAGES, TINY_CLASSES = 10_000, 200  # in each cell of the published set
DEFECTIVE_CLASSES = 1000  # in the cells of frost in a defective archive
PUBLISHED_ADVICE = "fetch the repaired archive, Zenodo 8206060"
IMAGENET_ADVICE = "fetch its archive again, Zenodo 2235448"
WRITTEN_ADVICE = "delete that folder, if it is there, and give doublevit data corrupt again"
STEP = 500  # images decoded at a time


def problems_of_published(files: PublishedFiles, cells: Iterable[Cell], class_ids: Iterable[str]) -> list[str]:
    """Describe the problems of the requested cells of a published set, a line each, with advice.

    A cell of Tiny-ImageNet-C should have 10,000 images of 200 classes; all others as many images as most cells.
    """
    usual = collections.Counter(map(_file_names, files.cells.values())).most_common(1)[0][0]
    is_tiny = len(classes := frozenset(class_ids)) == TINY_CLASSES and not files.is_imagenet_c
    count, advice = TINY_IMAGES if is_tiny else len(usual), IMAGENET_ADVICE if files.is_imagenet_c else PUBLISHED_ADVICE
    return _lines(files, cells, usual, classes, count, advice)


def problems_of_written(files: PublishedFiles, cells: Iterable[Cell], manifest: Manifest, root: Path) -> list[str]:
    """Describe the problems of cells that we wrote as JPEG files: missing and unexpected images, by name."""
    expected = names_of(root, manifest)
    classes = frozenset(map(class_of, expected))
    return _lines(files, cells, expected, classes, len(expected), WRITTEN_ADVICE)


def problems_of_store(root: Path, cells: Sequence[Cell], manifest: Manifest) -> list[str]:
    """Describe the problems of cells that we wrote as arrays; every byte of them is read."""
    missing = missing_cells(root, cells)
    problems = [f"{cell_folder(root, cell)} is missing; give doublevit data corrupt again" for cell in missing]
    present = [cell_folder(root, cell) for cell in cells if cell not in missing]
    with progress.bar("checking cells", len(present), unit="cells") as bar:
        for folder in present:
            problems.append(_problem_of_store(folder, manifest))
            bar.advance(1)
    return [problem for problem in problems if problem]


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
    problems = ((cell, _problem(files.cells.get(cell, []), usual, classes, count)) for cell in cells)
    return [f"{files.path}: {name}/{severity} {problem}; {advice}" for (name, severity), problem in problems if problem]


def _problem(names: list[str], usual: frozenset[str], class_ids: frozenset[str], count: int) -> str:
    """Describe what is wrong with a cell; "" if it is right."""
    if not names:
        return "is missing"
    classes = {class_of(name) for name in names}
    if classes != class_ids:
        return _wrong_classes(classes, class_ids)
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
    """Reduce names to `<class>/<file>`, without the folders above and without suffix."""
    return frozenset("/".join(name.split("/")[-2:]).rpartition(".")[0] for name in names)


@dataclasses.dataclass(frozen=True)
class Verified:
    """A summary of what was found, and the problems, a line each, with advice."""

    found: str
    problems: list[str]


def verify(path: Path) -> Verified:
    """Read every image of a published or written set.

    Raises:
        UserError: there is no set at `path`.
    """
    manifest = Manifest.read(path)
    if manifest is None:
        files = open_published(path)
        require_no_manifest(files)
        wanted = _published_cells(files)
        return _of_files(files, wanted, problems_of_published(files, wanted, files.class_ids))
    if manifest.kept_as == "store":
        problems = problems_of_store(path, manifest.cells, manifest)
        present = len(manifest.cells) - len(missing_cells(path, manifest.cells))
        description = (
            f"{present} cells, {present * manifest.count:,} images of {len(classes_of(path, manifest))} classes"
        )
        return Verified(description, problems)
    files = open_published(path)
    return _of_files(files, manifest.cells, problems_of_written(files, manifest.cells, manifest, path), manifest.side)


def _of_files(
    files: PublishedFiles, wanted: Sequence[Cell], problems: list[str], side: tuple[int, ...] | None = None
) -> Verified:
    strange = sorted({name for name, _ in files.cells} - {*COMMON, *VALIDATION})
    unknown_names = [f"{files.path}: {unknown('corruption', name, COMMON + VALIDATION)}" for name in strange]
    present = [cell for cell in wanted if cell in files.cells]
    images = sum(len(files.cells[cell]) for cell in present)
    description = f"{len(present)} cells, {images:,} images of {len(files.class_ids)} classes"
    return Verified(description, problems + unknown_names + _unreadable(files, present, side))


def _published_cells(files: PublishedFiles) -> list[Cell]:
    """Return the expected cells: of the fifteen corruptions if one of them is there, and of the other four likewise."""
    names = {name for name, _ in files.cells}
    groups = [group for group in (COMMON, VALIDATION) if names & set(group)]
    return [(name, severity) for group in groups for name in group for severity in SEVERITIES]


def _unreadable(files: PublishedFiles, cells: list[Cell], side: tuple[int, ...] | None) -> list[str]:
    """Read all images; return the error of the first unreadable image of each cell."""
    errors = []
    total = sum(len(files.cells[cell]) for cell in cells)
    with progress.bar("reading every image", total) as bar:
        for cell in cells:
            try:
                for images in chunks(files.images(cell, side or files.side), STEP):
                    bar.advance(len(images))
            except UserError as error:
                errors.append(str(error))
    return errors


def require_no_manifest(files: PublishedFiles) -> None:
    """Raise `UserError` if a home-made set, packed or in a subfolder, would be taken for the published one."""
    inner = next((name for name in files.files.names if name.rpartition("/")[2] == MANIFEST), None)
    if inner is not None:
        raise UserError(
            f"{files.path} holds a home-made set ({inner}); pass the very folder that doublevit data corrupt wrote,"
            " unpacked if it is packed"
        )
