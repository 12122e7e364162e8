"""From the parts of a source to what is trained and validated on."""

import dataclasses

import numpy as np

from doublevit.data.config import DataConfig
from doublevit.data.decode import Decoding
from doublevit.data.listing import Listing
from doublevit.data.names import listed, same_name
from doublevit.data.parts import WHOLE, Part, Parts, require_images
from doublevit.data.split import draw_val
from doublevit.data.squares import geometry_of, squares
from doublevit.data.summary import summary
from doublevit.errors import UserError


def training_listing(parts: Parts, config: DataConfig) -> Listing:
    """List what to decode for training, "train" and "val", each image to be stored by the geometry of `config`.

    A part for validation is taken as it is, else one to test on, else it is drawn from the training images.

    Raises:
        UserError: no part is for training, classes differ, or one has too few images.
    """
    train, val, notes = _train_and_val(parts, config)
    class_ids = train.class_ids
    part_notes = [note for part in dict.fromkeys((train.notes, val.notes)) for note in part]
    return Listing(
        name=parts.name,
        source=parts.source,
        class_ids=class_ids,
        class_names=class_ids,
        splits={"train": train.entries, "val": val.entries},
        read=parts.read,
        **squares(
            f"{train.fingerprint} {val.fingerprint}", geometry_of(config), Decoding(config.bits, config.max_pixels)
        ),
        margin=config.margin or 0,
        notes=(*parts.notes, *part_notes, *notes, *summary(parts, train, val)),
    )


def _train_and_val(parts: Parts, config: DataConfig) -> tuple[Part, Part, list[str]]:
    """Return both parts with the same classes, and what to say of them."""
    name = next((name for name in ("train", WHOLE) if name in parts.places), None)
    if name is None:
        raise UserError(
            f"{parts.source} has {listed(parts.places.values())} and nothing to train on: expected a part named train"
        )
    train, least, notes = parts.part(name), config.min_per_class or 0, list[str]()
    given = next((name for name in ("val", "test") if name in parts.places), None)
    if given is None:
        enough = _large_enough(train, least + 1 if least else 0, notes)
        train, val = draw_val(require_images(_with_classes(train, enough)), parts, config)
    else:
        val = parts.part(given)
        _require_disjoint_groups(parts, train)
    chosen = _large_enough(train, least, notes)
    val = _with_classes(val, _indices_in(val, train, chosen, parts))
    val = dataclasses.replace(val, class_ids=tuple(train.class_ids[index] for index in chosen))
    return require_images(_with_classes(train, chosen)), require_images(val), notes


def _large_enough(part: Part, least: int, notes: list[str]) -> list[int]:
    """Return the indices of the classes that have `least` images, and note those that have fewer."""
    counts = part.counts
    small = [part.class_ids[index] for index in np.flatnonzero(counts < least)]
    if small:
        notes.append(f"left out {len(small):,} classes with fewer than {least:,} images to train on: {listed(small)}")
    if small and len(small) > len(counts) - 2:
        raise UserError(
            f"{part.source}: expected at least two classes of {least:,} images or more, found"
            f" {len(counts) - len(small)}: the largest has {counts.max():,}; lower `data.min_per_class`"
        )
    return np.flatnonzero(counts >= least).tolist()


def _with_classes(part: Part, indices: list[int]) -> Part:
    if indices == list(range(len(part.class_ids))):
        return part
    return part.with_classes(indices, tuple(part.class_ids[index] for index in indices))


def _indices_in(val: Part, train: Part, chosen: list[int], parts: Parts) -> list[int]:
    """Return where the `chosen` classes of `train` are among those of `val`, by name: as it is, or whatever its case.

    Raises:
        UserError: a class is in one of them only.
    """
    if val.class_ids == train.class_ids:
        return chosen
    rank = {name: index for index, name in enumerate(val.class_ids)}
    folded = _unique([same_name(name) for name in val.class_ids])
    unique_in_train = _unique([same_name(name) for name in train.class_ids])
    index_of: dict[str, int] = {}
    for name in train.class_ids:
        index = rank.get(name)
        if index is None and same_name(name) in unique_in_train:
            index = folded.get(same_name(name))
        if index is not None:
            index_of[name] = index
    missing = [train.class_ids[index] for index in chosen if train.class_ids[index] not in index_of]
    strange = [name for index, name in enumerate(val.class_ids) if index not in index_of.values()]
    if missing or strange:
        raise UserError(
            f"{parts.source}: {train.place or 'train'} and {val.place or 'val'} have different classes:"
            f" {listed(sorted([*missing, *strange]))} in one only ({len(train.class_ids)} against"
            f" {len(val.class_ids)}); give both the same classes"
        )
    return [index_of[train.class_ids[index]] for index in chosen]


def _unique(names: list[str]) -> dict[str, int]:
    """Return the index of each name that is there once."""
    return {name: index for index, name in enumerate(names) if names.count(name) == 1}


def _require_disjoint_groups(parts: Parts, train: Part) -> None:
    """Raise `UserError` if a group, such as a patient, is in two splits."""
    if train.groups is None:
        return
    seen = set(train.groups.tolist())
    for name in ("val", "test"):
        groups = parts.part(name).groups if name in parts.places else None
        twice = sorted(seen & set(groups.tolist()) if groups is not None else ())
        if twice:
            raise UserError(
                f"{parts.source}: {len(twice):,} groups are in two splits, {listed(twice, 3)} in {name} and before it;"
                " expected each in one, since its images are alike"
            )
        seen |= set(groups.tolist()) if groups is not None else set()
