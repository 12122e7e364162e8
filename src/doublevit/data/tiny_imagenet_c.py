"""Tiny-ImageNet-C as published: `<corruption>/<severity>/<wnid>/test_N.JPEG`, in a folder or in a tar.

Its images are other crops than Tiny ImageNet's val images (hendrycks/robustness, issue 39): accuracy on val is no
matched clean reference.
"""

import collections
import dataclasses
import functools
from pathlib import Path

import numpy as np

from doublevit.data.archive import Files, FolderFiles, TarFiles, natural
from doublevit.data.decode import BadImage, decode_jpeg
from doublevit.data.identity import Cell
from doublevit.download import Download, fetch
from doublevit.errors import UserError
from doublevit.images import MadeOnDemand

REPAIRED = "https://zenodo.org/records/8206060/files/"
FIFTEEN = Download(f"{REPAIRED}Tiny-ImageNet-C.tar", "f9c9a9dbdc11469f0b850190f7ad8be1", "Tiny-ImageNet-C.tar")
FOUR = Download(f"{REPAIRED}Tiny-ImageNet-C-extra.tar", "0db0588d243cf403ef93449ec52b70eb", "Tiny-ImageNet-C-extra.tar")
LEVELS = ("1", "2", "3", "4", "5")
IMAGE_NAMES = (".jpeg", ".jpg", ".png")


@dataclasses.dataclass(frozen=True, eq=False)
class EncodedImages(MadeOnDemand):
    """The images `names` in `files`, which lie at `path`; `side` is their (height, width).

    Raises:
        UserError: on indexing, if an image cannot be read, or has another size.
    """

    path: Path
    files: Files
    names: list[str]
    side: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.names), *self.side, 3

    def make(self, indices: np.ndarray) -> np.ndarray:
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
        except (BadImage, OSError, MemoryError, UserError) as error:
            raise UserError(f"{self.path}: cannot read {name} ({error}); fetch or make the set again") from error


@dataclasses.dataclass(frozen=True)
class PublishedFiles:
    """The files of a corrupted set by cell: file names in the order of their numbers, the same in every cell."""

    path: Path
    files: Files
    cells: dict[Cell, list[str]]

    @functools.cached_property
    def class_ids(self) -> tuple[str, ...]:
        """The classes of most cells, sorted."""
        found = collections.Counter(frozenset(map(class_of, names)) for names in self.cells.values())
        return tuple(sorted(found.most_common(1)[0][0]))

    @functools.cached_property
    def side(self) -> tuple[int, ...]:
        """(height, width) of the first image.

        Raises:
            UserError: it cannot be read.
        """
        name = next(iter(self.cells.values()))[0]
        try:
            return decode_jpeg(self.files.read(name)).shape[:2]
        except BadImage as error:
            raise UserError(f"{self.path}: cannot read {name} ({error}); fetch or make the set again") from error

    def images(self, cell: Cell, side: tuple[int, ...], count: int | None = None) -> EncodedImages:
        """A cell's images, or the first `count` of them; `side` is their (height, width)."""
        return EncodedImages(self.path, self.files, self.cells[cell][:count], side)

    def labels(self, cell: Cell, class_ids: tuple[str, ...]) -> np.ndarray:
        """Ranks of the images' classes in `class_ids`, which has them all: int64 (N,)."""
        rank = {class_id: label for label, class_id in enumerate(class_ids)}
        return np.array([rank[class_of(name)] for name in self.cells[cell]], dtype=np.int64)


def open_published(path: Path) -> PublishedFiles:
    """The set in a folder (or its parent) or tar.

    Raises:
        UserError: nothing is there, it is laid out otherwise, or there is more than one set.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: expected Tiny-ImageNet-C, as a folder or as its tar")
    files: Files = FolderFiles(path) if path.is_dir() else TarFiles(path)
    cells: dict[Cell, list[str]] = collections.defaultdict(list)
    roots = set()
    for name in files.names:
        parts = name.split("/")
        if len(parts) >= 4 and parts[-3] in LEVELS and name.lower().endswith(IMAGE_NAMES):
            cells[parts[-4], int(parts[-3])].append(name)
            roots.add("/".join(parts[:-4]))
    if len(roots) != 1:
        found = (
            f"{len(files.names)} other files" if not roots else f"sets in {' and '.join(sorted(roots)[:2])}; pass one"
        )
        raise UserError(f"{path}: expected one Tiny-ImageNet-C, <corruption>/<severity>/<class>/<image>, found {found}")
    for names in cells.values():
        names.sort(key=lambda name: (*natural(name.rpartition("/")[2]), name))
    return PublishedFiles(path, files, dict(cells))


def fetch_published(cache: Path, *, four: bool) -> Path:
    """The repaired archive (Zenodo 8206060), downloaded now or before: that of the fifteen, or of the other `four`."""
    return fetch(FOUR if four else FIFTEEN, cache / "downloads")


def class_of(name: str) -> str:
    """The folder that an image lies in."""
    return name.split("/")[-2]
