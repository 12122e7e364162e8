"""Layout of a written set: a cell is the folder `<corruption>/<severity>/`, which exists only when it is complete."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from doublevit.corrupted_sets.manifest import Manifest
from doublevit.data.dataset import Dataset
from doublevit.data.identity import Cell
from doublevit.data.tiny_imagenet_c import class_of
from doublevit.errors import UserError
from doublevit.files import crc32
from doublevit.images import checksums

IMAGES, CHECKSUM = "images.npy", "crc32"
DESCRIPTIONS = "descriptions.npy"
"""The file that identifies the clean images, int64 (N, 2): label and CRC-32 of each."""
CLEAN_IMAGES, TEXTURES = ".clean.npy", ".textures.npz"
"""Files that exist only while a set is written."""


def cell_folder(root: Path, cell: Cell) -> Path:
    """Return the folder of a cell."""
    return root / cell[0] / str(cell[1])


def missing_cells(root: Path, cells: Iterable[Cell]) -> list[Cell]:
    """Return the cells whose folder is missing or empty."""
    folders = {cell: cell_folder(root, cell) for cell in cells}
    return [cell for cell, folder in folders.items() if not folder.is_dir() or not any(folder.iterdir())]


def require_finished(root: Path, cells: Iterable[Cell]) -> None:
    """Raise `UserError` unless all cells exist."""
    if missing := missing_cells(root, cells):
        corruption, severity = missing[0]
        raise UserError(
            f"{root} lacks {len(missing)} of the cells, {corruption}/{severity} first; go on making it with the same"
            " doublevit data corrupt, or ask for others"
        )


def describe_images(clean: Dataset) -> np.ndarray:
    """Return label and CRC-32 of each image, int64 (N, 2), by which two sets of images are compared."""
    return np.stack([clean.labels, checksums(clean.images)], axis=1)


def read_descriptions(root: Path) -> np.ndarray:
    """Read the `describe_images` of the clean images of a set.

    Raises:
        UserError: the file is damaged.
    """
    return _read(root / DESCRIPTIONS, np.int64, (None, 2), "make the set again: doublevit data corrupt")


def classes_of(root: Path, manifest: Manifest) -> set[str]:
    """Return the classes that occur among a set's images; in a small set these may not be all."""
    return set(map(class_of, names_of(root, manifest)))


def names_of(root: Path, manifest: Manifest) -> frozenset[str]:
    """Return `<class>/<file>` without suffix for every image of a cell.

    Raises:
        UserError: the descriptions of the clean images are damaged.
    """
    labels = read_descriptions(root)[:, 0]
    if len(labels) != manifest.count or not 0 <= labels.min() <= labels.max() < len(manifest.class_ids):
        raise UserError(f"{root / DESCRIPTIONS} is damaged; make the set again: doublevit data corrupt")
    return frozenset(f"{manifest.class_ids[label]}/test_{index}" for index, label in enumerate(labels.tolist()))


def open_images(folder: Path, manifest: Manifest) -> np.ndarray:
    """Open the images of a cell that is kept as a store, memory-mapped: uint8 (N, H, W, 3).

    Raises:
        UserError: the file is damaged.
    """
    shape = (manifest.count, *manifest.side, 3)
    return _read(folder / IMAGES, np.uint8, shape, "delete the folder and give doublevit data corrupt again")


def _read(path: Path, dtype: type, shape: tuple[int | None, ...], advice: str) -> np.ndarray:
    """Open an array of this dtype and shape, memory-mapped; None in `shape` stands for any positive number."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        actual = getattr(array, "shape", ())  # an .npz has none
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged ({error}); {advice}") from error
    fits = len(actual) == len(shape) and all(n == m if m else n for n, m in zip(actual, shape, strict=True))
    if not isinstance(array, np.ndarray) or array.dtype != dtype or not fits:
        raise UserError(f"{path} is damaged: expected {np.dtype(dtype)} {shape}, found another array; {advice}")
    return array


def checksum(path: Path) -> str:
    """Return the CRC-32 of a file, eight hexadecimal digits."""
    return f"{crc32(path):08x}"
