"""Frost textures to lay over images: the published ones, from a folder or downloaded, or generated ones."""

import dataclasses
import functools
import hashlib
from pathlib import Path

import numpy as np
from scipy import ndimage

from doublevit.download import Download, fetch
from doublevit.errors import UserError
from doublevit.files import read_bytes
from doublevit.image_files import BadImage, open_image

ADDRESS = "https://raw.githubusercontent.com/hendrycks/robustness/master/ImageNet-C/create_c/"
PUBLISHED = {
    "frost1.png": "6ead634ace1f366d77e87078b465863c",
    "frost2.png": "98f0d2b1d74a048d3bc9c7ecfd886939",
    "frost3.png": "b3ed8eb147824261888e730f916c0d8b",
    "frost4.jpg": "d70b9d6aa0b1fe7bd8133b113787e078",
    "frost5.jpg": "50984ae2c871b7df2c28f1d71ca460a0",
}
"""The md5 of each file. There is a sixth texture, which the published generator never draws."""
GENERATED = "generated textures"
GENERATED_SIZE = (360, 540)
ROOM = 1.5  # sides of the smallest texture, in those of an image that needs larger ones
DARK, LIGHT = np.array([85, 130, 150]), np.array([225, 232, 240])


@dataclasses.dataclass(frozen=True, eq=False)
class Textures:
    """Frost textures, uint8 (H, W, 3) of various sizes, and their name in results and reports."""

    name: str
    pictures: tuple[np.ndarray, ...]

    @functools.lru_cache(maxsize=4)  # noqa: B019  # a process makes one or two instances
    def scaled(self, scale: float) -> tuple[np.ndarray, ...]:
        """Return the pictures, resized by the factor `scale`."""
        return self.pictures if scale == 1 else tuple(_resize(picture, scale) for picture in self.pictures)

    def for_images(self, scale: float, height: int, width: int) -> tuple[np.ndarray, ...]:
        """Return the pictures resized by `scale` as published, or, where images are not smaller than those, by more.

        Crops of an image's size need room to move in every picture. Where there is none, all pictures are enlarged by
        the same factor, so that the image has two thirds of a side of the smallest, about as an image of 224 pixels
        has of the generated ones: ice keeps its size relative to the image. No published image is so large.
        """
        least = np.min([picture.shape[:2] for picture in self.scaled(scale)], axis=0)
        if height < least[0] and width < least[1]:
            return self.scaled(scale)
        return self.scaled(scale * max(ROOM * height / least[0], ROOM * width / least[1]))


def find(folder: Path | None, cache: Path, *, download: bool) -> Textures:
    """Return the textures in `folder`, or those downloaded into `cache`, now or earlier, or generated ones.

    Raises:
        UserError: a texture is missing from the folder, or cannot be read or downloaded.
    """
    downloads = cache / "downloads" / "frost"
    if folder is not None:
        return _load(folder)
    if download:
        for name, md5 in PUBLISHED.items():
            fetch(Download(ADDRESS + name, md5, name), downloads)
    if all((downloads / name).is_file() for name in PUBLISHED):
        return _load(downloads)
    return generated()


@functools.cache
def generated() -> Textures:
    """Generate textures like ice crystals, the same every time: ridges of smooth noise at several scales."""
    random = np.random.default_rng(0)
    pictures = []
    for _ in PUBLISHED:
        height = np.sum([_ridges(random, size) * size**0.5 for size in (24, 12, 6, 3, 1.5)], axis=0)
        dark, light = np.percentile(height, [2, 98])
        fraction = np.clip((height - dark) / (light - dark), 0, 1)
        pictures.append(np.rint(DARK + fraction[..., None] * (LIGHT - DARK)).astype(np.uint8))
    return Textures(GENERATED, tuple(pictures))


def _ridges(random: np.random.Generator, size: float) -> np.ndarray:
    noise = ndimage.gaussian_filter(random.standard_normal(GENERATED_SIZE, np.float32), size, mode="wrap")
    return (1 - np.abs(noise) / np.abs(noise).max()) ** 4


def _load(folder: Path) -> Textures:
    missing = [name for name in PUBLISHED if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder}: expected the frost textures {', '.join(PUBLISHED)}, found no {missing[0]}; pass the folder"
            " that holds them, or `download_frost_textures=True`"
        )
    sums = [hashlib.md5(read_bytes(folder / name), usedforsecurity=False).hexdigest() for name in PUBLISHED]
    # Other textures are named by their contents, not their path, so that results with them can be found again.
    digest = hashlib.md5(repr(sums).encode(), usedforsecurity=False).hexdigest()[:8]
    name = "published textures" if sums == list(PUBLISHED.values()) else f"textures {digest} from {folder.name}"
    return Textures(name, tuple(_read(folder / file) for file in PUBLISHED))


def _read(path: Path) -> np.ndarray:
    try:
        with open_image(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, BadImage) as error:
        raise UserError(f"{path} is no readable picture ({error}); expected a frost texture") from error


def _resize(picture: np.ndarray, scale: float) -> np.ndarray:
    """Resize uint8 (H, W, 3) bilinearly, in OpenCV's integer arithmetic; sides are rounded."""
    (top, bottom, down), (left, right, across) = (_neighbors(side, scale) for side in picture.shape[:2])
    wide = picture.astype(np.int64)
    rows = wide[:, left] * across[0][:, None] + wide[:, right] * across[1][:, None]
    upper, lower = (rows[which] >> 4 for which in (top, bottom))
    total = (upper * down[0][:, None, None] >> 16) + (lower * down[1][:, None, None] >> 16)
    return ((total + 2) >> 2).astype(np.uint8)


def _neighbors(side: int, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the two old pixels around each new pixel of an axis, (n,) each, and their weights times 2048, (2, n)."""
    positions = np.clip((np.arange(round(side * scale)) + 0.5) / scale - 0.5, 0, side - 1)
    first = positions.astype(int)
    fraction = (positions - first).astype(np.float32)
    weights = np.rint(np.stack([1 - fraction, fraction]) * 2048).astype(np.int64)
    return first, np.minimum(first + 1, side - 1), weights
