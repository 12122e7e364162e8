"""Folders of images: `train/<class>/...` with `val/<class>/...` or the like, or `<class>/...` to be split at random."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from doublevit.data.archive import FolderFiles
from doublevit.data.config import DataConfig
from doublevit.data.layout import places_in
from doublevit.data.listing import Listing
from doublevit.data.names import differing_in_case, is_no_image, listed, natural_key, printable
from doublevit.data.parts import Part, Parts, require_different
from doublevit.data.training_parts import training_listing
from doublevit.data.walk import folders_in
from doublevit.errors import UserError
from doublevit.files import read_bytes


def listing(config: DataConfig) -> Listing:
    """List the images to train and validate on.

    Raises:
        UserError: the folder is missing or has another layout.
    """
    return training_listing(read(config), config)


def read(config: DataConfig) -> Parts:
    """Return the parts of the folder `config.path`.

    Raises:
        UserError: the folder is missing or has another layout.
    """
    root, exact = _require_folder(config.path), config.names == "exact"
    places, notes = places_in(root, exact=exact)
    return Parts(
        name=f"folder-{root.resolve().name}",
        source=f"image folder {printable(str(root))}",
        places=places,
        part=lambda name: _part(root, places.get(name, f"{name}/"), exact=exact),
        read=lambda name: read_bytes(f"{root}/{name}"),  # plain strings: building 110,000 Path objects is slow
        hashed=os.path.basename,
        notes=tuple(notes),
        nested=frozenset(folders_in(str(root))),
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


def _part(root: Path, place: str, *, exact: bool) -> Part:
    """List the class folders in `root`/`place`, class by class, both in natural order."""
    files = FolderFiles(root, place)
    folders = [name for name in folders_in(f"{root}/{place}") if place + name not in files.links.loops]
    members: dict[str, list[str]] = {name: [] for name in sorted(folders, key=natural_key)}
    left_out: Counter[str] = Counter()
    beside = 0
    for name in files.ordered:
        folder, slash, _ = name[len(place) :].partition("/")
        if not slash:
            beside += not is_no_image(name)
        elif not exact and is_no_image(name):
            left_out[os.path.splitext(name)[1].lower()] += 1  # noqa: PTH122
        else:
            members[folder].append(name)
    if not exact:
        require_different(members, printable(str(root / place)))
    return Part(
        names=[name for of_class in members.values() for name in sorted(of_class, key=natural_key)],
        labels=np.repeat(np.arange(len(members)), [len(of_class) for of_class in members.values()]),
        class_ids=tuple(map(printable, members)),
        source=f"images in {printable(str(root / place))}",
        place=printable(place),
        fingerprint=files.fingerprint,
        notes=(*files.links.notes(), *_notes(place, list(members), left_out, beside)),
    )


def _notes(place: str, names: list[str], left_out: Counter[str], beside: int) -> Iterator[str]:
    where = f" in {printable(place)}" if place else ""
    if left_out:
        kinds = ", ".join(f"{suffix} {count:,}" for suffix, count in left_out.most_common(5))
        yield f"left out {left_out.total():,} files{where} that are no images by their names: {kinds}"
    if beside:
        yield f"left out {beside:,} files{where} that lie beside the class folders, so of no class"
    yield from differing_in_case(names)
    if any(printable(name) != name for name in names):
        escaped = [printable(name) for name in names if printable(name) != name]
        yield f"folders whose names are no text in UTF-8, or have unprintable characters, are classes {listed(escaped)}"
