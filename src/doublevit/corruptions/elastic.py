"""Elastic transform: an affine map by three moved corners, then a smooth displacement of every pixel."""

import functools

import numpy as np
from scipy import ndimage

from doublevit.corruptions.config import Constants
from doublevit.corruptions.draws import CorruptionDraws, to_range
from doublevit.corruptions.levels import clip_levels

MARGIN = 1e-4  # levels; added before truncation, since float32 may fall just short of an integer


def draw_displacements(draws: CorruptionDraws, images: np.ndarray, constants: Constants) -> dict[str, np.ndarray]:
    """Draw `corners`, shifts in pixels, float32 (N, 3, 2), and unsmoothed `dx` and `dy` in -1..1, float32 (N, H, W)."""
    farthest, size = constants[2], images[0, ..., 0].size
    words = draws.words(6 + 2 * size)
    fields = to_range(words[:, 6:], -1, 1).reshape(len(images), 2, *images.shape[1:3])
    corners = to_range(words[:, :6], -farthest, farthest).reshape(len(images), 3, 2)
    return {"corners": corners, "dx": fields[:, 0], "dy": fields[:, 1]}


def elastic_transform(
    images: np.ndarray, constants: Constants, corners: np.ndarray, dx: np.ndarray, dy: np.ndarray
) -> np.ndarray:
    """Distort images as if they were printed on rubber."""
    farthest, deviation, _ = constants
    height, width = images.shape[1:3]
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
    rows, columns = _before_affine(corners, height, width)
    planes = _sample(planes, _mirror(rows, height), _mirror(columns, width))
    if farthest:
        down, across = (_smoothing(side, deviation) for side in (height, width))
        columns = down @ dx @ across.T * np.float32(farthest) + np.arange(width, dtype=np.float32)
        rows = down @ dy @ across.T * np.float32(farthest) + np.arange(height, dtype=np.float32)[:, None]
        planes = _sample(planes, _mirror_edge(rows, height), _mirror_edge(columns, width))
    planes += np.float32(MARGIN)
    return clip_levels(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)))


def _before_affine(corners: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each pixel's source before three points moved by `corners`: rows and columns, float32 (N, H, W)."""
    # The published generator, made for square images, swaps height and width here.
    middle, reach = np.array([width // 2, height // 2]), min(height, width) // 3
    points = middle + reach * np.array([[1.0, 1], [1, -1], [-1, -1]])
    moved = np.concatenate([points + corners, np.ones((len(corners), 3, 1))], axis=2)
    inverse = np.linalg.solve(moved, np.broadcast_to(points, corners.shape))
    by_column = (inverse[:, 0, :, None] * np.arange(width)).astype(np.float32)
    by_row = (inverse[:, 1, :, None] * np.arange(height) + inverse[:, 2, :, None]).astype(np.float32)
    columns, rows = (by_row[:, axis, :, None] + by_column[:, axis, None] for axis in (0, 1))
    return rows, columns


@functools.lru_cache(maxsize=8)
def _smoothing(side: int, deviation: float) -> np.ndarray:
    """Return the matrix that smooths one axis, truncated at three deviations, edges mirrored: float32 (side, side)."""
    return ndimage.gaussian_filter1d(np.eye(side, dtype=np.float32), deviation, axis=0, mode="reflect", truncate=3)


def _mirror(positions: np.ndarray, side: int) -> np.ndarray:
    """Mirror positions into 0..side - 1 at the centers of the outermost pixels (OpenCV's reflect 101), in place."""
    return _fold(positions, np.float32(side - 1))


def _mirror_edge(positions: np.ndarray, side: int) -> np.ndarray:
    """Mirror positions into 0..side - 1 at the outer edges of the outermost pixels (scipy's reflect), in place."""
    positions += np.float32(0.5)
    folded = _fold(positions, np.float32(side))
    folded -= np.float32(0.5)
    return np.clip(folded, 0, side - 1, out=folded)


def _fold(positions: np.ndarray, last: np.float32) -> np.ndarray:
    """Mirror positions into 0..last, as often as necessary, in place."""
    np.abs(positions, out=positions)
    if positions.max(initial=0) > 2 * last:  # rare, and the remainder is slow
        np.fmod(positions, 2 * last, out=positions)
    positions -= last
    np.abs(positions, out=positions)
    return np.subtract(last, positions, out=positions)


def _sample(planes: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sample planes (N, channels, H, W) at positions (N, H, W) inside them, bilinearly."""
    count, channels, height, width = planes.shape
    top, left = np.minimum(rows, height - 2).astype(np.intp), np.minimum(columns, width - 2).astype(np.intp)
    below, right = rows - top.astype(np.float32), columns - left.astype(np.float32)
    top *= width
    top += left
    top += np.arange(count)[:, None, None] * (channels * height * width)
    flat, sampled = planes.reshape(-1), np.empty_like(planes)
    for channel in range(channels):
        a, b, c, d = (flat[channel * height * width + offset :].take(top) for offset in (0, 1, width, width + 1))
        sampled[:, channel] = _between(_between(a, b, right), _between(c, d, right), below)
    return sampled


def _between(first: np.ndarray, second: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """Interpolate from `first` (at 0) to `second` (at 1), which is overwritten."""
    second -= first
    second *= fraction
    second += first
    return second
