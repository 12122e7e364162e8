"""Folders of images: `train/<class>/...` with `val/<class>/...`, or `<class>/...` to be split at random."""

import functools
from pathlib import Path

import numpy as np

from doublevit.data.archive import FolderFiles, is_hidden, natural_key
from doublevit.data.config import DataConfig
from doublevit.data.decode import Decoding, decode_upright
from doublevit.data.geometry import Geometry, geometry_of, to_square
from doublevit.data.listing import Entries, Listing
from doublevit.data.split import Classes, split_classes
from doublevit.errors import UserError

DECODING_VERSION = 2  # of what files are decoded to; raising it makes new stores


def listing(config: DataConfig) -> Listing:
    """List the images to decode, each to be stored by the geometry that `config` asks for.

    Raises:
        UserError: the folder is missing or has another layout.
    """
    root = _require_folder(config.path)
    files, geometry = FolderFiles(root), geometry_of(config)
    options = Decoding(config.bits, config.max_pixels)
    splits = _splits(root, files, config)
    class_ids = tuple(splits["train"])
    return Listing(
        name=f"folder-{root.resolve().name}",
        source=f"image folder {root}",
        side=geometry.side,
        class_ids=class_ids,
        class_names=class_ids,
        splits={split: entries_of(classes) for split, classes in splits.items()},
        read=files.read,
        decode=functools.partial(decode_to, geometry=geometry, options=options),
        fingerprint=fingerprint(files.fingerprint, geometry, options),
        margin=config.margin or 0,
    )


def _require_folder(path: Path | None) -> Path:
    if path is None:
        raise UserError("the source folder wants `data.path`: a folder with one folder of images for each class")
    if not path.is_dir():
        raise UserError(f"{path} is no folder: expected one folder of images for each class in it")
    if (path / "wnids.txt").exists() or (path / "val_annotations.txt").exists():
        # Read as an image folder, Tiny ImageNet's val/ would silently be one class named "images".
        raise UserError(
            f"{path} is a part of Tiny ImageNet: pass `data.source=tiny-imagenet` and the whole folder or zip"
        )
    return path


def _splits(root: Path, files: FolderFiles, config: DataConfig) -> dict[str, Classes]:
    if not (root / "train").is_dir():
        return split_classes(classes_in(root, files), files, config)
    if not (root / "val").is_dir():
        return split_classes(classes_in(root / "train", files, "train/"), files, config)
    splits = {split: classes_in(root / split, files, f"{split}/") for split in ("train", "val")}
    if splits["train"].keys() != splits["val"].keys():
        only = sorted(splits["train"].keys() ^ splits["val"].keys())
        raise UserError(
            f"{root}: train and val have different classes: {', '.join(only[:5])}{' ...' if len(only) > 5 else ''}"
            f" in one only ({len(splits['train'])} against {len(splits['val'])}); give both the same folders"
        )
    return splits


def classes_in(folder: Path, files: FolderFiles, prefix: str = "") -> Classes:
    """Return the class folders in `folder`, with the files of each, whose names begin with `prefix`.

    Raises:
        UserError: there are fewer than two classes, or one has no file.
    """
    names = (entry.name for entry in folder.iterdir() if entry.is_dir() and not is_hidden(entry.name))
    classes: Classes = {name: [] for name in sorted(names, key=natural_key)}
    for name in sorted(files.names, key=natural_key):
        of_class, _, rest = name.removeprefix(prefix).partition("/")
        if name.startswith(prefix) and rest:
            classes[of_class].append(name)
    if len(classes) < 2:
        found = f"one class ({next(iter(classes))})" if classes else "no folder"
        raise UserError(f"{folder}: expected a folder for each of at least two classes, found {found}")
    empty = next((name for name, members in classes.items() if not members), None)
    if empty is not None:
        raise UserError(f"{folder / empty} holds no image: add images of the class or remove the folder")
    return classes


def entries_of(classes: Classes) -> Entries:
    """Return the files of all classes, class by class, with their labels."""
    names = [name for members in classes.values() for name in members]
    return Entries(names, np.repeat(np.arange(len(classes)), [len(members) for members in classes.values()]))


def decode_to(data: bytes, margin: int = 0, *, geometry: Geometry, options: Decoding) -> np.ndarray:
    """Decode an image file to a square, uint8 (S, S, 3), as `to_square` makes it.

    Raises:
        BadImage: it cannot be decoded.
    """
    return to_square(decode_upright(data, options), geometry, margin)


def fingerprint(files: str, geometry: Geometry, options: Decoding) -> str:
    """Return what tells stored images from those of other files, or of the same by another geometry or decoding."""
    return f"{files} {DECODING_VERSION} {geometry} {options.bits} {options.max_pixels}"
