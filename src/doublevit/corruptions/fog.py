"""Fog: a plasma fractal laid over the photo."""

import numpy as np

from doublevit.corruptions.config import Constants
from doublevit.corruptions.draws import Draws, to_range
from doublevit.corruptions.levels import cut_off

FIRST_WIBBLE = 100.0  # of heights; only their ratio matters, since the map is stretched to 0..1


def draw_plasma(draws: Draws, images: np.ndarray, constants: Constants) -> dict[str, np.ndarray]:
    """`plasma`: heights in 0..1, float32 (N, H, W), cut from a square whose side is a power of two."""
    _, decay = constants
    height, width = images.shape[1:3]
    side = 1 << (max(height, width) - 1).bit_length()
    heights = plasma_fractal(to_range(draws.words(side**2 - 1), -1, 1), side, decay)
    return {"plasma": heights[:, :height, :width]}


def fog(images: np.ndarray, constants: Constants, plasma: np.ndarray) -> np.ndarray:
    """Brighter, and paler, where the fog is thick; the brightest value stays as bright as it was."""
    strength = np.float32(255 * constants[0])
    brightest = images.max(axis=(1, 2, 3)).astype(np.float32)
    values = plasma[..., None] * strength + images
    values *= (brightest / (brightest + strength))[:, None, None, None]
    return cut_off(values)


def plasma_fractal(uniform: np.ndarray, side: int, decay: float) -> np.ndarray:
    """Height maps by diamonds and squares on a torus, stretched to 0..1 each: (N, side**2 - 1) -> (N, side, side)."""
    heights = np.zeros((len(uniform), side, side), np.float32)
    used, step, wibble = 0, side, FIRST_WIBBLE
    while step >= 2:
        half, cells = step // 2, (side // step) ** 2
        wibbles = uniform[:, used : used + 3 * cells].reshape(-1, 3, side // step, side // step)
        wibbles = wibbles * np.float32(wibble**2)  # as published, the amplitude counts twice
        used += 3 * cells
        corners, centres = heights[:, ::step, ::step], heights[:, half::step, half::step]
        rows, columns = corners + np.roll(corners, -1, axis=1), corners + np.roll(corners, -1, axis=2)
        centres[:] = (rows + np.roll(rows, -1, axis=2)) / 4 + wibbles[:, 0]
        heights[:, ::step, half::step] = (centres + np.roll(centres, 1, axis=1) + columns) / 4 + wibbles[:, 1]
        heights[:, half::step, ::step] = (centres + np.roll(centres, 1, axis=2) + rows) / 4 + wibbles[:, 2]
        step, wibble = half, wibble / decay
    heights -= heights.min(axis=(1, 2), keepdims=True)
    heights /= heights.max(axis=(1, 2), keepdims=True)
    return heights
