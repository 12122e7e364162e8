"""Images that are stored encoded and decoded, a batch at a time, in threads."""

import dataclasses
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np

from doublevit.data.decode import BadImage
from doublevit.errors import UserError
from doublevit.images import LazyImages, Region, Regions

Decode = Callable[[bytes, Region | None], np.ndarray]
"""Turns the bytes of a file into its square, or into a region of that."""

Kind = Literal["encoded", "none"]
"""The kinds of store from which images are decoded in every epoch."""


@dataclasses.dataclass(frozen=True, eq=False)
class StoredImages(LazyImages):
    """Images that are read and decoded as they are indexed.

    `rows` int64 (N,) are their places in the store; `read` returns the bytes at one of them, `decode` turns these into
    uint8 (side, side, 3), or into a region of that. `crc32` uint32 (N,) are the checksums of the images as they are
    decoded exactly, and `inner_crc32` those without the `margin` that they have; `kind` is that of the store.

    Raises:
        UserError: on indexing, if an image can no longer be read.
    """

    rows: np.ndarray
    side: int
    read: Callable[[int], bytes]
    decode: Decode
    crc32: np.ndarray
    inner_crc32: np.ndarray
    margin: int
    threads: int
    kind: Kind

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.rows), self.side, self.side, 3

    def make(self, indices: np.ndarray) -> np.ndarray:
        return self._decoded(self.rows[indices].tolist(), self.side, None)

    def make_regions(self, indices: np.ndarray, regions: Regions) -> np.ndarray:
        """Make the regions of the images at `indices` (n,): uint8 (n, side, side, 3), of the regions' side."""
        return self._decoded(self.rows[indices].tolist(), regions.side, regions)

    def _decoded(self, rows: list[int], side: int, regions: Regions | None) -> np.ndarray:
        images = np.empty((len(rows), side, side, 3), np.uint8)
        parts = np.array_split(np.arange(len(rows)), max(1, min(len(rows), 2 * self.threads)))

        def fill(positions: np.ndarray) -> None:
            for position in positions.tolist():
                region = None if regions is None else regions.of_image(position)
                images[position] = self._image(rows[position], region)

        for _ in _pool(self.threads).map(fill, parts):
            pass  # its error is raised here
        return images

    def part(self, indices: np.ndarray) -> "StoredImages":
        return dataclasses.replace(
            self, rows=self.rows[indices], crc32=self.crc32[indices], inner_crc32=self.inner_crc32[indices]
        )

    def checksums(self, margin: int = 0) -> np.ndarray | None:
        known = {self.margin: self.inner_crc32, 0: self.crc32}.get(margin)
        return None if known is None else known.astype(np.int64)

    def _image(self, row: int, region: Region | None) -> np.ndarray:
        try:
            return self.decode(self.read(row), region)
        except (BadImage, OSError) as error:
            raise UserError(f"image {row:,} can no longer be read ({error}); prepare the data again") from error


def decode_whole(data: bytes, region: Region | None = None, *, exact: Callable[[bytes], np.ndarray]) -> np.ndarray:
    """Return what `exact` decodes, uint8 (S, S, 3), or a region of it, resized.

    Raises:
        BadImage: as `exact`.
    """
    square = exact(data)
    if region is None:
        return square
    from doublevit.regions import resize  # which needs torch

    part = square[region.top : region.top + region.height, region.left : region.left + region.width]
    return resize(part, (region.side, region.side), region.interpolation)


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Return the threads that all stores share."""
    return ThreadPoolExecutor(threads, thread_name_prefix="decode")
