"""Shears and translations as Pillow and timm define them: each row or column is shifted by a distance of its own.

Operations take uint8 (n, 3, H, W), contiguous, an amount per image, float64 (n,), and for all images an interpolation
and a fill level. Whole pixels are shifted by copying memory; the fractional part is a weighted sum over neighbors with
the same weights all along the row.
"""

import functools

import numpy as np
import torch

from doublevit.augment.pixels import BILINEAR, NEAREST, RAISE, cubic_weights, fill_outside, truncate

REACH = 2  # pixels that the widest kernel needs beyond an edge of the image


def shear_x(images: torch.Tensor, factor: np.ndarray, interpolation: int, fill: int) -> torch.Tensor:
    """Move rows sideways by `factor` times their distance from the top."""
    return shift_rows(images, factor[:, None] * _centers(images.shape[2]), interpolation, fill)


def shear_y(images: torch.Tensor, factor: np.ndarray, interpolation: int, fill: int) -> torch.Tensor:
    """Move columns up by `factor` times their distance from the left."""
    return shift_columns(images, factor[:, None] * _centers(images.shape[3]), interpolation, fill)


def translate_x(images: torch.Tensor, fraction: np.ndarray, interpolation: int, fill: int) -> torch.Tensor:
    """Move the image to the left by `fraction` of its width."""
    height, width = images.shape[2:]
    return shift_rows(images, np.repeat(fraction[:, None] * width, height, axis=1), interpolation, fill)


def translate_y(images: torch.Tensor, fraction: np.ndarray, interpolation: int, fill: int) -> torch.Tensor:
    """Move the image up by `fraction` of its height."""
    return lift(images, fraction * images.shape[2], interpolation, fill)


def _centers(size: int) -> np.ndarray:
    return np.arange(size) + 0.5


def shift_rows(images: torch.Tensor, distance: np.ndarray, interpolation: int, fill: int) -> torch.Tensor:
    """Take pixel (x, y) from (x + distance, y).

    Args:
        images: uint8 (n, 3, H, W), contiguous.
        distance: in pixels for each row, float64 (n, H).
        interpolation: NEAREST, BILINEAR or BICUBIC.
        fill: level of pixels from outside the image.
    """
    width = images.shape[3]
    distance = np.clip(distance, -width, width)
    first, weights = _neighbors(distance, interpolation)
    moved = _displaced(images, first, width + len(weights) - 1)
    total = _weighted(moved, 3, weights[:, :, None, :, None])
    return fill_outside(total, _inside(distance, width, images.device), fill)


def shift_columns(images: torch.Tensor, distance: np.ndarray, interpolation: int, fill: int) -> torch.Tensor:
    """Take pixel (x, y) from (x, y + distance), with a distance for each column, (n, W)."""
    return shift_rows(images.transpose(2, 3).contiguous(), distance, interpolation, fill).transpose(2, 3)


def lift(images: torch.Tensor, distance: np.ndarray, interpolation: int, fill: int) -> torch.Tensor:
    """Take pixel (x, y) from (x, y + distance), with one distance for the whole image, (n,): whole rows are shifted."""
    count, channels, height, width = images.shape
    first, weights = _neighbors(distance, interpolation)
    lines = np.clip(first[:, None] + np.arange(height + len(weights) - 1), 0, height - 1)
    index = (np.arange(count * channels).reshape(count, channels, 1) * height + lines[:, None]).ravel()
    moved = images.view(-1, width).index_select(0, torch.from_numpy(index).to(images.device))
    total = _weighted(moved.view(count, channels, -1, width), 2, weights[:, :, None, None, None])
    centers = distance[:, None] + np.arange(height) + 0.5
    inside = np.where((centers >= 0) & (centers < height), 255, 0).astype(np.uint8)
    return fill_outside(total, torch.from_numpy(inside).to(images.device)[:, None, :, None], fill)


def _weighted(moved: torch.Tensor, axis: int, weights: np.ndarray) -> torch.Tensor:
    """Return the weighted sum over k neighbors along `axis` as uint8; `moved` is k - 1 pixels longer there."""
    pixels, (first, *others) = moved.float(), torch.from_numpy(weights).to(moved.device)
    length = pixels.shape[axis] - len(others)
    total = pixels.narrow(axis, 0, length) * first
    for tap, weight in enumerate(others, start=1):
        total.addcmul_(pixels.narrow(axis, tap, length), weight)
    return truncate(total.clamp_(0, 255) if len(others) > 1 else total)


def _neighbors(distance: np.ndarray, interpolation: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the source of pixel 0 of each row: the first of k neighbors, int64 (...), and weights (k, ...)."""
    if interpolation == NEAREST:
        return np.floor(distance + 0.5).astype(np.int64), np.ones((1, *distance.shape), np.float32)
    whole = np.floor(distance)
    fraction = distance - whole
    weights = [1 - fraction, fraction] if interpolation == BILINEAR else cubic_weights(fraction)
    before = 0 if interpolation == BILINEAR else 1
    return whole.astype(np.int64) - before, (np.stack(weights) * (1 + RAISE / 255)).astype(np.float32)


def _displaced(images: torch.Tensor, first: np.ndarray, length: int) -> torch.Tensor:
    """Return `length` pixels of row y of image i from pixel `first[i, y]` on: (n, 3, H, length).

    Edges are repeated as far as interpolation reaches; values beyond are arbitrary, since the fill level replaces them.
    """
    count, channels, height, width = images.shape
    stride, slack = width + 2 * REACH, width + REACH
    memory = images.new_empty(count * channels * height * stride + 2 * slack + length)
    padded = memory[slack : slack + count * channels * height * stride].view(count, channels, height, stride)
    padded[..., REACH:-REACH] = images
    padded[..., :REACH] = images[..., :1]
    padded[..., -REACH:] = images[..., -1:]
    rows = np.arange(slack + REACH, slack + REACH + padded.numel(), stride).reshape(count, channels, height)
    starts = torch.from_numpy((rows + first[:, None]).ravel()).to(images.device)
    # A view in which a row starts at every byte: selecting rows copies memory without computing an index per pixel.
    pieces = memory.as_strided((len(memory) - length + 1, length), (1, 1))
    return pieces.index_select(0, starts).view(count, channels, height, length)


def _inside(distance: np.ndarray, width: int, device: torch.device) -> torch.Tensor:
    """Return 255 for pixels whose source is inside the image, 0 for others: uint8 (n, 1, H, width)."""
    first = np.ceil(-0.5 - distance).astype(np.int64)  # the first of `width` pixels whose source centers are inside
    starts = torch.from_numpy((width - first).ravel()).to(device)
    return _templates(width, device).index_select(0, starts).view(len(distance), 1, -1, width)


@functools.lru_cache(maxsize=8)
def _templates(width: int, device: torch.device) -> torch.Tensor:
    """Return masks, uint8 (2 * width + 1, width): row k is 255 in the `width` pixels from `width - k` on."""
    line = torch.zeros(3 * width, dtype=torch.uint8, device=device)
    line[width : 2 * width] = 255
    return line.as_strided((2 * width + 1, width), (1, 1))
