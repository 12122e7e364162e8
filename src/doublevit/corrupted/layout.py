"""Where the cells of a written set lie: `<corruption>/<severity>/`, there only when whole."""

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from doublevit.corrupted.manifest import Manifest
from doublevit.data.tiny_imagenet_c import Cell
from doublevit.errors import UserError

IMAGES, LABELS, CHECKSUM = "images.npy", "labels.npy", "crc32"
CLEAN = ".clean.npy"


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


def open_images(folder: Path, manifest: Manifest) -> np.ndarray:
    """The pictures of a cell of a set that is kept as a store, memory-mapped: uint8 (N, H, W, 3).

    Raises:
        UserError: they are damaged.
    """
    try:
        images: np.ndarray = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder} is damaged ({error}); delete it and make it again: doublevit data corrupt"
        ) from error
    expected = (manifest.count, *manifest.side, 3)
    if images.dtype != np.uint8 or images.shape != expected:
        raise UserError(f"{folder}: expected uint8 {expected}, found {images.dtype} {images.shape}; delete it")
    return images


def read_labels(root: Path) -> np.ndarray:
    """The labels of every cell, int64 (N,).

    Raises:
        UserError: they are damaged.
    """
    try:
        labels: np.ndarray = np.load(root / LABELS, allow_pickle=False)
        return labels
    except (OSError, ValueError) as error:
        raise UserError(f"{root / LABELS} is damaged ({error}); make the set again: doublevit data corrupt") from error


def checksum(path: Path) -> str:
    """CRC-32 of a file, hexadecimal."""
    crc = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            crc = zlib.crc32(block, crc)
    return f"{crc:08x}"
