"""Conversion between levels 0..255 and values in 0..1, as in the published generator."""

import numpy as np

UNIT = np.arange(256) / 255.0
"""The value in 0..1 of each level, float64 (256,)."""


def to_unit(images: np.ndarray) -> np.ndarray:
    """Convert levels to values in 0..1, float64."""
    return images / 255.0


def to_levels(values: np.ndarray) -> np.ndarray:
    """Clip values to 0..1 in place and convert them to uint8 levels, truncated as published, not rounded."""
    np.clip(values, 0, 1, out=values)
    values *= 255
    return values.astype(np.uint8)


def clip_levels(levels: np.ndarray) -> np.ndarray:
    """Clip values to 0..255 in place and convert them to uint8 levels, truncated as published, not rounded."""
    np.clip(levels, 0, 255, out=levels)
    return levels.astype(np.uint8)
