"""Blurs that need no random numbers: gaussian, defocus, zoom."""

import functools

import numpy as np
from scipy import ndimage, signal, sparse

from doublevit.corruptions.config import Constants
from doublevit.corruptions.levels import cut_off, to_levels, to_unit

FEW_TAPS = 64  # of a kernel; more are faster by Fourier transform


def gaussian(values: np.ndarray, deviation: float) -> np.ndarray:
    """Smooth (N, H, W, ...) along its height and width, out to four deviations, edges repeated (scikit-image's)."""
    if round(4 * deviation) == 0:
        return values  # one tap
    return ndimage.gaussian_filter(values, deviation, mode="nearest", axes=(1, 2))


def gaussian_blur(images: np.ndarray, constants: Constants) -> np.ndarray:
    """Smoothing by a normal curve."""
    (deviation,) = constants
    return to_levels(gaussian(to_unit(images), deviation))


def defocus_blur(images: np.ndarray, constants: Constants) -> np.ndarray:
    """Every point a disk with a softened edge, as an aperture makes of it."""
    kernel = disk(*constants)
    reach = len(kernel) // 2
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="reflect")
    if np.count_nonzero(kernel) > FEW_TAPS:
        return cut_off(signal.fftconvolve(padded, kernel[None, :, :, None], mode="valid", axes=(1, 2)))
    return cut_off(_few_taps(padded, kernel, images.shape))


def _few_taps(padded: np.ndarray, kernel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Correlate, summing what has the same weight as integers before it is weighted, float64."""
    total = np.zeros(shape)
    for weight in np.unique(kernel[kernel > 0]):
        group = np.zeros(shape, np.uint16)
        for row, column in np.argwhere(kernel == weight):
            group += padded[:, row : row + shape[1], column : column + shape[2]]
        total += group * np.float64(weight)
    return total


@functools.lru_cache(maxsize=16)
def disk(radius: float, deviation: float) -> np.ndarray:
    """A disk that sums to 1, smoothed within 3 x 3 pixels (5 x 5 from radius 8 on), float32, without empty borders.

    As published it is smoothed on a grid that ends at 8 pixels and is mirrored there.
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
    """The mean of the photo and of what is seen while zooming into it."""
    count, height, width, colours = images.shape
    blur = _zoom_matrix(height, width, *constants)
    pixels = images.transpose(1, 2, 0, 3).reshape(height * width, count * colours).astype(np.float32)
    blurred = cut_off(blur @ pixels).reshape(height, width, count, colours)
    return np.ascontiguousarray(blurred.transpose(2, 0, 1, 3))


@functools.lru_cache(maxsize=8)
def _zoom_matrix(height: int, width: int, stop: float, step: float) -> sparse.csr_array:
    """All zooms, and the photo itself once more, as one matrix between flat photos; float32."""
    factors = np.arange(1, stop, step)
    zooms = (sparse.kron(zoom_matrix(height, factor), zoom_matrix(width, factor)) for factor in factors)
    total = sum(zooms, sparse.eye_array(height * width))
    return sparse.csr_array(total / (len(factors) + 1), dtype=np.float32)


@functools.lru_cache(maxsize=64)
def zoom_matrix(side: int, factor: float) -> np.ndarray:
    """Zooming into the middle along one axis, linearly, as a matrix (side, side), float64."""
    kept = int(np.ceil(side / factor))
    start = (side - kept) // 2
    zoomed = ndimage.zoom(np.eye(kept), (factor, 1), order=1)
    trim = (len(zoomed) - side) // 2
    matrix = np.zeros((side, side))
    matrix[:, start : start + kept] = zoomed[trim : trim + side]
    return matrix
