"""Writing a corrupted set to disk on all cores, cell by cell; what is finished is kept, whatever happens then."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import filelock
import numpy as np

from doublevit.corrupted.cells import CHUNK, clear, write_cells
from doublevit.corrupted.layout import (
    CLEAN_PHOTOS,
    PHOTOS,
    describe_photos,
    missing_cells,
    read_photos,
)
from doublevit.corrupted.manifest import Manifest
from doublevit.corrupted.workers import Job, processes
from doublevit.corruptions.textures import Textures
from doublevit.data.dataset import Dataset
from doublevit.data.tiny_imagenet_c import Cell
from doublevit.errors import UserError
from doublevit.files import require_space, writable_folder

BLOCK = 4096  # bytes that a small file takes on most disks


def write(
    clean: Dataset, manifest: Manifest, textures: Textures, root: Path, cells: Sequence[Cell], workers: int
) -> int:
    """Write cells into `root`, those that are not there yet; returns how many those were.

    Raises:
        UserError: `root` holds another set or something else, or its disk is full or not writable.
    """
    writable_folder(root, "the corrupted set")
    with _alone(root), _in_one_line(root):
        _begin(root, manifest, clean, cells)
        missing = missing_cells(root, cells)
        _require_space(root, manifest, len(missing))
        if missing:
            try:
                _write_clean_photos(root, clean)
                with processes(Job(root, manifest, clean.labels, textures), workers) as pool:
                    write_cells(pool, root, manifest, missing)
            finally:
                clear(root, missing)
    return len(missing)


def _begin(root: Path, manifest: Manifest, clean: Dataset, cells: Sequence[Cell]) -> None:
    """Put down the manifest, before any cell, or see that the one that is there is of the same set."""
    photos, before = describe_photos(clean), Manifest.read(root)
    if before is None:
        if any(entry for entry in root.iterdir() if not entry.name.startswith(".") and entry.name != PHOTOS):
            raise UserError(f"{root} is not empty, and holds no set to go on with; choose another --output")
        np.save(root / PHOTOS, photos)
    elif (name := before.differs_in(manifest)) or not np.array_equal(read_photos(root), photos):
        raise UserError(
            f"{root} holds a set with another {name.replace('_', ' ') if name else 'look of the clean photos'}; choose"
            " another --output"
        )
    asked = dict.fromkeys((*(before.cells if before else ()), *cells))
    dataclasses.replace(manifest, cells=tuple(asked)).write(root)


def _require_space(root: Path, manifest: Manifest, cells: int) -> None:
    size = int(np.prod(manifest.side)) * 3
    of_photo = size if manifest.kept_as == "store" else -(-size // 6 // BLOCK) * BLOCK
    clean = manifest.count * size
    require_space(
        root, cells and cells * manifest.count * of_photo + clean, f"writing {cells * manifest.count:,} photos"
    )


def _write_clean_photos(root: Path, clean: Dataset) -> None:
    """The clean photos in a file that every worker maps."""
    with (root / CLEAN_PHOTOS).open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": clean.images.shape}
        np.lib.format.write_array_header_2_0(file, header)
        for start in range(0, len(clean), CHUNK):
            file.write(np.ascontiguousarray(clean.images[np.arange(start, min(start + CHUNK, len(clean)))]).data)


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
        what = f"cannot write {error.filename or root} ({error.strerror}); make room or remove what is in the way"
        raise UserError(f"{what}; {advice}") from error
    except BrokenProcessPool as error:
        raise UserError(f"a worker process died while writing {root}; {advice}, with fewer --workers") from error
