"""The files of a source as they are checked: every split that it has, or the two that training would draw."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from doublevit.data import LISTINGS, READERS, read_parts
from doublevit.data.config import DataConfig
from doublevit.data.names import natural_key, printable, same_name
from doublevit.data.parts import WHOLE, Part, Parts, require_images
from doublevit.data.split import draw_val
from doublevit.errors import UserError, first_line, unknown

ALL = "all"
"""The name of the only split of a source whose images cannot be split."""


@dataclasses.dataclass(frozen=True)
class Source:
    """N files of a source: `names`, `labels` int64 (N,) into `class_ids`, `splits` int64 (N,) into `split_names`.

    `read` returns the bytes of a file; `side` is what height and width of every image must be, if there is such a rule;
    `drawn` says that val was drawn from the training images, as training draws it.
    """

    name: str
    names: list[str]
    labels: np.ndarray
    splits: np.ndarray
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    split_names: tuple[str, ...]
    read: Callable[[str], bytes]
    side: int | None = None
    drawn: bool = False
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def class_of(self, index: int) -> str:
        """Return the name of the class of a file."""
        return self.class_names[self.labels[index]]

    def split_of(self, index: int) -> str:
        """Return the name of the split of a file."""
        return self.split_names[self.splits[index]]


def open_source(config: DataConfig) -> Source:
    """List the files of a source of any kind.

    Raises:
        UserError: the source is missing, embedded, laid out otherwise, or holds no file.
    """
    if config.source not in LISTINGS:
        raise unknown("source of image files", config.source, LISTINGS)
    source = _of_parts(read_parts(config), config) if config.source in READERS else _of_listing(config)
    if not len(source):
        raise UserError(f"{source.name}: expected images, found none")
    return source


def _of_listing(config: DataConfig) -> Source:
    listing = LISTINGS[config.source](config)
    entries = listing.splits.values()
    return Source(
        name=listing.source,
        names=[name for each in entries for name in each.names],
        labels=np.concatenate([each.labels for each in entries]),
        splits=np.repeat(np.arange(len(entries)), [len(each.names) for each in entries]),
        class_ids=listing.class_ids,
        class_names=listing.class_names,
        split_names=tuple(listing.splits),
        read=listing.read,
        side=listing.side,
        notes=listing.notes,
    )


def _of_parts(parts: Parts, config: DataConfig) -> Source:
    listed, drawn, more = _listed(parts, config)
    class_ids, labels = _common_classes(list(listed.values()))
    return Source(
        name=parts.source,
        names=[name for part in listed.values() for name in part.names],
        labels=labels,
        splits=np.repeat(np.arange(len(listed)), [len(part.names) for part in listed.values()]),
        class_ids=class_ids,
        class_names=tuple(map(printable, class_ids)),
        split_names=tuple(listed),
        read=parts.read,
        drawn=drawn,
        notes=(*parts.notes, *dict.fromkeys(note for part in listed.values() for note in part.notes), *more),
    )


def _listed(parts: Parts, config: DataConfig) -> tuple[Mapping[str, Part], bool, list[str]]:
    """Return the parts by name, whether val was drawn, and what to say of that."""
    listed = {name: parts.part(name) for name in parts.places}
    whole = next((name for name in ("train", WHOLE) if name in listed), None)
    if whole is None or "val" in listed or "test" in listed:
        return {name or ALL: part for name, part in listed.items()}, False, []
    try:
        train, val = draw_val(require_images(listed[whole]), parts, config)
    except (UserError, OSError) as error:
        renamed = {name or ALL: part for name, part in listed.items()}
        return renamed, False, [f"no validation images could be drawn: {first_line(error)}"]
    others = {name: part for name, part in listed.items() if name != whole}
    return {"train": train, "val": val, **others}, True, [f"val was drawn by `data.split_seed` {config.split_seed}"]


def _common_classes(listed: list[Part]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the classes of all parts, matched by name whatever its case, and all labels as indices of them."""
    names: dict[str, str] = {}
    for part in listed:
        own = set(map(same_name, part.class_ids))
        alone = len(own) == len(part.class_ids)  # two classes of one part that differ in case are two
        for name in part.class_ids:
            names.setdefault(same_name(name) if alone else name, name)
    class_ids = tuple(sorted(dict.fromkeys(names.values()), key=natural_key))
    rank = {name: index for index, name in enumerate(class_ids)}
    labels = [
        np.array([rank[names.get(name) or names[same_name(name)]] for name in part.class_ids], np.int64)[part.labels]
        for part in listed
    ]
    return class_ids, np.concatenate(labels)
