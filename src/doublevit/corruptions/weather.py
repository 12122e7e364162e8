"""Weather: snow, frost and fog."""

import numpy as np

from doublevit.corruptions.blur import blur_along, zoom_matrix
from doublevit.corruptions.config import Constants
from doublevit.corruptions.draws import CorruptionDraws, to_normal, to_range, to_uniform
from doublevit.corruptions.levels import clip_levels, to_levels
from doublevit.corruptions.textures import Textures

GRAY = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in the luma (ITU-R BT.601)."""
FIRST_WIBBLE = 100.0  # of the plasma's heights; only ratios matter, since the map is stretched to 0..1


def draw_flakes(draws: CorruptionDraws, images: np.ndarray, constants: Constants) -> dict[str, np.ndarray]:
    """Draw `flakes`, normal, float32 (N, H, W), and the `angle` of the wind, degrees, float32 (N,)."""
    mean, deviation = constants[:2]
    size = images[0, ..., 0].size
    words = draws.words(2 + size + size % 2)
    flakes = to_normal(words[:, 2:])[:, :size] * np.float32(deviation) + np.float32(mean)
    return {"flakes": flakes.reshape(images.shape[:3]), "angle": to_range(words[:, 0], -135, -45)}


def snow(images: np.ndarray, constants: Constants, flakes: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Whiten images, more where they are bright, and add falling snow."""
    _, _, zoom, threshold, radius, deviation, kept = constants
    height, width = images.shape[1:3]
    layer = zoom_matrix(height, zoom) @ flakes @ zoom_matrix(width, zoom).T
    layer[layer < threshold] = 0
    falling = blur_along(to_levels(layer)[..., None], radius, deviation, angle).astype(np.float32)
    falling += falling[:, ::-1, ::-1]  # as published, twice, the second time rotated by 180 degrees
    values = images.astype(np.float32)
    white = np.maximum(values, (values @ GRAY * np.float32(1.5) + np.float32(127.5))[..., None])
    values *= np.float32(kept)
    white *= np.float32(1 - kept)
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
