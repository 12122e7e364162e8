"""Whether every photo of a corrupted set is there and as it should be."""

from pathlib import Path

import numpy as np

from doublevit import progress
from doublevit.corrupted.layout import CHECKSUM, IMAGES, cell_folder, checksum, open_images
from doublevit.corrupted.manifest import Manifest
from doublevit.corruptions import COMMON, SEVERITIES, VALIDATION
from doublevit.data.tiny_imagenet_c import Cell, PublishedFiles, open_published
from doublevit.errors import UserError, unknown

STEP = 500  # photos that are decoded at a time


def verify(path: Path) -> list[str]:
    """What is wrong with a published or written set, a line each, with what to do; every photo is read.

    Raises:
        UserError: there is no such set.
    """
    manifest = Manifest.read(path)
    if manifest is not None and manifest.kept_as == "store":
        return _of_store(path, manifest)
    files = open_published(path)
    class_ids = files.class_ids if manifest is None else manifest.class_ids
    wanted = _published_cells(files) if manifest is None else [cell for cell in files.cells if _is_known(cell)]
    problems = files.problems(wanted, class_ids, None if manifest is None else manifest.count)
    strange = sorted({name for name, severity in files.cells if not _is_known((name, severity))})
    problems += [f"{path}: {unknown('corruption', name, COMMON + VALIDATION)}" for name in strange]
    return problems + _unreadable(files, [cell for cell in wanted if cell in files.cells])


def _is_known(cell: Cell) -> bool:
    return cell[0] in COMMON + VALIDATION


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


def _of_store(path: Path, manifest: Manifest) -> list[str]:
    cells = [(name, severity) for name in COMMON + VALIDATION for severity in SEVERITIES]
    cells = [cell for cell in cells if cell_folder(path, cell).is_dir()]
    with progress.bar("reading every cell", len(cells), unit="cells") as bar:
        problems = [_of_cell(cell_folder(path, cell), manifest, bar) for cell in cells]
    return [problem for problem in problems if problem]


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
