"""Making cells in worker processes: in hidden folders, that get their names when they are whole."""

import concurrent.futures
import shutil
from pathlib import Path

import numpy as np

from doublevit import progress
from doublevit.corrupted.layout import CHECKSUM, CLEAN_PHOTOS, IMAGES, TEXTURES, cell_folder, checksum
from doublevit.corrupted.manifest import Manifest
from doublevit.corrupted.workers import make
from doublevit.data.tiny_imagenet_c import Cell

CHUNK = 250  # photos that a process corrupts and writes at a time
Task = concurrent.futures.Future[int]


def write_cells(pool: concurrent.futures.Executor, root: Path, manifest: Manifest, cells: list[Cell]) -> None:
    """One cell after the other; the next one is begun before the last pieces of one are done."""
    count, before = manifest.count, None
    with progress.bar("corrupting", len(cells) * count) as bar:
        for cell in cells:
            part = _empty_part(root, cell, manifest)
            chunks = (range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK))
            tasks = [pool.submit(make, cell, chunk, part) for chunk in chunks]
            if before is not None:
                _finish(root, manifest, *before, bar)
            before = cell, tasks
        if before is not None:
            _finish(root, manifest, *before, bar)


def _finish(root: Path, manifest: Manifest, cell: Cell, tasks: list[Task], bar: progress.Bar) -> None:
    """Wait for all pieces of a cell, and give it its name."""
    bar.say(f"{cell[0]} {cell[1]}")
    for task in concurrent.futures.as_completed(tasks):
        bar.advance(task.result())
    part = _part(root, cell)
    if manifest.kept_as == "store":
        (part / CHECKSUM).write_text(checksum(part / IMAGES))
    part.rename(cell_folder(root, cell))


def _part(root: Path, cell: Cell) -> Path:
    """Where a cell lies until it is whole."""
    whole = cell_folder(root, cell)
    return whole.with_name(f".{whole.name}.part")


def clear(root: Path, cells: list[Cell]) -> None:
    """Take away what is not whole."""
    for name in (CLEAN_PHOTOS, TEXTURES):
        (root / name).unlink(missing_ok=True)
    for cell in cells:
        shutil.rmtree(_part(root, cell), ignore_errors=True)


def _empty_part(root: Path, cell: Cell, manifest: Manifest) -> Path:
    """A fresh hidden folder beside where the cell will be."""
    part = _part(root, cell)
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    part.mkdir(parents=True)
    if manifest.kept_as == "store":
        shape = (manifest.count, *manifest.side, 3)
        np.lib.format.open_memmap(part / IMAGES, mode="w+", dtype=np.uint8, shape=shape)
    else:
        for class_id in manifest.class_ids:
            (part / class_id).mkdir()
    return part
