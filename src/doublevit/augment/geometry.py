"""Where pixels come from: shears, translations and rotations as Pillow and timm define them.

Operations take uint8 (n, 3, H, W), contiguous, an amount per image, float64 (n,), and for all how to interpolate and
what level to fill with.
"""

import numpy as np
import torch

from doublevit.augment.shifts import lift, shift_columns, shift_rows
from doublevit.augment.warp import warp


def shear_x(images: torch.Tensor, factor: np.ndarray, interpolation: int, fill: int) -> torch.Tensor:
    """Move rows sideways by `factor` times their distance from the top."""
    return shift_rows(images, factor[:, None] * _centres(images.shape[2]), interpolation, fill)


def shear_y(images: torch.Tensor, factor: np.ndarray, interpolation: int, fill: int) -> torch.Tensor:
    """Move columns up by `factor` times their distance from the left."""
    return shift_columns(images, factor[:, None] * _centres(images.shape[3]), interpolation, fill)


def translate_x(images: torch.Tensor, share: np.ndarray, interpolation: int, fill: int) -> torch.Tensor:
    """Move the image to the left by `share` of its width."""
    height, width = images.shape[2:]
    return shift_rows(images, np.repeat(share[:, None] * width, height, axis=1), interpolation, fill)


def translate_y(images: torch.Tensor, share: np.ndarray, interpolation: int, fill: int) -> torch.Tensor:
    """Move the image up by `share` of its height."""
    return lift(images, share * images.shape[2], interpolation, fill)


def rotate(images: torch.Tensor, degrees: np.ndarray, interpolation: int, fill: int) -> torch.Tensor:
    """Rotate about the centre, counter-clockwise."""
    height, width = images.shape[2:]
    return warp(images, rotation(degrees, height, width)[:, :2], interpolation, fill)


def rotation(degrees: np.ndarray, height: int, width: int) -> np.ndarray:
    """Maps (n, 3, 3) from the pixels of images turned counter-clockwise about their centre to the originals'."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    maps = np.zeros((len(degrees), 3, 3))
    maps[:, 0, 0] = maps[:, 1, 1] = cosine
    maps[:, 0, 1], maps[:, 1, 0] = -sine, sine
    maps[:, 2, 2] = 1
    centre = np.array([width / 2, height / 2])
    maps[:, :2, 2] = centre - maps[:, :2, :2] @ centre
    return maps


def _centres(size: int) -> np.ndarray:
    return np.arange(size) + 0.5
