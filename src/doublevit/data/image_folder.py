"""Folders of images: `train/<class>/...` with `val/<class>/...` or the like, or `<class>/...` to be split at random."""

import itertools
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from doublevit.data.archive import FolderFiles
from doublevit.data.config import DataConfig
from doublevit.data.listing import Listing
from doublevit.data.names import (
    differing_in_case,
    is_no_image,
    listed,
    natural_key,
    printable,
    same_name,
    split_of,
)
from doublevit.data.parts import WHOLE, Part, Parts, require_different
from doublevit.data.training_parts import training_listing
from doublevit.data.walk import file_version, folders_in
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
        version=file_version(root),
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


def places_in(root: Path, *, exact: bool) -> tuple[dict[str, str], list[str]]:
    """Return where each part of a folder lies, by "train", "val", "test", own names or `WHOLE`, and what to say of it.

    Splits are known by their usual names in any case (`names.SPLITS`); `exact` takes train and val alone.

    Raises:
        UserError: a split is there twice, has no class folder, or classes and splits are mixed.
    """
    if exact:
        found = [name for name in ("train", "val") if (root / name).is_dir()]
        return ({name: f"{name}/" for name in found} if "train" in found else {WHOLE: ""}), []
    folders = folders_in(str(root))
    splits = {folder: split for folder in folders if (split := split_of(folder))}
    _require_unmixed(root, folders, splits)
    with_classes = {folder: split for folder, split in splits.items() if folders_in(f"{root}/{folder}")}
    if "train" not in with_classes.values() and len(splits) < len(folders):
        return {WHOLE: ""}, []  # one class may well be called train
    if not splits:
        return {WHOLE: ""}, []
    places = _by_split(root, splits, with_classes)
    others = {folder: f"{folder}/" for folder in folders if folder not in splits}
    return places | others, list(_layout_notes(splits, with_classes, others))


def _by_split(root: Path, splits: dict[str, str], with_classes: dict[str, str]) -> dict[str, str]:
    without = next((folder for folder, split in splits.items() if folder not in with_classes and split != "test"), None)
    if without is not None or not with_classes:
        folder = without or next(iter(splits))
        raise UserError(f"{_shown(root, folder)} holds no class folders: expected a folder of images for each class")
    places: dict[str, str] = {}
    for folder, split in with_classes.items():
        if split in places:
            raise UserError(f"{_shown(root)} has {places[split]} and {folder}/, which both mean {split}: expected one")
        places[split] = f"{folder}/"
    for one, other in itertools.combinations(places.values(), 2):
        if (root / one).samefile(root / other):
            raise UserError(
                f"{_shown(root)}: {one} and {other} are one folder, by a link: expected images of their own"
            )
    return places


def _require_unmixed(root: Path, folders: list[str], splits: dict[str, str]) -> None:
    """Raise `UserError` where a split lies among the classes that it holds too: val, cat, dog with val/cat, val/dog."""
    if "train" in splits.values():
        return
    classes = {same_name(folder) for folder in folders if folder not in splits}
    for folder in splits:
        inside = {same_name(name) for name in folders_in(f"{root}/{folder}")}
        if inside & classes:
            raise UserError(
                f"{_shown(root)} holds {printable(folder)} beside the classes that it holds too: expected train beside"
                f" {printable(folder)}, with the other folders in it"
            )


def _layout_notes(splits: dict[str, str], with_classes: dict[str, str], others: dict[str, str]) -> Iterator[str]:
    for folder in splits:
        if folder not in with_classes:
            yield f"not read: {printable(folder)}/, which holds no class folders"
    if others:
        yield f"not trained on: {listed(others.values())}, neither train nor val"


def _shown(root: Path, folder: str = "") -> str:
    return printable(str(root / folder))
