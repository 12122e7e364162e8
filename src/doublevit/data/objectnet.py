"""ObjectNet as it is published: `images/<name>/*.png` beside `mappings/`, which says what the names are in ImageNet.

113 of its 313 classes are one or several of ImageNet's; the others are left out. Images have a red border of two
pixels, which is cut off before anything else (objectnet.dev; objectnet_pytorch_dataloader.py in
abarbu/objectnet-template-pytorch).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from doublevit import strict_json
from doublevit.data.imagenet_sets import CLASSES, JOINED, named, wnids_of
from doublevit.data.names import listed
from doublevit.data.parts import Part
from doublevit.errors import UserError

BORDER = 2
FOLDERS, CLASSES_OF = "folder_to_objectnet_label.json", "objectnet_to_imagenet_1k.json"
LABELS, LINES = "imagenet_to_label_2012_v2", "pytorch_to_imagenet_2012_id.json"
FILES = (FOLDERS, CLASSES_OF, LABELS, LINES)
SEVERAL = "; "
Value = TypeVar("Value", str, int)


def root_of(path: Path) -> Path | None:
    """Return the folder of ObjectNet that `path` names, which may be that in it, or its images; None for others."""
    roots = [path, path / "objectnet-1.0", *([path.parent] if path.name == "images" else [])]
    return next((root for root in roots if all((root / "mappings" / name).is_file() for name in FILES)), None)


def imagenet_indices(root: Path) -> dict[str, tuple[int, ...]]:
    """Return which of a network's logits each folder of images is, for those that are any: 0 to 999.

    Raises:
        UserError: the files of `mappings` are damaged or contradict each other.
    """
    folders, classes = _read(root, FOLDERS, str), _read(root, CLASSES_OF, str)
    logits = {line: int(index) for index, line in _read(root, LINES, int).items()}
    lines = (root / "mappings" / LABELS).read_text("utf-8", "replace").splitlines()
    labels = [line.strip() for line in lines]
    folder_of = {label: folder for folder, label in folders.items()}
    try:
        found = {
            folder_of[label]: tuple(logits[_only(labels, word)] for word in words.split(SEVERAL))
            for label, words in classes.items()
        }
    except (KeyError, ValueError) as error:
        raise _damaged(root, str(error)) from error
    every = [index for indices in found.values() for index in indices]
    if len({*every}) != len(every) or not all(0 <= index < CLASSES for index in every):
        raise _damaged(root, "a class of ImageNet is none, or that of two folders")
    return found


def first_words(root: Path) -> dict[int, str]:
    """Return the first word of each of ImageNet's classes in `mappings`, by the index of its logit."""
    lines = (root / "mappings" / LABELS).read_text("utf-8", "replace").splitlines()
    logits = {line: int(index) for index, line in _read(root, LINES, int).items()}
    return {logits[place]: line.strip().split(",")[0] for place, line in enumerate(lines) if place in logits}


def mapped(part: Part, indices: dict[str, tuple[int, ...]], wnids: Sequence[str]) -> Part:
    """Return the files of the folders that are classes of ImageNet, each class named by its wnids, joined.

    Raises:
        UserError: no folder is one.
    """
    chosen = [(rank, name) for rank, name in enumerate(part.class_ids) if name in indices]
    if not chosen:
        raise UserError(f"{part.source}: expected folders of ObjectNet, such as {listed(indices)}")
    class_ids = tuple(JOINED.join(wnids[index] for index in indices[name]) for _, name in chosen)
    kept = part.with_classes([rank for rank, _ in chosen], class_ids)
    count = sum(len(wnids_of(class_id)) for class_id in class_ids)
    classes = f"{len(class_ids)} classes, which are {count} of ImageNet's 1,000, each the best of its own"
    left_out = f"{len(part.class_ids) - len(chosen)} folders that are no class of ImageNet left out"
    return named(kept, "ObjectNet", f"{classes}; {left_out}; border of {BORDER} pixels cut off")


def _only(labels: list[str], word: str) -> int:
    """Return the line of a label."""
    if labels.count(word) != 1:
        raise ValueError(f"{word!r} stands {labels.count(word)} times in {LABELS}")
    return labels.index(word)


def _read(root: Path, name: str, kind: type[Value]) -> dict[str, Value]:
    try:
        return strict_json.decode((root / "mappings" / name).read_bytes(), dict[str, kind])  # type: ignore[valid-type]
    except (OSError, ValueError) as error:
        raise _damaged(root, f"{name}: {error}") from error


def _damaged(root: Path, why: str) -> UserError:
    return UserError(f"{root / 'mappings'} cannot be read ({why}); unpack ObjectNet again")
