"""Glass blur: pixels shuffled among near neighbours, between two smoothings."""

import numpy as np

from doublevit.corruptions.blur import gaussian
from doublevit.corruptions.config import Constants
from doublevit.corruptions.draws import Draws
from doublevit.corruptions.levels import to_levels, to_unit


def draw_shifts(draws: Draws, images: np.ndarray, constants: Constants) -> dict[str, np.ndarray]:
    """`shifts`: int8 (N, steps, 2), dx and dy of each step, from -reach to reach - 1 (as published, never reach)."""
    reach, iterations = int(constants[1]), int(constants[2])
    height, width = images.shape[1:3]
    steps = iterations * (height - 2 * reach) * (width - 2 * reach)
    halves = draws.words(steps).view(np.uint16)  # 16 bits decide a shift
    shifts = (halves * np.uint32(2 * reach)) >> np.uint32(16)
    return {"shifts": shifts.astype(np.int8).reshape(len(images), steps, 2) - np.int8(reach)}


def glass_blur(images: np.ndarray, constants: Constants, shifts: np.ndarray) -> np.ndarray:
    """What is seen through rough glass."""
    deviation, reach, iterations = constants[0], int(constants[1]), int(constants[2])
    smooth = to_levels(gaussian(to_unit(images), deviation))
    source = np.arange(smooth[..., 0].size)
    for steps in np.split(shifts, iterations, axis=1):
        source = source.take(_sources(steps, smooth.shape[:3], reach))
    shuffled = smooth.reshape(-1, 3).take(source, axis=0).reshape(images.shape)
    return to_levels(gaussian(to_unit(shuffled), deviation))


def _sources(shifts: np.ndarray, shape: tuple[int, ...], reach: int) -> np.ndarray:
    """Which pixel of all of (N, H, W) each one is a copy of, flat, after one pass over every photo.

    The pass goes from the last pixel to the first and copies a neighbour to each (the published generator means to
    swap the two, but its second assignment reads what the first has written). So a neighbour before the pixel is still
    as it was, while one behind it is itself a copy already: that one's source is followed, as far as need be.
    """
    _, height, width = shape
    start = np.arange(np.prod(shape))
    neighbour = start.reshape(shape).copy()
    inside = (slice(None), slice(reach + 1, height - reach + 1), slice(reach + 1, width - reach + 1))
    from_the_end = neighbour[inside][:, ::-1, ::-1]
    dx, dy = np.moveaxis(shifts.reshape(*from_the_end.shape, 2), -1, 0).astype(np.intp)
    from_the_end += dy * width + dx
    neighbour = neighbour.reshape(-1)
    source = neighbour.copy()
    following = np.flatnonzero(neighbour > start)
    while following.size:
        here = source[following]
        source[following] = there = neighbour[here]
        following = following[there > here]
    return source
