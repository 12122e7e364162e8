"""Drawing validation images from a source that has none set apart: by images, or by groups, such as patients."""

import hashlib
from collections.abc import Callable

import numpy as np

from doublevit.data.config import DataConfig
from doublevit.data.names import printable
from doublevit.data.parts import Part, Parts
from doublevit.data.split_hashes import split_hashes
from doublevit.errors import UserError


def draw_val(part: Part, parts: Parts, config: DataConfig) -> tuple[Part, Part]:
    """Split a part by `val_fraction` and `split_seed` into one to train on and one to validate on.

    Both get at least one image of each class. By "hash", an image's side depends on its own name and contents alone, so
    that more or fewer images move no other; by "count", as runs were split before, on how many images its class has.
    Where there are groups, it depends on the group alone.

    Raises:
        UserError: a class has one image only, or one group.
    """
    few = np.flatnonzero(part.counts < 2)
    if len(few):
        name = part.class_ids[int(few[0])]
        raise UserError(
            f"class {printable(name)!r} has one image: expected at least 2, to train on one and validate with the other"
        )
    if part.groups is not None:
        in_val = val_by_group(part.groups, part, config)
    elif config.split == "count":
        in_val = _by_class(part, lambda label, rows: _by_count(len(rows), label, config))
    else:
        hashes = split_hashes(part, parts, config)
        in_val = _by_class(part, lambda label, rows: _by_hash(hashes[rows], config))
    return part.keep(~in_val), part.keep(in_val)


def _by_class(part: Part, choose: Callable[[int, np.ndarray], np.ndarray]) -> np.ndarray:
    """Choose images for validation class by class, bool (N,); `choose` is given a label and its rows."""
    order = np.argsort(part.labels, kind="stable")
    in_val = np.zeros(len(order), dtype=bool)
    for label, rows in enumerate(np.split(order, np.cumsum(part.counts)[:-1])):
        in_val[rows] = choose(label, rows)
    return in_val


def _by_count(count: int, label: int, config: DataConfig) -> np.ndarray:
    """Draw which of a class's images are for validation, bool (count,)."""
    chosen = min(max(1, round(count * config.val_fraction)), count - 1)
    mask = np.zeros(count, dtype=bool)
    mask[np.random.default_rng([config.split_seed, label]).permutation(count)[:chosen]] = True
    return mask


def _by_hash(hashes: np.ndarray, config: DataConfig) -> np.ndarray:
    """Choose images by their hashes, uint64 (count,): those below the fraction, but at least one, and not all."""
    mask = hashes < np.float64(config.val_fraction) * 2.0**64
    if not mask.any():
        mask[hashes.argmin()] = True
    elif mask.all():
        mask[hashes.argmax()] = False
    return mask


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
            _move_group(in_val, in_class, label, hashes, to_val=split)
    without = ~(in_class[in_val].any(0) & in_class[~in_val].any(0))
    if without.any():
        name = printable(part.class_ids[int(without.argmax())])
        raise UserError(
            f"{part.source}: no split by groups was found that leaves images of class {name!r} to train and to validate"
            " on: give a column split, or another `data.split_seed`"
        )
    return in_val[rows]


def _move_group(in_val: np.ndarray, in_class: np.ndarray, label: int, hashes: np.ndarray, *, to_val: bool) -> None:
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
