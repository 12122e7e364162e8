"""Where the parts of a written set lie: a cell in `<corruption>/<severity>/`, there only when whole."""

import os
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from doublevit.corrupted.manifest import Manifest
from doublevit.data.dataset import Dataset
from doublevit.data.tiny_imagenet_c import Cell
from doublevit.errors import UserError

IMAGES, CHECKSUM = "images.npy", "crc32"
PHOTOS = "photos.npy"
"""What a set was made from, int64 (N, 2): label and CRC-32 of each clean photo."""
CLEAN_PHOTOS = ".clean.npy"
STEP = 256  # photos that are looked at together


def cell_folder(root: Path, cell: Cell) -> Path:
    """The folder of a cell."""
    return root / cell[0] / str(cell[1])


def missing_cells(root: Path, cells: Iterable[Cell]) -> list[Cell]:
    """The cells that are not there."""
    return [cell for cell in cells if not cell_folder(root, cell).is_dir()]


def require_finished(root: Path, cells: Iterable[Cell]) -> None:
    """Raise `UserError` unless the cells are all there."""
    if missing := missing_cells(root, cells):
        corruption, severity = missing[0]
        raise UserError(
            f"{root} lacks {len(missing)} of the cells, {corruption}/{severity} first; go on making it with the same"
            " doublevit data corrupt, or ask for others"
        )


def describe_photos(clean: Dataset) -> np.ndarray:
    """Label and CRC-32 of each photo, int64 (N, 2): whether two sets of photos are the same."""
    steps = (clean.images[np.arange(start, min(start + STEP, len(clean)))] for start in range(0, len(clean), STEP))
    checksums = [zlib.crc32(image.tobytes()) for step in steps for image in step]
    return np.stack([clean.labels, np.array(checksums, np.int64)], axis=1)


def read_photos(root: Path) -> np.ndarray:
    """`describe_photos` of what a set was made from.

    Raises:
        UserError: it is damaged.
    """
    try:
        photos: np.ndarray = np.load(root / PHOTOS, allow_pickle=False)
        return photos
    except (OSError, ValueError) as error:
        raise UserError(f"{root / PHOTOS} is damaged ({error}); make the set again: doublevit data corrupt") from error


def classes_of(root: Path, manifest: Manifest) -> set[str]:
    """The classes that a set's photos are of: of a few photos, perhaps not all that there are."""
    return {manifest.class_ids[label] for label in np.unique(read_photos(root)[:, 0])}


def open_images(folder: Path, manifest: Manifest) -> np.ndarray:
    """The pictures of a cell of a set that is kept as a store, memory-mapped: uint8 (N, H, W, 3).

    Raises:
        UserError: they are damaged.
    """
    advice = "delete the folder and give doublevit data corrupt again"
    try:
        images: np.ndarray = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} is damaged ({error}); {advice}") from error
    expected = (manifest.count, *manifest.side, 3)
    if images.dtype != np.uint8 or images.shape != expected:
        raise UserError(f"{folder}: expected uint8 {expected}, found {images.dtype} {images.shape}; {advice}")
    return images


def checksum(path: Path) -> str:
    """CRC-32 of a file, hexadecimal; the file is then safe on the disk."""
    crc = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            crc = zlib.crc32(block, crc)
        os.fsync(file.fileno())
    return f"{crc:08x}"
