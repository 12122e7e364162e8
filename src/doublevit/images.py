"""Arrays of images, in memory or made on demand, and regions of them."""

import zlib
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

CHUNK = 256  # images that are looked at together


class Images(Protocol):
    """The interface of images, uint8 (N, H, W, 3), that arrays and `LazyImages` share."""

    @property
    def dtype(self) -> np.dtype: ...

    @property
    def ndim(self) -> int: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray: ...


class Region(NamedTuple):
    """A region of an image in pixels, which becomes a square of `side` pixels by "bilinear" or "bicubic"."""

    top: int
    left: int
    height: int
    width: int
    side: int
    interpolation: str


class Regions(NamedTuple):
    """A region of each of n images: `boxes` int64 (n, 4) are top, left, height and width, the rest as in `Region`."""

    boxes: np.ndarray
    side: int
    interpolation: str

    def of_image(self, position: int) -> Region:
        """Return the region of one of the images."""
        top, left, height, width = self.boxes[position].tolist()
        return Region(top, left, height, width, self.side, self.interpolation)


def chunks(images: Images, length: int) -> Iterator[np.ndarray]:
    """Yield all images in order, at most `length` at a time."""
    for start in range(0, len(images), length):
        yield images[np.arange(start, min(start + length, len(images)))]


def checksums(images: Images) -> np.ndarray:
    """Return the CRC-32 of each image, int64 (N,)."""
    if isinstance(images, LazyImages) and (known := images.checksums()) is not None:
        return known
    return np.array([zlib.crc32(image.tobytes()) for chunk in chunks(images, CHUNK) for image in chunk], np.int64)


class LazyImages:
    """Images uint8 (N, H, W, 3) that are made when the first axis is indexed; subclasses define `shape` and `make`."""

    dtype = np.dtype(np.uint8)
    ndim = 4

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, 3)."""
        raise NotImplementedError

    def make(self, indices: np.ndarray) -> np.ndarray:
        """Make the images at `indices` (n,): uint8 (n, H, W, 3)."""
        raise NotImplementedError

    def part(self, indices: np.ndarray) -> Images:
        """Return the images at `indices` (n,) as images of their own: made now, if not overridden."""
        return self.make(indices)

    def checksums(self, margin: int = 0) -> np.ndarray | None:
        """Return the CRC-32 of each image without its margin, int64 (N,), where it is known without making them."""
        return None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: np.ndarray | slice | int) -> np.ndarray:
        indices = np.arange(len(self))[key]
        return self.make(indices) if np.ndim(indices) else self.make(indices[None])[0]


class WithoutMargin(LazyImages):
    """The middle of images, without `margin` pixels on each side."""

    def __init__(self, images: Images, margin: int) -> None:
        self._images, self._margin = images, margin

    @property
    def shape(self) -> tuple[int, ...]:
        count, height, width, channels = self._images.shape
        return count, height - 2 * self._margin, width - 2 * self._margin, channels

    def checksums(self, margin: int = 0) -> np.ndarray | None:
        return self._images.checksums(self._margin + margin) if isinstance(self._images, LazyImages) else None

    def make(self, indices: np.ndarray) -> np.ndarray:
        inner = slice(self._margin, -self._margin or None)
        return np.ascontiguousarray(self._images[indices][:, inner, inner])
