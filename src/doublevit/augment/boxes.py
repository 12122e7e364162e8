"""Boxes drawn by area and ratio of sides, as random resized crops and random erasing draw theirs."""

import numpy as np

from doublevit.augment.draws import choose

TRIES = 10
COLUMNS = 2 * TRIES + 2  # area and ratio of each try, row and column


def draw_boxes(
    draws: np.ndarray, size: tuple[int, int], areas: tuple[float, float], least_ratio: float, longest: tuple[int, int]
) -> np.ndarray:
    """Turn uniform numbers into boxes: of ten tries the first that is not too long, at a uniform place.

    Args:
        draws: float32 (n, COLUMNS), uniform in 0..1.
        size: height and width of the images.
        areas: least and greatest area as fractions of the image's; uniform.
        least_ratio: of a side to the other, the greatest being 1 over that; log-uniform.
        longest: greatest height and width of a box.

    Returns:
        Top, left, height and width in pixels, int64 (n, 4); all zeros where no try fits.
    """
    tries = draws[:, : 2 * TRIES].astype(np.float64).reshape(len(draws), TRIES, 2)
    area = size[0] * size[1] * (areas[0] + (areas[1] - areas[0]) * tries[..., 0])
    ratio = least_ratio ** (1 - 2 * tries[..., 1])
    sides = np.rint(np.sqrt(np.stack([area / ratio, area * ratio], axis=2))).astype(np.int64)
    fits = np.asarray(((sides > 0) & (sides <= longest)).all(axis=2))
    chosen = sides[np.arange(len(draws)), fits.argmax(axis=1)]
    starts = [choose(draw, size[axis] - chosen[:, axis] + 1) for axis, draw in enumerate(draws[:, 2 * TRIES :].T)]
    boxes = np.concatenate([np.stack(starts, axis=1), chosen], axis=1)
    boxes[~fits.any(axis=1)] = 0
    return boxes
