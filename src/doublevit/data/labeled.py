"""Labeled images to evaluate a model on: a folder of class folders, or a flat folder with a CSV of labels; no split.

They are decoded once, into the same kind of store as training images, at the size and by the transform that the model
to be evaluated wants.
"""

import csv
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from doublevit.data.archive import FolderFiles, is_hidden, natural_key
from doublevit.data.dataset import Dataset
from doublevit.data.decode import BadImage, decode
from doublevit.data.image_folder import classes_in, entries_of
from doublevit.data.listing import Entries, Listing
from doublevit.data.stores import load_stored
from doublevit.errors import UserError

SPLIT = "all"
PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "name")
LABEL_COLUMNS = ("label", "class", "target", "category")

Prepare = Callable[[np.ndarray], np.ndarray]


def load_labeled(path: Path, side: int, prepare: Prepare, geometry: str, cache: Path, *, split: str = "") -> Dataset:
    """Load the labeled images of a folder, or of a CSV file, decoded now if they never were.

    Args:
        path: a folder of class folders; one with `split` (test, val ...) in it that holds them; a flat folder with one
            CSV file in it; or that file.
        side: of the stored images in pixels.
        prepare: brings an image uint8 (H, W, 3) to (side, side, 3).
        geometry: tells what `prepare` does from other ways, as text.
        cache: where decoded images are kept.
        split: the name of the folder in `path` to take; "" for `path` itself, or its val where it has one.

    Raises:
        UserError: the folder is missing, empty or laid out otherwise, or a file cannot be read.
    """
    root, entries, class_ids = labeled_files(path, split)
    files = FolderFiles(root)
    listing = Listing(
        name=f"labeled-{root.resolve().name}",
        source=f"images in {root}",
        side=side,
        class_ids=class_ids,
        class_names=class_ids,
        splits={SPLIT: entries},
        read=files.read,
        decode=functools.partial(_decode, prepare=prepare),
        fingerprint=f"{files.fingerprint} {geometry}",
    )
    return load_stored(listing, cache)[SPLIT]


def labeled_files(path: Path, split: str) -> tuple[Path, Entries, tuple[str, ...]]:
    """Return the folder that file names are relative to, the files with their labels, and the classes.

    Raises:
        UserError: as `load_labeled`.
    """
    if path.is_file() and path.suffix.lower() == ".csv":
        return _of_csv(path, path.parent)
    if not path.is_dir():
        raise UserError(
            f"{path} is no folder: expected class folders with images, or a CSV file with columns path,label"
        )
    root = _of_split(path, split)
    tables = sorted(root.glob("*.csv"))
    if tables and not any(entry.is_dir() and not is_hidden(entry.name) for entry in root.iterdir()):
        if len(tables) > 1:
            raise UserError(f"{root} holds {len(tables)} CSV files; pass the one with the labels")
        return _of_csv(tables[0], root)
    classes = classes_in(root, FolderFiles(root))
    return root, entries_of(classes), tuple(classes)


def _of_split(path: Path, split: str) -> Path:
    if split:
        if not (path / split).is_dir():
            there = ", ".join(sorted(entry.name for entry in path.iterdir() if entry.is_dir())[:5]) or "no folder"
            raise UserError(f"`split` {split}: expected a folder of that name in {path}, found {there}")
        return path / split
    return path / "val" if (path / "val").is_dir() and (path / "train").is_dir() else path


def _of_csv(table: Path, root: Path) -> tuple[Path, Entries, tuple[str, ...]]:
    """File names and labels of a CSV file with a head line; names are relative to its folder."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table} cannot be read ({error}); expected a CSV file with columns path,label") from error
    columns = {name.strip().lower(): name for name in (rows[0] if rows else {}) if name}
    of_path = next((columns[name] for name in PATH_COLUMNS if name in columns), None)
    of_label = next((columns[name] for name in LABEL_COLUMNS if name in columns), None)
    if of_path is None or of_label is None:
        found = ", ".join(columns) or "no line"
        raise UserError(
            f"{table}: expected a head line with columns path,label, and a line for each image; found {found}"
        )
    pairs = [((row[of_path] or "").strip(), (row[of_label] or "").strip()) for row in rows]
    for name, label in pairs:
        inside = Path(name)
        if not name or not label or inside.is_absolute() or ".." in inside.parts:
            raise UserError(
                f"{table}: expected a file below {root} and a label in each line, found {name!r}, {label!r}"
            )
        if any(map(is_hidden, inside.parts)):
            raise UserError(f"{table} names {name}, a hidden file; expected one that is not")
        if not (root / inside).is_file():
            raise UserError(f"{table} names {name}, which is not in {root}")
    names = [Path(name).as_posix() for name, _ in pairs]
    if len(set(names)) != len(names):
        raise UserError(f"{table} names {next(name for name in names if names.count(name) > 1)} more than once")
    class_ids = tuple(sorted({label for _, label in pairs}, key=natural_key))
    rank = {label: index for index, label in enumerate(class_ids)}
    return root, Entries(names, np.array([rank[label] for _, label in pairs], dtype=np.int64)), class_ids


def _decode(data: bytes, prepare: Prepare) -> np.ndarray:
    try:
        return prepare(decode(data))
    except (ValueError, MemoryError) as error:
        raise BadImage(str(error) or "too narrow") from error
