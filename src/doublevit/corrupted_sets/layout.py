"""Where the parts of a written set lie: a cell in `<corruption>/<severity>/`, there only when whole."""

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from doublevit.corrupted_sets.manifest import Manifest
from doublevit.data.dataset import Dataset
from doublevit.data.identity import Cell
from doublevit.data.tiny_imagenet_c import class_of
from doublevit.errors import UserError
from doublevit.files import crc32
from doublevit.images import pieces

IMAGES, CHECKSUM = "images.npy", "crc32"
DESCRIPTIONS = "descriptions.npy"
"""What a set was made from, int64 (N, 2): label and CRC-32 of each clean image."""
CLEAN_IMAGES, TEXTURES = ".clean.npy", ".textures.npz"
"""There only while a set is written."""
STEP = 256  # images that are looked at together


def cell_folder(root: Path, cell: Cell) -> Path:
    """The folder of a cell."""
    return root / cell[0] / str(cell[1])


def missing_cells(root: Path, cells: Iterable[Cell]) -> list[Cell]:
    """The cells that are not there."""
    folders = {cell: cell_folder(root, cell) for cell in cells}
    return [cell for cell, folder in folders.items() if not folder.is_dir() or not any(folder.iterdir())]


def require_finished(root: Path, cells: Iterable[Cell]) -> None:
    """Raise `UserError` unless the cells are all there."""
    if missing := missing_cells(root, cells):
        corruption, severity = missing[0]
        raise UserError(
            f"{root} lacks {len(missing)} of the cells, {corruption}/{severity} first; go on making it with the same"
            " doublevit data corrupt, or ask for others"
        )


def describe_images(clean: Dataset) -> np.ndarray:
    """Label and CRC-32 of each image, int64 (N, 2): whether two sets of images are the same."""
    checksums = [zlib.crc32(image.tobytes()) for piece in pieces(clean.images, STEP) for image in piece]
    return np.stack([clean.labels, np.array(checksums, np.int64)], axis=1)


def read_descriptions(root: Path) -> np.ndarray:
    """`describe_images` of what a set was made from.

    Raises:
        UserError: it is damaged.
    """
    return _read(root / DESCRIPTIONS, np.int64, (None, 2), "make the set again: doublevit data corrupt")


def classes_of(root: Path, manifest: Manifest) -> set[str]:
    """The classes that a set's images are of: of a few images, perhaps not all that there are."""
    return set(map(class_of, names_of(root, manifest)))


def names_of(root: Path, manifest: Manifest) -> frozenset[str]:
    """Class and file of every image of a cell, without suffix.

    Raises:
        UserError: what the set was made from is damaged.
    """
    labels = read_descriptions(root)[:, 0]
    if len(labels) != manifest.count or not 0 <= labels.min() <= labels.max() < len(manifest.class_ids):
        raise UserError(f"{root / DESCRIPTIONS} is damaged; make the set again: doublevit data corrupt")
    return frozenset(f"{manifest.class_ids[label]}/test_{index}" for index, label in enumerate(labels.tolist()))


def open_images(folder: Path, manifest: Manifest) -> np.ndarray:
    """The pictures of a cell of a set that is kept as a store, memory-mapped: uint8 (N, H, W, 3).

    Raises:
        UserError: they are damaged.
    """
    shape = (manifest.count, *manifest.side, 3)
    return _read(folder / IMAGES, np.uint8, shape, "delete the folder and give doublevit data corrupt again")


def _read(path: Path, dtype: type, shape: tuple[int | None, ...], advice: str) -> np.ndarray:
    """An array of a kind, memory-mapped; None in `shape` is any number but none."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        found = getattr(array, "shape", ())
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged ({error}); {advice}") from error
    fits = len(found) == len(shape) and all(n == m if m else n for n, m in zip(found, shape, strict=True))
    if not isinstance(array, np.ndarray) or array.dtype != dtype or not fits:
        raise UserError(f"{path} is damaged: expected {np.dtype(dtype)} {shape}, found another array; {advice}")
    return array


def checksum(path: Path) -> str:
    """CRC-32 of a file, hexadecimal."""
    return f"{crc32(path):08x}"
