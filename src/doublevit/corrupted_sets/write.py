"""Writing of a corrupted set to disk on all cores, cell by cell; finished cells survive any failure.

Cells are made in hidden folders, which are renamed when they are complete.
"""

import concurrent.futures
import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import msgspec
import numpy as np

from doublevit import progress
from doublevit.corrupted_sets.layout import (
    CHECKSUM,
    CLEAN_IMAGES,
    DESCRIPTIONS,
    IMAGES,
    TEXTURES,
    cell_folder,
    checksum,
    describe_images,
    missing_cells,
    read_descriptions,
)
from doublevit.corrupted_sets.manifest import Manifest
from doublevit.corrupted_sets.workers import Job, make, processes
from doublevit.corruptions.textures import Textures
from doublevit.data.dataset import Dataset
from doublevit.data.identity import Cell
from doublevit.errors import UserError
from doublevit.files import exclusive_lock, require_space, writable_folder
from doublevit.images import chunks

BLOCK = 4096  # bytes that a small file takes on most disks
CHUNK = 250  # images that a worker corrupts and writes at a time
Task = concurrent.futures.Future[int]


def write(
    clean: Dataset, manifest: Manifest, textures: Textures, root: Path, cells: Sequence[Cell], workers: int
) -> int:
    """Write those cells into `root` that do not exist yet; return their number.

    Raises:
        UserError: `root` holds another set or something else, or its disk is full or not writable.
    """
    writable_folder(root, "the corrupted set")
    complaint = f"another process is writing {root}; wait for it, or choose another `output`"
    with exclusive_lock(root / ".lock", complaint), _as_user_errors(root):
        _begin(root, manifest, clean, cells)
        missing = missing_cells(root, cells)
        _require_space(root, manifest, len(missing))
        if missing:
            try:
                _write_clean_images(root, clean)
                with processes(Job(root, manifest, clean.labels, textures), workers) as pool:
                    write_cells(pool, root, manifest, missing)
            finally:
                clear(root, missing)
    return len(missing)


def _begin(root: Path, manifest: Manifest, clean: Dataset, cells: Sequence[Cell]) -> None:
    """Write the manifest before any cell, or check that an existing one is of the same set."""
    descriptions, before = describe_images(clean), Manifest.read(root)
    if before is None:
        if any(entry for entry in root.iterdir() if not entry.name.startswith(".") and entry.name != DESCRIPTIONS):
            raise UserError(f"{root} is not empty, and holds no set to go on with; choose another `output`")
        np.save(root / DESCRIPTIONS, descriptions)
    elif (name := before.differs_in(manifest)) or not np.array_equal(read_descriptions(root), descriptions):
        raise UserError(
            f"{root} holds a set with another {name.replace('_', ' ') if name else 'look of the clean images'}; choose"
            " another `output`"
        )
    requested = dict.fromkeys((*(before.cells if before else ()), *cells))
    msgspec.structs.replace(manifest, cells=tuple(requested)).write(root)


def _require_space(root: Path, manifest: Manifest, cells: int) -> None:
    size = int(np.prod(manifest.side)) * 3
    per_image = size if manifest.kept_as == "store" else -(-size // 6 // BLOCK) * BLOCK
    clean = manifest.count * size
    require_space(
        root, cells and cells * manifest.count * per_image + clean, f"writing {cells * manifest.count:,} images"
    )


def _write_clean_images(root: Path, clean: Dataset) -> None:
    """Write the clean images to a file that every worker maps into memory."""
    with (root / CLEAN_IMAGES).open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": clean.images.shape}
        np.lib.format.write_array_header_2_0(file, header)
        for images in chunks(clean.images, CHUNK):
            file.write(np.ascontiguousarray(images).data)


@contextlib.contextmanager
def _as_user_errors(root: Path) -> Iterator[None]:
    """Turn the errors of full disks and killed workers into `UserError`."""
    advice = "finished cells are kept: give the same command again"
    try:
        yield
    except OSError as error:
        problem = f"cannot write {error.filename or root} ({error.strerror}); make room or remove what is in the way"
        raise UserError(f"{problem}; {advice}") from error
    except BrokenProcessPool as error:
        raise UserError(f"a worker process died while writing {root}; {advice}, with fewer `workers`") from error


def write_cells(pool: concurrent.futures.Executor, root: Path, manifest: Manifest, cells: list[Cell]) -> None:
    """Write cells in order; each begins before the last chunks of the previous one are done, so no worker idles."""
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
    """Wait for all chunks of a cell, then rename its folder to the final name."""
    bar.say(f"{cell[0]} {cell[1]}")
    for task in concurrent.futures.as_completed(tasks):
        bar.advance(task.result())
    part = _part(root, cell)
    if manifest.kept_as == "store":
        _sync(part / IMAGES)
        (part / CHECKSUM).write_text(checksum(part / IMAGES))
    part.rename(cell_folder(root, cell))


def _sync(path: Path) -> None:
    """Flush a file to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _part(root: Path, cell: Cell) -> Path:
    """Return the hidden folder of a cell that is not complete yet."""
    final = cell_folder(root, cell)
    return final.with_name(f".{final.name}.part")


def clear(root: Path, cells: list[Cell]) -> None:
    """Remove temporary files and incomplete cells."""
    for name in (CLEAN_IMAGES, TEXTURES):
        (root / name).unlink(missing_ok=True)
    for cell in cells:
        shutil.rmtree(_part(root, cell), ignore_errors=True)


def _empty_part(root: Path, cell: Cell, manifest: Manifest) -> Path:
    """Make an empty hidden folder for an incomplete cell, beside its final place."""
    part = _part(root, cell)
    shutil.rmtree(part, ignore_errors=True)  # left by a killed process
    part.mkdir(parents=True)
    if manifest.kept_as == "store":
        shape = (manifest.count, *manifest.side, 3)
        np.lib.format.open_memmap(part / IMAGES, mode="w+", dtype=np.uint8, shape=shape)
    else:
        for class_id in manifest.class_ids:
            (part / class_id).mkdir()
    return part
