"""Snow: flakes dragged by the wind over a photo that is itself whitened."""

import numpy as np

from doublevit.corruptions.blur import zoom_matrix
from doublevit.corruptions.config import Constants
from doublevit.corruptions.draws import Draws, to_normal, to_range
from doublevit.corruptions.levels import cut_off, to_levels
from doublevit.corruptions.motion import blur_along

GREY = np.array([0.299, 0.587, 0.114], np.float32)
"""Of red, green and blue (ITU-R BT.601)."""


def draw_flakes(draws: Draws, images: np.ndarray, constants: Constants) -> dict[str, np.ndarray]:
    """`flakes`: normal, float32 (N, H, W); `angle` of the wind: float32 (N,), degrees."""
    mean, deviation = constants[:2]
    size = images[0, ..., 0].size
    words = draws.words(2 + size + size % 2)
    flakes = to_normal(words[:, 2:])[:, :size] * np.float32(deviation) + np.float32(mean)
    return {"flakes": flakes.reshape(images.shape[:3]), "angle": to_range(words[:, 0], -135, -45)}


def snow(images: np.ndarray, constants: Constants, flakes: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Snow falls, and lies: the whiter the photo is there, the more."""
    _, _, zoom, threshold, radius, deviation, kept = constants
    height, width = images.shape[1:3]
    layer = zoom_matrix(height, zoom) @ flakes @ zoom_matrix(width, zoom).T
    layer[layer < threshold] = 0
    falling = blur_along(to_levels(layer)[..., None], radius, deviation, angle).astype(np.float32)
    falling += falling[:, ::-1, ::-1]  # twice, the second time turned by half a circle
    values = images.astype(np.float32)
    white = np.maximum(values, (values @ GREY * np.float32(1.5) + np.float32(127.5))[..., None])
    values *= np.float32(kept)
    white *= np.float32(1 - kept)
    values += white
    values += falling
    return cut_off(values)
