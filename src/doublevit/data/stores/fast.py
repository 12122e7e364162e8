"""Quick decoding for training, where an image is decoded anew in every epoch and augmented at once.

Two things differ from the exact way: JPEG files are decoded at half, a quarter or an eighth of their size where that
leaves enough (their transform gives these sizes for less than the whole), and torch resizes bytes by Pillow's weights
at several times Pillow's speed, within a few levels of it.
"""

import threading
from collections.abc import Callable

import numpy as np
import simplejpeg

from doublevit.data.decode import JPEG_START, SAME_AS_PILLOW, may_be_turned
from doublevit.data.stores.images import decode_whole
from doublevit.geometry import Window
from doublevit.images import Region
from doublevit.regions import resize

SPARE = 2.0  # an image is decoded no smaller than this many times what it is resized to
FACTORS = (8, 4, 2)
MAX_PIXELS = 1 << 26  # of what is handled here; larger ones are rare, and may be refused

Exact = Callable[[bytes], np.ndarray]
Plan = Callable[[int, int], Window]


def decode_fast(data: bytes, region: Region | None = None, *, plan: Plan, exact: Exact) -> np.ndarray:
    """Return what `exact` does, uint8 (S, S, 3), to within a few levels; what is no plain JPEG is left to `exact`.

    Of a `region` of that square the file's own pixels are taken, so that a small one is sharper than cut out of it.

    Raises:
        BadImage: as `exact`.
    """
    header = _header(data)
    window = plan(*header) if header else None
    if header is None or window is None or not window.is_inside or window.height * window.width > MAX_PIXELS:
        return decode_whole(data, region, exact=exact)
    try:
        return _square(data, header, window) if region is None else _region(data, header, window, region)
    except ValueError:  # damaged, or of a kind that Pillow may read
        return decode_whole(data, region, exact=exact)


def _header(data: bytes) -> tuple[int, int] | None:
    """Return height and width of a plain JPEG that is not to be turned; None if it is something else."""
    if not data.startswith(JPEG_START) or may_be_turned(data):
        return None
    try:
        height, width, colors, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    return (height, width) if height * width <= MAX_PIXELS and colors in SAME_AS_PILLOW else None


def scale_factor(size: tuple[float, float], resized: tuple[int, int]) -> int:
    """Return by what factor an image of this size may be decoded smaller if it will be resized."""
    fits = (f for f in FACTORS if all(old / f >= SPARE * new for old, new in zip(size, resized, strict=True)))
    return next(fits, 1)


def _square(data: bytes, size: tuple[int, int], window: Window) -> np.ndarray:
    resized = window.height, window.width
    pixels = resize(_decode(data, size, scale_factor(size, resized)), resized, window.interpolation)
    return pixels[window.top : window.top + window.side, window.left : window.left + window.side]


def _region(data: bytes, size: tuple[int, int], window: Window, region: Region) -> np.ndarray:
    (top, bottom), (left, right), factor = source_of(size, window, region)
    pixels = _decode(data, size, factor)
    return resize(pixels[top:bottom, left:right], (region.side, region.side), region.interpolation)


def source_of(size: tuple[int, int], window: Window, region: Region) -> tuple[tuple[int, int], tuple[int, int], int]:
    """Return what a region of a window shows of an image of `size`, height and width.

    Returns:
        First row and end, first column and end, and the factor by which the image is to be decoded smaller, in pixels
        of that smaller image. Whole pixels are taken, so a region moves by up to a quarter of one of its own; half a
        pixel of the file if that is decoded whole.
    """
    rows = _span(size[0], window.height, window.top + region.top, region.height)
    columns = _span(size[1], window.width, window.left + region.left, region.width)
    factor = scale_factor((rows[1] - rows[0], columns[1] - columns[0]), (region.side, region.side))
    return _whole(rows, size[0], factor), _whole(columns, size[1], factor), factor


def _span(length: int, resized: int, start: int, part: int) -> tuple[float, float]:
    """Return first and end of a part of a side that is resized from `length`."""
    return start * length / resized, (start + part) * length / resized


def _whole(span: tuple[float, float], length: int, factor: int) -> tuple[int, int]:
    """Return a span of a side of `length` in whole pixels, at least one, after division by `factor`."""
    smaller = -(-length // factor)
    first = min(round(span[0] / factor), smaller - 1)
    return first, min(max(round(span[1] / factor), first + 1), smaller)


_buffers = threading.local()


def _decode(data: bytes, size: tuple[int, int], factor: int) -> np.ndarray:
    """Decode into a buffer that this thread uses again, since touching fresh memory is slow."""
    smaller = [-(-length // factor) for length in size]
    needed = smaller[0] * smaller[1] * 3
    if getattr(_buffers, "pixels", np.empty(0, np.uint8)).size < needed:
        _buffers.pixels = np.empty(needed, np.uint8)
    pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=smaller[0], min_width=smaller[1], buffer=_buffers.pixels)
    return np.asarray(pixels)
