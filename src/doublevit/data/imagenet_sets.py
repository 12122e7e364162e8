"""Sets of ImageNet's classes that robustness is measured on, known by their folders: ImageNet-A, -R, -V2 and -Sketch.

Folders are wnids, but for ImageNet-V2, whose folders are the indices 0 to 999 of the classes in the order of their
wnids (modestyachts/ImageNetV2, issues 4 and 10: sorted as text, as folders usually are, they are other classes).
"""

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Sequence

import numpy as np

from doublevit.data.names import listed
from doublevit.data.parts import Part
from doublevit.errors import UserError

CLASSES = 1000
WNID = re.compile(r"n\d{8}")
JOINED = "+"
"""What joins the wnids of a class that is several of ImageNet's, as in ObjectNet."""
SETS = {"ff8c384504d3ec59": "ImageNet-A", "354baa0a46566aa6": "ImageNet-R"}
"""Sets by the `digest` of their 200 wnids, those of eval.py in hendrycks/natural-adv-examples and imagenet-r."""
PREFIXES = {"sketch_": "ImageNet-Sketch", "ILSVRC2012_val_": "ImageNet"}
"""Sets by how the names of their files begin."""
V2 = "ImageNet-V2"
UNNAMED = "classes of ImageNet"


def wnids_of(class_id: str) -> tuple[str, ...]:
    """Return the wnids that a class id is, one or several joined; () if it is something else."""
    wnids = tuple(class_id.split(JOINED))
    return wnids if all(map(WNID.fullmatch, wnids)) else ()


def digest(class_ids: Iterable[str]) -> str:
    """Return sixteen hexadecimal digits that tell a set of classes from others."""
    return hashlib.sha256(" ".join(sorted(class_ids)).encode()).hexdigest()[:16]


def recognized(part: Part, wnids: Sequence[str]) -> Part:
    """Return the part with wnids as classes, and a source that names its set and classes, if it is one of ImageNet's.

    Args:
        part: any part of a source.
        wnids: ImageNet's thousand, in the order of a network's logits.

    Raises:
        UserError: it is ImageNet-V2 by the name of its folder, with other folders than indices of classes.
    """
    if _is_v2(part):
        known = tuple(wnids[int(name)] for name in part.class_ids)
        return _named(dataclasses.replace(part, class_ids=known), V2)
    if part.class_ids and all(map(WNID.fullmatch, part.class_ids)) and {*part.class_ids} <= {*wnids}:
        return _named(part, _name(part))
    return part


def _is_v2(part: Part) -> bool:
    """Whether folders are the numbers 0 to 999; some of these, where a folder is called ImageNet-V2."""
    if part.class_ids == tuple(map(str, range(CLASSES))):
        return True
    numbers = all(name.isascii() and name.isdecimal() and str(int(name)) == name for name in part.class_ids)
    called = "imagenetv2" in re.sub(r"[\W_]", "", part.source).casefold()
    if not (numbers and called and part.class_ids):
        return False
    if max(map(int, part.class_ids)) >= CLASSES:
        raise UserError(f"{part.source}: expected folders 0 to 999 of ImageNet-V2, found {listed(part.class_ids[-1:])}")
    return True


def _name(part: Part) -> str:
    file = part.names[0].rpartition("/")[2] if part.names else ""
    by_file = next((name for prefix, name in PREFIXES.items() if file.startswith(prefix)), UNNAMED)
    return SETS.get(digest(part.class_ids), by_file)


def _named(part: Part, name: str) -> Part:
    """Name the set and its classes in the source, which rows of results bear, and in a note."""
    return named(part, name, f"{describe(part.class_ids)}, by wnid")


def named(part: Part, name: str, classes: str) -> Part:
    """Return the part with a source, which rows of results bear, and a note, that name a set and its classes."""
    note = f"{name}: {classes}; the logits of these alone are compared"
    return dataclasses.replace(part, source=f"{name} ({classes}), {part.source}", notes=(*part.notes, note))


def describe(class_ids: Sequence[str]) -> str:
    """Describe a set of wnids: their number, and a digest that tells equally many others from them."""
    if len(class_ids) == CLASSES:
        return "all 1,000 classes"
    return f"{len(class_ids):,} of 1,000 classes, sub-set {digest(class_ids)[:8]}"


def only_classes(part: Part, class_ids: Sequence[str]) -> Part:
    """Return the files of some of a part's classes, which may be joined ones: the clean counterpart of another set.

    Raises:
        UserError: the part has not all of the classes.
    """
    ranks = {wnid: rank for rank, joined in enumerate(class_ids) for wnid in wnids_of(joined) or (joined,)}
    missing = sorted(ranks.keys() - {*part.class_ids})
    if missing:
        raise UserError(f"{part.source} lacks {len(missing):,} of the classes of the other set: {listed(missing)}")
    renamed = np.array([ranks.get(class_id, -1) for class_id in part.class_ids], dtype=np.int64)
    labels = renamed[part.labels]
    chosen = part.keep(labels >= 0)
    chosen = dataclasses.replace(chosen, labels=labels[labels >= 0], class_ids=tuple(class_ids))
    source = f"{part.source}, of {len(ranks):,} classes, sub-set {digest(ranks)[:8]}"
    return dataclasses.replace(chosen, source=source)
