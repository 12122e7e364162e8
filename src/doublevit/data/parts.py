"""What a source holds before it is decoded: parts (train, val, test ...) of files with labels.

Training and evaluation read every source by the same function, and so mean the same by `--data PATH`.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from doublevit.data.listing import Entries
from doublevit.data.names import composed, listed, natural_key, printable, split_of
from doublevit.errors import UserError

WHOLE = ""
"""The name of the only part of a source that has no split."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a source: N file `names`, and their `labels`, int64 (N,), indices into `class_ids`.

    `source` names it for people, and `place` says what it is called in its source; `fingerprint` changes with its
    files; `groups` (N,), where there are any, are what must not be in two splits, such as patients; `notes` are what
    the user should know of how it was read.
    """

    names: list[str]
    labels: np.ndarray
    class_ids: tuple[str, ...]
    source: str
    place: str
    fingerprint: str
    groups: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @property
    def entries(self) -> Entries:
        """The files with their labels, to be decoded."""
        return Entries(self.names, self.labels)

    @property
    def counts(self) -> np.ndarray:
        """How many files each class has, int64 (classes,)."""
        return np.bincount(self.labels, minlength=len(self.class_ids))

    def keep(self, mask: np.ndarray) -> "Part":
        """Return the files where `mask`, bool (N,), is true; classes stay as they are."""
        names = [self.names[index] for index in np.flatnonzero(mask).tolist()]
        groups = None if self.groups is None else self.groups[mask]
        return dataclasses.replace(self, names=names, labels=self.labels[mask], groups=groups)

    def with_classes(self, indices: list[int], class_ids: tuple[str, ...]) -> "Part":
        """Return the files of some classes; class `indices[k]` of now becomes class k, `class_ids[k]`."""
        renamed = np.full(len(self.class_ids), -1, dtype=np.int64)
        renamed[indices] = np.arange(len(indices))
        labels = renamed[self.labels]
        chosen = self.keep(labels >= 0)
        return dataclasses.replace(chosen, labels=labels[labels >= 0], class_ids=class_ids)


@dataclasses.dataclass(frozen=True)
class Parts:
    """A source of labeled files.

    `name` is a plain name for its store, and `source` one for people. `places` says what each part is called there, by
    "train", "val", "test", names of its own, or `WHOLE`; `part` lists the files of one of them, or raises `UserError`;
    `read` returns the bytes of a file by its name, from several threads at once; `hashed` is what of a file's name a
    random split depends on, besides the contents; `version`, of files that lie by themselves, is a text that changes
    with the contents (place, size, time of the last change), by the name; `nested` are names of more parts, which are
    no splits.
    """

    name: str
    source: str
    places: Mapping[str, str]
    part: Callable[[str], Part]
    read: Callable[[str], bytes]
    hashed: Callable[[str], str]
    version: Callable[[str], str] | None = None
    notes: tuple[str, ...] = ()
    nested: frozenset[str] = frozenset()

    def to_evaluate(self, split: str = "") -> Part:
        """List the part that `split` names, or the one to evaluate on: val, test, or all there is.

        Raises:
            UserError: there is no such part, or it cannot be listed.
        """
        if split:
            return self.part(self._named(split))
        name = next((name for name in ("val", "test", WHOLE, "train") if name in self.places), None)
        if name is None:
            raise UserError(f"{self.source}: expected `split`, one of {listed(self.places)}")
        return self.part(name)

    def _named(self, split: str) -> str:
        as_called = next((name for name, place in self.places.items() if place.rstrip("/") == split.rstrip("/")), split)
        if as_called in self.nested:
            return as_called
        name = as_called if as_called in self.places else split_of(split)
        if name in ("val", "test") and name not in self.places and "train" in self.places:
            other = {"val": "test", "test": "val"}[name]
            if other in self.places:
                raise UserError(f"{self.source} has no {name}: `split` {split}; pass `split` {other}")
        if name is None or name not in self.places:
            there = listed(filter(None, self.places)) or "no split"
            raise UserError(f"`split` {split}: expected a part of {self.source}, found {there}")
        return name


def require_images(part: Part) -> Part:
    """Return the part, if every class has an image and there are two classes at least.

    Raises:
        UserError: so it is not.
    """
    counts = part.counts
    if not counts.all():
        empty = printable(part.class_ids[int(counts.argmin())])
        raise UserError(f"{part.source}: class {empty} holds no image: add images of the class or remove it")
    if len(counts) < 2:
        found = f"one class ({printable(part.class_ids[0])})" if len(counts) else "no image"
        raise UserError(f"{part.source}: expected at least two classes, found {found}")
    return part


def numbered(labels: list[str], source: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return labels that are text as indices, int64 (N,), into the classes, which are in natural order and printable.

    Raises:
        UserError: two labels of the `source` are one for people, as `require_different` says.
    """
    names = sorted(set(labels), key=natural_key)
    require_different(names, source)
    rank = {name: index for index, name in enumerate(names)}
    return np.array([rank[label] for label in labels], dtype=np.int64), tuple(map(printable, names))


def require_different(names: Iterable[str], source: str) -> None:
    """Raise `UserError` if two names of classes are one for people.

    So are é in one piece and as e with an accent, 1 and 1.0, a newline and what it is printed as.
    """
    meant: dict[str, str] = {}
    for name in names:
        number = name.removesuffix(".0")
        shown = number if number.isdecimal() else composed(printable(name))
        other = meant.setdefault(shown, name)
        if other != name:
            raise UserError(
                f"{source}: two classes named {shown}, written {other!a} and {name!a}: expected one name for each class"
            )
