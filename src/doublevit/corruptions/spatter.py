"""Spatter: drops of water, or mud, on the lens.

The relief of water comes from the edges of its drops and the distance to them, computed as in OpenCV.
"""

import numpy as np
from scipy import ndimage

from doublevit.corruptions.blur import gaussian
from doublevit.corruptions.config import Constants
from doublevit.corruptions.draws import CorruptionDraws
from doublevit.corruptions.levels import to_levels, to_unit

WATER = np.array([175, 238, 238]) / 255  # pale turquoise
MUD = np.array([63, 42, 20]) / 255
RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
THINNEST_MUD = 0.8
TANGENT = 13573  # of 22.5 degrees, times 2**15
STRAIGHT, DIAGONAL, KNIGHT = 1.0, 1.4, 2.1969
"""Lengths of a straight step, a diagonal one and a knight's move (Borgefors 1986)."""
EIGHT = np.ones((1, 3, 3))
EIGHT = np.concatenate([0 * EIGHT, EIGHT, 0 * EIGHT])  # neighbors in the same image, none in others


def draw_liquid(draws: CorruptionDraws, images: np.ndarray, constants: Constants) -> dict[str, np.ndarray]:
    """Draw `liquid`: normal, float32 (N, H, W)."""
    mean, deviation = constants[:2]
    liquid = draws.normal(images[0, ..., 0].size) * np.float32(deviation) + np.float32(mean)
    return {"liquid": liquid.reshape(images.shape[:3])}


def spatter(images: np.ndarray, constants: Constants, liquid: np.ndarray) -> np.ndarray:
    """Cover images where the smoothed liquid exceeds a threshold, with water or mud."""
    _, _, smoothing, threshold, strength, is_mud = constants
    layer = gaussian(liquid.astype(np.float64), smoothing)
    layer[layer < threshold] = 0
    values = to_unit(images)
    if is_mud:
        cover = gaussian((layer > threshold).astype(np.float32), strength)[..., None]
        cover[cover < THINNEST_MUD] = 0
        return to_levels(values * (1 - cover) + cover * MUD)
    levels = (layer * 255).astype(np.int64).astype(np.uint8)  # as published, overflow wraps around to black
    return to_levels(values + _drops(levels, strength)[..., None] * WATER)


def _drops(layer: np.ndarray, strength: float) -> np.ndarray:
    """Return the light of the drops, 0..strength, (N, H, W), from a relief that rises from their rims."""
    distance = chamfer_distance(canny(layer, 50, 150), 20)
    relief = equalize(_box(distance).astype(np.uint8))
    lit = ndimage.correlate(relief.astype(np.int32), RELIEF[None], mode="mirror")
    lit = np.rint(_box(np.clip(lit, 0, 255).astype(np.float32)))
    drops = layer * lit
    brightest = drops.max(axis=(1, 2), keepdims=True)
    return drops * (strength / np.maximum(brightest, 1))  # as published, but without dividing 0 by 0


def _box(values: np.ndarray) -> np.ndarray:
    """Average 3 x 3 pixels, mirrored at the outermost ones."""
    return ndimage.correlate(values, np.full((1, 3, 3), 1 / 9), mode="mirror")


def canny(images: np.ndarray, low: float, high: float) -> np.ndarray:
    """Find Canny's edges of uint8 (N, H, W), bool: local maxima of the gradient that are connected to a strong one."""
    values = images.astype(np.int32)
    across, down = (_sobel(values, axis) for axis in (2, 1))
    size = np.abs(across) + np.abs(down)
    weak = (size > low) & _is_largest(size, across, down)
    labels, count = ndimage.label(weak, EIGHT)
    strong = np.zeros(count + 1, bool)
    strong[labels[weak & (size > high)]] = True
    return strong[labels]


def _sobel(values: np.ndarray, axis: int) -> np.ndarray:
    slope = ndimage.correlate1d(values, [-1, 0, 1], axis, mode="nearest")
    return ndimage.correlate1d(slope, [1, 2, 1], 3 - axis, mode="nearest")


def _is_largest(size: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Mark pixels with no larger neighbor along the gradient, in four directions; of two equal ones one is kept."""
    height, width = size.shape[1:]
    padded = np.pad(size, ((0, 0), (1, 1), (1, 1)))

    def neighbor(row: int, column: int) -> np.ndarray:
        return padded[:, 1 + row : 1 + row + height, 1 + column : 1 + column + width]

    steep, flat = np.abs(down).astype(np.int64) << 15, np.abs(across).astype(np.int64) * TANGENT
    horizontal = (size > neighbor(0, -1)) & (size >= neighbor(0, 1))
    vertical = (size > neighbor(-1, 0)) & (size >= neighbor(1, 0))
    falling = (size > neighbor(-1, -1)) & (size > neighbor(1, 1))
    rising = (size > neighbor(-1, 1)) & (size > neighbor(1, -1))
    diagonal = np.where((across ^ down) < 0, rising, falling)
    is_vertical = steep > flat + (np.abs(across).astype(np.int64) << 16)
    return np.where(steep < flat, horizontal, np.where(is_vertical, vertical, diagonal))


def chamfer_distance(edges: np.ndarray, farthest: float) -> np.ndarray:
    """Return each pixel's distance to the nearest edge, float32 (N, H, W), at most `farthest` (Borgefors 1986)."""
    distance = np.where(edges, 0.0, 2 * farthest)
    for _ in range(2):  # downwards, then upwards
        for row in range(distance.shape[1]):
            _approach(distance, row)
        distance = distance[:, ::-1]
    return np.minimum(distance, farthest).astype(np.float32)


def _approach(distance: np.ndarray, row: int) -> None:
    """Lower the distances of a row by way of the two rows above it and of its own pixels, in place."""
    current = distance[:, row]
    width = current.shape[1]
    for above, moves in ((1, ((0, STRAIGHT), (1, DIAGONAL), (2, KNIGHT))), (2, ((1, KNIGHT),))):
        if row < above:
            continue
        source = distance[:, row - above]
        for shift, length in moves:
            longer = source + length
            np.minimum(current[:, shift:], longer[:, : width - shift], out=current[:, shift:])
            np.minimum(current[:, : width - shift], longer[:, shift:], out=current[:, : width - shift])
    ramp = np.arange(width) * STRAIGHT
    rightward = np.minimum.accumulate(current - ramp, axis=1) + ramp
    leftward = np.minimum.accumulate((current + ramp)[:, ::-1], axis=1)[:, ::-1] - ramp
    np.minimum(rightward, leftward, out=current)


def equalize(images: np.ndarray) -> np.ndarray:
    """Equalize the histogram of each of uint8 (N, H, W); the lowest level becomes 0 (OpenCV's equalizeHist)."""
    count = images[0].size
    tables = np.empty((len(images), 256), np.uint8)
    for table, image in zip(tables, images, strict=True):
        histogram = np.bincount(image.reshape(-1), minlength=256)
        lowest = int(histogram.argmax() if histogram.max() == count else np.flatnonzero(histogram)[0])
        below = np.cumsum(histogram) - histogram[lowest]
        spread = below * (255 / max(count - histogram[lowest], 1))
        table[:] = np.rint(np.clip(spread, 0, 255)) if histogram[lowest] < count else lowest
    return np.take_along_axis(tables, images.reshape(len(images), -1).astype(np.intp), 1).reshape(images.shape)
