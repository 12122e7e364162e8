"""Folders of images: `train/<class>/...` with `val/<class>/...`, or `<class>/...` to be split at random."""

import functools
from pathlib import Path

import numpy as np

from doublevit.data.archive import FolderFiles, is_hidden, natural_key
from doublevit.data.config import DataConfig
from doublevit.data.decode import BadImage, decode_upright, resize_and_crop
from doublevit.data.listing import Entries, Listing, Window
from doublevit.data.split import Classes, split_classes
from doublevit.errors import UserError


def listing(config: DataConfig) -> Listing:
    """List the images to decode, each to be stored at `config.size`.

    Raises:
        UserError: the folder is missing or has another layout.
    """
    root = _require_folder(config.path)
    files = FolderFiles(root)
    splits = _splits(root, files, config)
    class_ids = tuple(splits["train"])
    return Listing(
        name=f"folder-{root.resolve().name}",
        source=f"image folder {root}",
        side=config.size,
        class_ids=class_ids,
        class_names=class_ids,
        splits={split: entries_of(classes) for split, classes in splits.items()},
        read=files.read,
        decode=functools.partial(_decode, size=config.size),
        fingerprint=files.fingerprint,
        window=functools.partial(_window, side=config.size),
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


def _window(height: int, width: int, side: int) -> Window:
    """Return what `resize_and_crop` shows of an image of this size."""
    scale = side / min(height, width)
    new_height, new_width = max(side, round(height * scale)), max(side, round(width * scale))
    return Window(new_height, new_width, (new_height - side) // 2, (new_width - side) // 2, side, "bicubic")


def _decode(data: bytes, size: int) -> np.ndarray:
    try:
        return resize_and_crop(decode_upright(data), size)
    except (ValueError, MemoryError) as error:  # a strip so narrow that its other side would become enormous
        raise BadImage(str(error) or "too narrow") from error
