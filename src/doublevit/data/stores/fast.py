"""Quick decoding for training, where an image is decoded anew in every epoch and augmented at once.

Two things differ from the exact way: JPEG files are decoded at half, a quarter or an eighth of their size where that
leaves enough (their transform gives these sizes for less than the whole), and torch resizes bytes by Pillow's weights
at several times Pillow's speed, within a few levels of it.
"""

import threading
from collections.abc import Callable

import numpy as np
import simplejpeg
import torch
import torch.nn.functional as F

from doublevit.data.decode import JPEG_START, SAME_AS_PILLOW, TURNING_MARKS
from doublevit.geometry import Window

SPARE = 2.0  # an image is decoded no smaller than this many times what it is resized to
FACTORS = (8, 4, 2)
MAX_PIXELS = 1 << 26  # of what is handled here; larger ones are rare, and may be refused

Exact = Callable[[bytes], np.ndarray]
Plan = Callable[[int, int], Window]


def decode_fast(data: bytes, plan: Plan, exact: Exact) -> np.ndarray:
    """Return what `exact` does, uint8 (S, S, 3), to within a few levels; what is no plain JPEG is left to `exact`.

    Raises:
        BadImage: as `exact`.
    """
    if not data.startswith(JPEG_START) or any(mark in data for mark in TURNING_MARKS):
        return exact(data)
    try:
        height, width, colors, _ = simplejpeg.decode_jpeg_header(data)
        window = plan(height, width)
        large = max(height * width, window.height * window.width) > MAX_PIXELS
        if large or colors not in SAME_AS_PILLOW or not window.is_inside:
            return exact(data)
        factor = scale_factor((height, width), (window.height, window.width))
        pixels = _decode(data, height, width, factor)
    except ValueError:  # damaged, or of a kind that Pillow may read
        return exact(data)
    return _resize(pixels, window)


def scale_factor(size: tuple[int, int], resized: tuple[int, int]) -> int:
    """Return by what factor an image of this size may be decoded smaller if it will be resized."""
    fits = (f for f in FACTORS if all(old / f >= SPARE * new for old, new in zip(size, resized, strict=True)))
    return next(fits, 1)


_buffers = threading.local()


def _decode(data: bytes, height: int, width: int, factor: int) -> np.ndarray:
    """Decode into a buffer that this thread uses again, since touching fresh memory is slow."""
    smaller = -(-height // factor), -(-width // factor)
    needed = smaller[0] * smaller[1] * 3
    if getattr(_buffers, "pixels", np.empty(0, np.uint8)).size < needed:
        _buffers.pixels = np.empty(needed, np.uint8)
    pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=smaller[0], min_width=smaller[1], buffer=_buffers.pixels)
    return np.asarray(pixels)


def _resize(pixels: np.ndarray, window: Window) -> np.ndarray:
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None]  # as channels last: the fast case of torch's kernel
    size = (window.height, window.width)
    if images.shape[2:] != size:
        images = F.interpolate(images, size=size, mode=window.interpolation, antialias=True)
    else:
        images = images.clone()  # out of the buffer
    bottom, right = window.top + window.side, window.left + window.side
    return images[0, :, window.top : bottom, window.left : right].permute(1, 2, 0).numpy()
