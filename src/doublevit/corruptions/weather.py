"""Weather: snow, frost, fog, and spatter: drops of water, or mud, on the lens.

The relief of water comes from the edges of its drops and the distance to them, computed as in OpenCV.
"""

import numpy as np
from scipy import ndimage

from doublevit.corruptions.blur import blur_along, gaussian, zoom_matrix
from doublevit.corruptions.config import Constants
from doublevit.corruptions.draws import CorruptionDraws, to_normal, to_range, to_uniform
from doublevit.corruptions.levels import clip_levels, to_levels, to_unit
from doublevit.corruptions.textures import Textures

GRAY = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in the luma (ITU-R BT.601)."""
FIRST_WIBBLE = 100.0  # of the plasma's heights; only ratios matter, since the map is stretched to 0..1
WATER = np.array([175, 238, 238]) / 255  # pale turquoise
MUD = np.array([63, 42, 20]) / 255
RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
THINNEST_MUD = 0.8
TANGENT = 13573  # of 22.5 degrees, times 2**15
STRAIGHT, DIAGONAL, KNIGHT = 1.0, 1.4, 2.1969
"""Lengths of a straight step, a diagonal one and a knight's move (Borgefors 1986)."""
EIGHT = np.ones((1, 3, 3))
EIGHT = np.concatenate([0 * EIGHT, EIGHT, 0 * EIGHT])  # neighbors in the same image, none in others


def draw_flakes(draws: CorruptionDraws, images: np.ndarray, constants: Constants) -> dict[str, np.ndarray]:
    """Draw `flakes`, normal, float32 (N, H, W), and the `angle` of the wind, degrees, float32 (N,)."""
    mean, deviation = constants[:2]
    size = images[0, ..., 0].size
    words = draws.words(2 + size + size % 2)
    flakes = to_normal(words[:, 2:])[:, :size] * np.float32(deviation) + np.float32(mean)
    return {"flakes": flakes.reshape(images.shape[:3]), "angle": to_range(words[:, 0], -135, -45)}


def snow(images: np.ndarray, constants: Constants, flakes: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Whiten images, more where they are bright, and add falling snow."""
    _, _, zoom, threshold, radius, deviation, weight = constants
    height, width = images.shape[1:3]
    layer = zoom_matrix(height, zoom) @ flakes @ zoom_matrix(width, zoom).T
    layer[layer < threshold] = 0
    falling = blur_along(to_levels(layer)[..., None], radius, deviation, angle).astype(np.float32)
    falling += falling[:, ::-1, ::-1]  # as published, twice, the second time rotated by 180 degrees
    values = images.astype(np.float32)
    white = np.maximum(values, (values @ GRAY * np.float32(1.5) + np.float32(127.5))[..., None])
    values *= np.float32(weight)
    white *= np.float32(1 - weight)
    values += white
    values += falling
    return clip_levels(values)


def draw_crops(
    draws: CorruptionDraws, images: np.ndarray, constants: Constants, textures: Textures
) -> dict[str, np.ndarray]:
    """Draw the index of a `texture`, and `row` and `column` of a crop of it after scaling: int (N,) each."""
    uniform = to_uniform(draws.words(3)).astype(np.float64)
    pictures = textures.for_images(constants[2], *images.shape[1:3])
    texture = (uniform[:, 0] * len(pictures)).astype(int)
    # As published, the last row and the last column that would fit are never the first of a crop.
    room = np.array([picture.shape[:2] for picture in pictures]) - images.shape[1:3]
    row, column = (uniform[:, 1:] * room[texture]).astype(int).T
    return {"texture": texture, "row": row, "column": column}


def frost(
    images: np.ndarray,
    constants: Constants,
    textures: Textures,
    texture: np.ndarray,
    row: np.ndarray,
    column: np.ndarray,
) -> np.ndarray:
    """Blend images with crops of frost textures."""
    of_image, of_ice, scale = constants
    height, width = images.shape[1:3]
    pictures, ice = textures.for_images(scale, height, width), np.empty_like(images)
    for crop, number, top, left in zip(ice, texture.tolist(), row.tolist(), column.tolist(), strict=True):
        crop[:] = pictures[number][top : top + height, left : left + width]
    values = images * np.float64(of_image)
    values += ice * np.float64(of_ice)
    return clip_levels(values)


def draw_plasma(draws: CorruptionDraws, images: np.ndarray, constants: Constants) -> dict[str, np.ndarray]:
    """Draw `plasma`: heights in 0..1, float32 (N, H, W), cropped from a square whose side is a power of two."""
    _, decay = constants
    height, width = images.shape[1:3]
    side = 1 << (max(height, width) - 1).bit_length()
    heights = plasma_fractal(to_range(draws.words(side**2 - 1), -1, 1), side, decay)
    return {"plasma": heights[:, :height, :width]}


def fog(images: np.ndarray, constants: Constants, plasma: np.ndarray) -> np.ndarray:
    """Add fog where the plasma is high, then scale each image back, so that fog lowers its contrast."""
    strength = np.float32(255 * constants[0])
    brightest = images.max(axis=(1, 2, 3)).astype(np.float32)
    values = plasma[..., None] * strength + images
    values *= (brightest / (brightest + strength))[:, None, None, None]
    return clip_levels(values)


def plasma_fractal(uniform: np.ndarray, side: int, decay: float) -> np.ndarray:
    """Make height maps in 0..1 by the diamond-square algorithm on a torus: (N, side**2 - 1) -> (N, side, side)."""
    heights = np.zeros((len(uniform), side, side), np.float32)
    used, step, wibble = 0, side, FIRST_WIBBLE
    while step >= 2:
        half, cells = step // 2, (side // step) ** 2
        wibbles = uniform[:, used : used + 3 * cells].reshape(-1, 3, side // step, side // step)
        wibbles = wibbles * np.float32(wibble**2)  # as published, the amplitude counts twice
        used += 3 * cells
        corners, centers = heights[:, ::step, ::step], heights[:, half::step, half::step]
        rows, columns = corners + np.roll(corners, -1, axis=1), corners + np.roll(corners, -1, axis=2)
        centers[:] = (rows + np.roll(rows, -1, axis=2)) / 4 + wibbles[:, 0]
        heights[:, ::step, half::step] = (centers + np.roll(centers, 1, axis=1) + columns) / 4 + wibbles[:, 1]
        heights[:, half::step, ::step] = (centers + np.roll(centers, 1, axis=2) + rows) / 4 + wibbles[:, 2]
        step, wibble = half, wibble / decay
    heights -= heights.min(axis=(1, 2), keepdims=True)
    heights /= heights.max(axis=(1, 2), keepdims=True)
    return heights


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
