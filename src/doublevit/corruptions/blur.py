"""Blurs: gaussian, defocus, zoom, motion and glass."""

import functools

import numpy as np
from scipy import ndimage, signal, sparse

from doublevit.corruptions.config import Constants
from doublevit.corruptions.draws import CorruptionDraws, to_range
from doublevit.corruptions.levels import clip_levels, to_levels, to_unit

MAX_DIRECT_TAPS = 64  # of a kernel that is summed tap by tap; larger ones are faster by Fourier transform
Tap = tuple[int, int, float]
"""Offset in rows, offset in columns, weight."""
NEGLIGIBLE = 1e-5  # weights below change a level by less than 1/300


def gaussian(values: np.ndarray, deviation: float) -> np.ndarray:
    """Smooth (N, H, W, ...) along height and width, truncated at four deviations, edges repeated (as scikit-image)."""
    if round(4 * deviation) == 0:
        return values  # the kernel is a single tap
    return ndimage.gaussian_filter(values, deviation, mode="nearest", axes=(1, 2))


def gaussian_blur(images: np.ndarray, constants: Constants) -> np.ndarray:
    """Blur by a Gaussian kernel."""
    (deviation,) = constants
    return to_levels(gaussian(to_unit(images), deviation))


def defocus_blur(images: np.ndarray, constants: Constants) -> np.ndarray:
    """Blur by a disk with a softened edge, as an aperture out of focus does."""
    kernel = disk(*constants)
    reach = len(kernel) // 2
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="reflect")
    if np.count_nonzero(kernel) > MAX_DIRECT_TAPS:
        return clip_levels(signal.fftconvolve(padded, kernel[None, :, :, None], mode="valid", axes=(1, 2)))
    return clip_levels(_few_taps(padded, kernel, images.shape))


def _few_taps(padded: np.ndarray, kernel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Correlate with `kernel`, float64; pixels of equal weight are summed as integers first."""
    total = np.zeros(shape)
    for weight in np.unique(kernel[kernel > 0]):
        group = np.zeros(shape, np.uint16)
        for row, column in np.argwhere(kernel == weight):
            group += padded[:, row : row + shape[1], column : column + shape[2]]
        total += group * np.float64(weight)
    return total


@functools.lru_cache(maxsize=16)
def disk(radius: float, deviation: float) -> np.ndarray:
    """Return a disk that sums to 1, smoothed by 3 x 3 pixels (5 x 5 beyond radius 8), float32, without empty borders.

    As published, it is smoothed on a grid that ends 8 pixels from the center and is mirrored there.
    """
    reach = 8 if radius <= 8 else int(radius)
    squares = np.arange(-reach, reach + 1) ** 2
    kernel = (squares[:, None] + squares <= radius**2).astype(np.float32)
    kernel /= kernel.sum()
    width = np.arange(-1, 2) if radius <= 8 else np.arange(-2, 3)
    weights = np.exp(-(width**2) / (2 * deviation**2))
    weights = (weights / weights.sum()).astype(np.float32)
    for axis in (0, 1):
        kernel = ndimage.correlate1d(kernel, weights, axis, mode="mirror")
    empty = int(np.argmax(kernel.max(axis=0) > 1e-12))
    return kernel[empty : len(kernel) - empty, empty : len(kernel) - empty]


def zoom_blur(images: np.ndarray, constants: Constants) -> np.ndarray:
    """Average each image and all steps of a zoom into it."""
    count, height, width, channels = images.shape
    blur = _zoom_matrix(height, width, *constants)
    pixels = images.transpose(1, 2, 0, 3).reshape(height * width, count * channels).astype(np.float32)
    blurred = clip_levels(blur @ pixels).reshape(height, width, count, channels)
    return np.ascontiguousarray(blurred.transpose(2, 0, 1, 3))


@functools.lru_cache(maxsize=8)
def _zoom_matrix(height: int, width: int, stop: float, step: float) -> sparse.csr_array:
    """Return the mean of all zooms and the image itself as one matrix on flattened images, float32."""
    factors = np.arange(1, stop, step)
    zooms = (sparse.kron(zoom_matrix(height, factor), zoom_matrix(width, factor)) for factor in factors)
    total = sum(zooms, sparse.eye_array(height * width))
    return sparse.csr_array(total / (len(factors) + 1), dtype=np.float32)


@functools.lru_cache(maxsize=64)
def zoom_matrix(side: int, factor: float) -> np.ndarray:
    """Return the matrix (side, side), float64, that zooms into the middle along one axis, linearly interpolated."""
    visible = int(np.ceil(side / factor))
    start = (side - visible) // 2
    zoomed = ndimage.zoom(np.eye(visible), (factor, 1), order=1)
    trim = (len(zoomed) - side) // 2
    matrix = np.zeros((side, side))
    matrix[:, start : start + visible] = zoomed[trim : trim + side]
    return matrix


def draw_angle(draws: CorruptionDraws, images: np.ndarray, constants: Constants) -> dict[str, np.ndarray]:
    """Draw `angle`, degrees, float32 (N,)."""
    return {"angle": to_range(draws.words(1)[:, 0], -45, 45)}


def motion_blur(images: np.ndarray, constants: Constants, angle: np.ndarray) -> np.ndarray:
    """Blur as by a moving camera, at an angle of its own for each image."""
    radius, deviation = constants
    return blur_along(images, radius, deviation, angle)


def blur_along(images: np.ndarray, radius: float, deviation: float, angles: np.ndarray) -> np.ndarray:
    """Blur each of uint8 (N, H, W, channels) along its angle with half-Gaussian weights; edges are repeated."""
    reach = 2 * int(np.ceil(radius))
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge").astype(np.float32)
    height, width = images.shape[1:3]
    # ImageMagick sums 16-bit levels (times 257), rounds, and truncates to 8 bits.
    totals = np.full(images.shape, 0.5 / 257, np.float32)
    weighted = np.empty(images.shape[1:], np.float32)
    for image, total, angle in zip(padded, totals, angles.tolist(), strict=True):
        for row, column, weight in taps(radius, deviation, angle):
            window = image[reach + row : reach + row + height, reach + column : reach + column + width]
            np.add(total, np.multiply(window, np.float32(weight), out=weighted), out=total)
    return totals.astype(np.uint8)


def taps(radius: float, deviation: float, angle: float) -> list[Tap]:
    """Return the taps of MotionBlurImage (ImageMagick 6); those at the same offset are merged."""
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


def draw_shifts(draws: CorruptionDraws, images: np.ndarray, constants: Constants) -> dict[str, np.ndarray]:
    """Draw `shifts`, int8 (N, steps, 2): dx and dy of each step, from -reach to reach - 1 (as published)."""
    reach, iterations = int(constants[1]), int(constants[2])
    height, width = images.shape[1:3]
    steps = iterations * (height - 2 * reach) * (width - 2 * reach)
    halves = draws.words(steps).view(np.uint16)  # 16 bits decide a shift
    shifts = (halves * np.uint32(2 * reach)) >> np.uint32(16)
    return {"shifts": shifts.astype(np.int8).reshape(len(images), steps, 2) - np.int8(reach)}


def glass_blur(images: np.ndarray, constants: Constants, shifts: np.ndarray) -> np.ndarray:
    """Blur as rough glass does: swap nearby pixels between two Gaussian blurs."""
    deviation, reach, iterations = constants[0], int(constants[1]), int(constants[2])
    smooth = to_levels(gaussian(to_unit(images), deviation))
    source = np.arange(smooth[..., 0].size)
    for steps in np.split(shifts, iterations, axis=1):
        source = source.take(_sources(steps, smooth.shape[:3], reach))
    shuffled = smooth.reshape(-1, 3).take(source, axis=0).reshape(images.shape)
    return to_levels(gaussian(to_unit(shuffled), deviation))


def _sources(shifts: np.ndarray, shape: tuple[int, ...], reach: int) -> np.ndarray:
    """Return the flat index of the pixel of (N, H, W) that each pixel is a copy of after one pass over every image.

    The pass goes from the last pixel to the first and copies a neighbor to each (the published generator means to
    swap the two, but its second assignment reads what the first has written). A neighbor before the pixel is still
    unchanged, but one behind it is already a copy, whose source is followed as far as need be.
    """
    _, height, width = shape
    start = np.arange(np.prod(shape))
    neighbor = start.reshape(shape).copy()
    inside = (slice(None), slice(reach + 1, height - reach + 1), slice(reach + 1, width - reach + 1))
    from_the_end = neighbor[inside][:, ::-1, ::-1]
    dx, dy = np.moveaxis(shifts.reshape(*from_the_end.shape, 2), -1, 0).astype(np.intp)
    from_the_end += dy * width + dx
    neighbor = neighbor.reshape(-1)
    source = neighbor.copy()
    pending = np.flatnonzero(neighbor > start)
    while pending.size:
        copied = source[pending]
        source[pending] = origin = neighbor[copied]
        pending = pending[origin > copied]
    return source
