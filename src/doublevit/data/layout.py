"""Which folders in a folder of images are its splits, and which its classes."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from doublevit.data.names import listed, printable, same_name, split_of
from doublevit.data.parts import WHOLE
from doublevit.data.walk import folders_in
from doublevit.errors import UserError


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
    return places | others, list(_notes(splits, with_classes, others))


def _by_split(root: Path, splits: dict[str, str], with_classes: dict[str, str]) -> dict[str, str]:
    without = next((folder for folder, split in splits.items() if folder not in with_classes and split != "test"), None)
    if without is not None or not with_classes:
        folder = without or next(iter(splits))
        raise UserError(f"{_path(root, folder)} holds no class folders: expected a folder of images for each class")
    places: dict[str, str] = {}
    for folder, split in with_classes.items():
        if split in places:
            raise UserError(f"{_path(root)} has {places[split]} and {folder}/, which both mean {split}: expected one")
        places[split] = f"{folder}/"
    for one, other in itertools.combinations(places.values(), 2):
        if (root / one).samefile(root / other):
            raise UserError(f"{_path(root)}: {one} and {other} are one folder, by a link: expected images of their own")
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
                f"{_path(root)} holds {printable(folder)} beside the classes that it holds too: expected train beside"
                f" {printable(folder)}, with the other folders in it"
            )


def _notes(splits: dict[str, str], with_classes: dict[str, str], others: dict[str, str]) -> Iterator[str]:
    for folder in splits:
        if folder not in with_classes:
            yield f"not read: {printable(folder)}/, which holds no class folders"
    if others:
        yield f"not trained on: {listed(others.values())}, neither train nor val"


def _path(root: Path, folder: str = "") -> str:
    return printable(str(root / folder))
