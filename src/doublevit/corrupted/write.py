"""Writing a corrupted set to disk on all cores, cell by cell; what is finished is kept, whatever happens then."""

import concurrent.futures
import contextlib
import dataclasses
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import filelock
import numpy as np

from doublevit import progress
from doublevit.corrupted.layout import CHECKSUM, CLEAN, IMAGES, LABELS, cell_folder, checksum, missing_cells
from doublevit.corrupted.manifest import Manifest
from doublevit.corrupted.workers import Job, make, processes
from doublevit.corruptions.textures import Textures
from doublevit.data.dataset import Dataset
from doublevit.data.tiny_imagenet_c import Cell
from doublevit.errors import UserError
from doublevit.files import require_space, writable_folder

CHUNK = 250  # photos that a process corrupts and writes at a time
BLOCK = 4096  # bytes that a small file takes on most disks


def write(
    clean: Dataset, manifest: Manifest, textures: Textures, root: Path, cells: Iterable[Cell], workers: int
) -> int:
    """Write cells into `root`, those that are not there yet; returns how many those were.

    Raises:
        UserError: `root` holds another set or something else, or its disk is full or not writable.
    """
    writable_folder(root, "the corrupted set")
    with _alone(root), _in_one_line(root):
        _begin(root, manifest, clean.labels)
        missing = missing_cells(root, cells)
        _require_space(root, manifest, len(missing))
        if missing:
            with _clean_photos(root, clean), processes(Job(root, manifest, clean.labels, textures), workers) as pool:
                _write_cells(pool, root, manifest, missing)
    return len(missing)


def _begin(root: Path, manifest: Manifest, labels: np.ndarray) -> None:
    """Put down the manifest, before any cell, or see that the one that is there is the same."""
    before = Manifest.read(root)
    if before is None:
        if any(entry for entry in root.iterdir() if not entry.name.startswith(".") and entry.name != LABELS):
            raise UserError(f"{root} is not empty, and holds no set to go on with; choose another --output")
        np.save(root / LABELS, labels)
        manifest.write(root)
    elif before != manifest:
        names = (field.name for field in dataclasses.fields(Manifest))
        name = next(name for name in names if getattr(before, name) != getattr(manifest, name))
        raise UserError(f"{root} holds a set with another {name.replace('_', ' ')}; choose another --output")


def _require_space(root: Path, manifest: Manifest, cells: int) -> None:
    size = int(np.prod(manifest.side)) * 3
    of_photo = size if manifest.kept_as == "store" else -(-size // 6 // BLOCK) * BLOCK
    count = cells * manifest.count
    require_space(root, count * of_photo, f"writing {count:,} photos")


def _write_cells(pool: concurrent.futures.Executor, root: Path, manifest: Manifest, cells: list[Cell]) -> None:
    count = manifest.count
    chunks = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
    with progress.bar("corrupting", len(cells) * count) as bar:
        for cell in cells:
            bar.say(f"{cell[0]} {cell[1]}")
            part = _empty_part(root, cell, manifest)
            tasks = [pool.submit(make, cell, chunk, part) for chunk in chunks]
            for task in concurrent.futures.as_completed(tasks):
                bar.advance(task.result())
            if manifest.kept_as == "store":
                (part / CHECKSUM).write_text(checksum(part / IMAGES))
            part.rename(cell_folder(root, cell))


def _empty_part(root: Path, cell: Cell, manifest: Manifest) -> Path:
    """A fresh hidden folder beside where the cell will be."""
    whole = cell_folder(root, cell)
    part = whole.with_name(f".{whole.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    part.mkdir(parents=True)
    if manifest.kept_as == "store":
        shape = (manifest.count, *manifest.side, 3)
        np.lib.format.open_memmap(part / IMAGES, mode="w+", dtype=np.uint8, shape=shape)
    else:
        for wnid in manifest.class_ids:
            (part / wnid).mkdir()
    return part


@contextlib.contextmanager
def _clean_photos(root: Path, clean: Dataset) -> Iterator[None]:
    """The clean photos in a file that every worker maps."""
    try:
        np.save(root / CLEAN, clean.images[np.arange(len(clean))])
        yield
    finally:
        (root / CLEAN).unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    try:
        with filelock.FileLock(root / ".lock", timeout=0):
            yield
    except filelock.Timeout:
        raise UserError(f"another process is writing {root}; wait for it, or choose another --output") from None


@contextlib.contextmanager
def _in_one_line(root: Path) -> Iterator[None]:
    """Disks that fill up, and workers that are killed."""
    advice = "finished cells are kept: give the same command again"
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {root} ({error.strerror}); make room; {advice}") from error
    except BrokenProcessPool as error:
        raise UserError(f"a worker process died while writing {root}; {advice}, with fewer --workers") from error
