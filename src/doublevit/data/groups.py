"""Drawing validation images by groups, such as patients, so that none is in both splits."""

import hashlib

import numpy as np

from doublevit.data.config import DataConfig
from doublevit.data.names import printable
from doublevit.data.parts import Part
from doublevit.errors import UserError


def val_by_group(groups: np.ndarray, part: Part, config: DataConfig) -> np.ndarray:
    """Choose the images of `val_fraction` of the groups (N,), by a hash of each group's name and the seed, bool (N,).

    Where a class would be in one split only, the group of it whose hash is nearest to the other side is moved there.

    Raises:
        UserError: a class has images of one group only, or groups are so mixed that no such move helps.
    """
    names, rows = np.unique(groups, return_inverse=True)
    hashes = np.array([_hash(str(name), config.split_seed) for name in names], dtype=np.uint64)
    in_class = np.zeros((len(names), len(part.class_ids)), dtype=bool)  # which groups have images of which class
    in_class[rows, part.labels] = True
    lonely = np.flatnonzero(in_class.sum(0) < 2)
    if len(lonely):
        label = int(lonely[0])
        raise UserError(
            f"class {printable(part.class_ids[label])!r} has images of one group only"
            f" ({printable(str(names[in_class[:, label]][0]))}): expected at least 2, to train on one and validate with"
            " the other"
        )
    in_val = hashes < np.float64(config.val_fraction) * 2.0**64
    for split in (True, False):
        for label in range(len(part.class_ids)):
            _move_one(in_val, in_class, label, hashes, to_val=split)
    without = ~(in_class[in_val].any(0) & in_class[~in_val].any(0))
    if without.any():
        name = printable(part.class_ids[int(without.argmax())])
        raise UserError(
            f"{part.source}: no split by groups was found that leaves images of class {name!r} to train and to validate"
            " on: give a column split, or another `data.split_seed`"
        )
    return in_val[rows]


def _move_one(in_val: np.ndarray, in_class: np.ndarray, label: int, hashes: np.ndarray, *, to_val: bool) -> None:
    """Move a group into the split that has no image of a class, if every class keeps one in the other split."""
    there = in_val == to_val
    if in_class[there, label].any():
        return
    order = np.argsort(hashes) if to_val else np.argsort(hashes)[::-1]
    for group in order[in_class[order, label]]:
        rest = ~there
        rest[group] = False
        if in_class[rest][:, in_class[group]].any(0).all():
            in_val[group] = to_val
            return


def _hash(name: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode("utf-8", "surrogateescape")).digest()[:8], "big")
