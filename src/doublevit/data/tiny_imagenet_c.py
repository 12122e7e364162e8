"""Tiny-ImageNet-C as published: `<corruption>/<severity>/<wnid>/test_N.JPEG`, in a folder or in a tar; and ImageNet-C.

Tiny-ImageNet-C's images are crops other than those of Tiny ImageNet's val images (hendrycks/robustness, issue 39), so
accuracy on val is no matched clean reference. ImageNet-C (Zenodo 2235448) has ImageNet's validation images by their own
names, cut to 224 pixels, in folders of corruptions or of the archives that these came in (blur, noise ...).
"""

import collections
import dataclasses
import functools
from pathlib import Path

import numpy as np

from doublevit.data.archive import Files, FolderFiles, SeveralTars, TarFiles
from doublevit.data.decode import BadImage, decode_jpeg
from doublevit.data.identity import Cell
from doublevit.data.names import natural_key
from doublevit.download import Download, fetch
from doublevit.errors import UserError
from doublevit.images import LazyImages

REPAIRED = "https://zenodo.org/records/8206060/files/"
COMMON_ARCHIVE = Download(f"{REPAIRED}Tiny-ImageNet-C.tar", "f9c9a9dbdc11469f0b850190f7ad8be1", "Tiny-ImageNet-C.tar")
VALIDATION_ARCHIVE = Download(
    f"{REPAIRED}Tiny-ImageNet-C-extra.tar", "0db0588d243cf403ef93449ec52b70eb", "Tiny-ImageNet-C-extra.tar"
)
SEVERITY_FOLDERS = ("1", "2", "3", "4", "5")
ARCHIVES = ("blur", "digital", "extra", "noise", "weather")
"""ImageNet-C's archives, which are tars, or one folder each where they were unpacked apart."""
IMAGENET_NAMES, IMAGENET_SIDE = "ILSVRC2012_val_", (224, 224)
IMAGE_NAMES = (".jpeg", ".jpg", ".png")


@dataclasses.dataclass(frozen=True, eq=False)
class EncodedImages(LazyImages):
    """The images `names` of the `files` at `path`, decoded on indexing; `side` is their (height, width).

    Raises:
        UserError: on indexing, if an image cannot be read or has another size.
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
            if image.shape != self.shape[1:]:
                (height, width), (image_height, image_width, _) = self.side, image.shape
                raise BadImage(f"expected {width} x {height} pixels, found {image_width} x {image_height}")
            return image
        except (BadImage, OSError, MemoryError, UserError) as error:
            raise UserError(f"{self.path}: cannot read {name} ({error}); fetch or make the set again") from error


@dataclasses.dataclass(frozen=True)
class PublishedFiles:
    """The files of a corrupted set: for each cell the file names, ordered by number, so alike in every cell."""

    path: Path
    files: Files
    cells: dict[Cell, list[str]]

    @functools.cached_property
    def is_imagenet_c(self) -> bool:
        """Whether the images are ImageNet-C's, by their names."""
        return next(iter(self.cells.values()))[0].rpartition("/")[2].startswith(IMAGENET_NAMES)

    @property
    def name(self) -> str:
        """What the set is called."""
        return "ImageNet-C" if self.is_imagenet_c else "Tiny-ImageNet-C"

    @functools.cached_property
    def class_ids(self) -> tuple[str, ...]:
        """The most frequent set of classes among the cells, sorted."""
        counts = collections.Counter(frozenset(map(class_of, names)) for names in self.cells.values())
        return tuple(sorted(counts.most_common(1)[0][0]))

    @functools.cached_property
    def side(self) -> tuple[int, ...]:
        """(height, width) of the first image.

        Raises:
            UserError: that image cannot be read.
        """
        name = next(iter(self.cells.values()))[0]
        try:
            return decode_jpeg(self.files.read(name)).shape[:2]
        except BadImage as error:
            raise UserError(f"{self.path}: cannot read {name} ({error}); fetch or make the set again") from error

    def images(self, cell: Cell, side: tuple[int, ...], count: int | None = None) -> EncodedImages:
        """Return the images of a cell, or the first `count` of them; `side` is their (height, width)."""
        return EncodedImages(self.path, self.files, self.cells[cell][:count], side)

    def labels(self, cell: Cell, class_ids: tuple[str, ...]) -> np.ndarray:
        """Return the labels of a cell's images, int64 (N,): indices into `class_ids`, which must hold all classes."""
        rank = {class_id: label for label, class_id in enumerate(class_ids)}
        return np.array([rank[class_of(name)] for name in self.cells[cell]], dtype=np.int64)


def open_published(path: Path, cache: Path | None = None) -> PublishedFiles:
    """List the set in a folder (or in its parent), in a tar, or in a folder of ImageNet-C's tars.

    With a `cache`, the index of each tar is saved there.

    Raises:
        UserError: the path is missing, has another layout, or holds more than one set.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: expected Tiny-ImageNet-C, as a folder or as its tar, or ImageNet-C")
    files = _files(path, cache)
    cells: dict[Cell, list[str]] = collections.defaultdict(list)
    roots = set()
    for name in files.names:
        parts = name.split("/")
        if len(parts) >= 4 and parts[-3] in SEVERITY_FOLDERS and name.lower().endswith(IMAGE_NAMES):
            cells[parts[-4], int(parts[-3])].append(name)
            roots.add("/".join(parts[: -5 if parts[-5:-4] and parts[-5] in ARCHIVES else -4]))
    if len(roots) != 1:
        found = (
            f"{len(files.names)} other files" if not roots else f"sets in {' and '.join(sorted(roots)[:2])}; pass one"
        )
        raise UserError(f"{path}: expected one Tiny-ImageNet-C, <corruption>/<severity>/<class>/<image>, found {found}")
    for names in cells.values():
        names.sort(key=lambda name: (*natural_key(name.rpartition("/")[2]), name))
    return PublishedFiles(path, files, dict(cells))


def _files(path: Path, cache: Path | None) -> Files:
    """List what a folder or tar holds; of a folder with tars named as ImageNet-C's and no image, what is in these."""
    if not path.is_dir():
        return TarFiles(path, cache)
    tars = [path / f"{name}.tar" for name in ARCHIVES if (path / f"{name}.tar").is_file()]
    files = FolderFiles(path)
    if tars and not any(name.lower().endswith(IMAGE_NAMES) for name in files.ordered):
        return SeveralTars(tars, cache)
    return files


def fetch_published(cache: Path, *, validation: bool) -> Path:
    """Return the repaired archive (Zenodo 8206060), fetched if need be: the common or the `validation` corruptions."""
    return fetch(VALIDATION_ARCHIVE if validation else COMMON_ARCHIVE, cache / "downloads")


def class_of(name: str) -> str:
    """Return the class of an image: the folder that it lies in."""
    return name.split("/")[-2]
