"""Motion blur along an angle, with ImageMagick's taps."""

import numpy as np

from doublevit.corruptions.config import Constants
from doublevit.corruptions.draws import Draws, to_range

Tap = tuple[int, int, float]
"""Rows down, columns to the right, weight."""


def draw_angle(draws: Draws, images: np.ndarray, constants: Constants) -> dict[str, np.ndarray]:
    """`angle`: float32 (N,), degrees."""
    return {"angle": to_range(draws.words(1)[:, 0], -45, 45)}


def motion_blur(images: np.ndarray, constants: Constants, angle: np.ndarray) -> np.ndarray:
    """The camera moved, at another angle for each photo."""
    radius, deviation = constants
    return blur_along(images, radius, deviation, angle)


def blur_along(images: np.ndarray, radius: float, deviation: float, angles: np.ndarray) -> np.ndarray:
    """Drag each of uint8 (N, H, W, colours) along its own angle, fading as half a normal curve; edges are repeated."""
    reach = 2 * int(np.ceil(radius))
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge").astype(np.float32)
    height, width = images.shape[1:3]
    # ImageMagick sums levels times 257, rounds, and its last step to bytes cuts off.
    totals = np.full(images.shape, 0.5 / 257, np.float32)
    weighted = np.empty(images.shape[1:], np.float32)
    for photo, total, angle in zip(padded, totals, angles.tolist(), strict=True):
        for row, column, weight in taps(radius, deviation, angle):
            window = photo[reach + row : reach + row + height, reach + column : reach + column + width]
            np.add(total, np.multiply(window, np.float32(weight), out=weighted), out=total)
    return totals.astype(np.uint8)


def taps(radius: float, deviation: float, angle: float) -> list[Tap]:
    """Where MotionBlurImage (ImageMagick 6) looks, with what weight; places that coincide are one tap."""
    steps = np.arange(2 * int(np.ceil(radius)) + 1)
    weights = np.exp(-(steps**2) / (2 * deviation**2))
    weights /= weights.sum()
    turn = np.deg2rad(angle)
    rows = np.ceil(steps * np.sin(turn) - 0.5).astype(int)
    columns = np.ceil(steps * np.cos(turn) - 0.5).astype(int)
    merged: dict[tuple[int, int], float] = {}
    for row, column, weight in zip(rows.tolist(), columns.tolist(), weights.tolist(), strict=True):
        merged[row, column] = merged.get((row, column), 0) + weight
    return [(row, column, weight) for (row, column), weight in merged.items() if weight > NEGLIGIBLE]


NEGLIGIBLE = 1e-5  # a weight that cannot move a level by 1/300
