"""Tiny-ImageNet-C as published: `<corruption>/<severity>/<wnid>/test_N.JPEG`, in a folder or in a tar.

Its photos are other crops than Tiny ImageNet's val photos (hendrycks/robustness, issue 39): accuracy on val is no
matched clean reference.
"""

import collections
import dataclasses
import functools
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from doublevit.data.archive import Files, FolderFiles, natural
from doublevit.data.decode import BadImage, decode_jpeg
from doublevit.data.tar import TarFiles
from doublevit.download import Download, fetch
from doublevit.errors import UserError

REPAIRED = "https://zenodo.org/records/8206060/files/"
COMMON = Download(f"{REPAIRED}Tiny-ImageNet-C.tar", "f9c9a9dbdc11469f0b850190f7ad8be1", "Tiny-ImageNet-C.tar")
EXTRA = Download(
    f"{REPAIRED}Tiny-ImageNet-C-extra.tar", "0db0588d243cf403ef93449ec52b70eb", "Tiny-ImageNet-C-extra.tar"
)
SEVERITIES = ("1", "2", "3", "4", "5")
WHOLE, WHOLE_CLASSES = 10_000, 200
IMAGE_NAMES = (".jpeg", ".jpg", ".png")

Cell = tuple[str, int]
"""Corruption and severity."""


@dataclasses.dataclass(frozen=True)
class PublishedFiles:
    """The files of a corrupted set by cell: file names in the order of their numbers, the same in every cell."""

    path: Path
    files: Files
    cells: dict[Cell, list[str]]

    @functools.cached_property
    def class_ids(self) -> tuple[str, ...]:
        """The classes of most cells, sorted."""
        found = collections.Counter(frozenset(map(_class_of, names)) for names in self.cells.values())
        return tuple(sorted(found.most_common(1)[0][0]))

    @functools.cached_property
    def side(self) -> tuple[int, ...]:
        """(height, width) of the first photo.

        Raises:
            UserError: it cannot be read.
        """
        name = next(iter(self.cells.values()))[0]
        try:
            return decode_jpeg(self.files.read(name)).shape[:2]
        except BadImage as error:
            raise UserError(f"{self.path}: cannot read {name} ({error}); fetch or make the set again") from error

    def problems(self, cells: Iterable[Cell], class_ids: Iterable[str], count: int | None = None) -> list[str]:
        """What is wrong with the asked-for cells, a line each, with what to do; empty where all is as it should be.

        `count` is how many photos a cell should have; if not given, 10,000 of 200 classes, or as many as most have.
        """
        class_ids = frozenset(class_ids)
        usual = collections.Counter(map(_photos, self.cells.values())).most_common(1)[0][0]
        count = count or (WHOLE if len(class_ids) == WHOLE_CLASSES else len(usual))
        lines = [_problem(key, self.cells.get(key, []), usual, class_ids, count) for key in cells]
        return [f"{self.path}: {line}" for line in lines if line]

    def images(self, cell: Cell, side: tuple[int, ...], count: int | None = None) -> "EncodedImages":
        """A cell's photos, or the first `count` of them; `side` is their (height, width)."""
        return EncodedImages(self.path, self.files, self.cells[cell][:count], side)

    def labels(self, cell: Cell, class_ids: tuple[str, ...]) -> np.ndarray:
        """Ranks of the photos' classes in `class_ids`, int64 (N,)."""
        rank = {class_id: label for label, class_id in enumerate(class_ids)}
        return np.array([rank[_class_of(name)] for name in self.cells[cell]], dtype=np.int64)


@dataclasses.dataclass(frozen=True, eq=False)
class EncodedImages:
    """As good as an array uint8 (N, H, W, 3) that is indexed by its first axis: photos are decoded when looked at.

    Raises:
        UserError: on indexing, if a photo cannot be read, or has another size.
    """

    path: Path
    files: Files
    names: list[str]
    side: tuple[int, ...]
    dtype = np.dtype(np.uint8)
    ndim = 4

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, 3)."""
        return len(self.names), *self.side, 3

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, which: np.ndarray | slice) -> np.ndarray:
        indices = np.arange(len(self))[which]
        images = np.empty((len(indices), *self.side, 3), np.uint8)
        for image, index in zip(images, indices.tolist(), strict=True):
            image[:] = self._decode(self.names[index])
        return images

    def _decode(self, name: str) -> np.ndarray:
        try:
            image = decode_jpeg(self.files.read(name))
            (height, width), found = self.side, image.shape
            if found != self.shape[1:]:
                raise BadImage(f"expected {width} x {height} pixels, found {found[1]} x {found[0]}")
            return image
        except (BadImage, OSError, UserError) as error:
            raise UserError(f"{self.path}: cannot read {name} ({error}); fetch or make the set again") from error


def open_published(path: Path) -> PublishedFiles:
    """The set in a folder (or its parent) or tar.

    Raises:
        UserError: nothing is there, or it is laid out otherwise.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: expected Tiny-ImageNet-C, as a folder or as its tar")
    files: Files = FolderFiles(path) if path.is_dir() else TarFiles(path)
    cells: dict[Cell, list[str]] = collections.defaultdict(list)
    for name in files.names:
        parts = name.split("/")
        if len(parts) >= 4 and parts[-3] in SEVERITIES and name.lower().endswith(IMAGE_NAMES):
            cells[parts[-4], int(parts[-3])].append(name)
    if not cells:
        raise UserError(
            f"{path} is no Tiny-ImageNet-C: expected <corruption>/<severity>/<class>/<photo>, found"
            f" {len(files.names)} other files"
        )
    for names in cells.values():
        names.sort(key=lambda name: (*natural(name.rpartition("/")[2]), name))
    return PublishedFiles(path, files, dict(cells))


def fetch_published(cache: Path, *, extra: bool) -> Path:
    """The repaired archive (Zenodo 8206060), downloaded now or before: that of the fifteen, or of the `extra` four."""
    return fetch(EXTRA if extra else COMMON, cache / "downloads")


def _problem(key: Cell, names: list[str], usual: frozenset[str], class_ids: frozenset[str], count: int) -> str:
    """What is wrong with a cell, in one line, or nothing."""
    found, photos = {_class_of(name) for name in names}, _photos(names)
    strange, absent, other = found - class_ids, class_ids - found, photos - usual
    defect = " (the archive of Zenodo 2536630 has this defect in frost)" if len(found) == 1000 else ""
    checks = (
        (not names, "is missing"),
        (
            strange,
            f"holds {len(found):,} classes, {min(strange, default='')} among them, expected {len(class_ids)}{defect}",
        ),
        (absent, f"lacks {len(absent)} of {len(class_ids)} classes, {min(absent, default='')} first"),
        (len(photos) != count, f"holds {len(photos):,} photos, expected {count:,}"),
        (other, f"holds other photos than most cells, {min(other, default='')} among them"),
    )
    wrong = next((text for is_wrong, text in checks if is_wrong), "")
    return (
        f"{key[0]}/{key[1]} {wrong}; fetch the repaired archive (Zenodo 8206060) or make the set again" if wrong else ""
    )


def _photos(names: Iterable[str]) -> frozenset[str]:
    """Class and file of each name, without the folders above."""
    return frozenset("/".join(name.split("/")[-2:]).rpartition(".")[0] for name in names)


def _class_of(name: str) -> str:
    return name.split("/")[-2]
