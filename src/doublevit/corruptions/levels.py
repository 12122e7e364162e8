"""Between levels 0..255 and values in 0..1, as the published generator goes there and back."""

import numpy as np

UNIT = np.arange(256) / 255.0
"""What each level is in 0..1, float64 (256,)."""


def to_unit(images: np.ndarray) -> np.ndarray:
    """Levels as values in 0..1, float64."""
    return images / 255.0


def to_levels(values: np.ndarray) -> np.ndarray:
    """Values in 0..1, overwritten, as levels: clipped, and cut off instead of rounded, as published."""
    np.clip(values, 0, 1, out=values)
    values *= 255
    return values.astype(np.uint8)


def cut_off(levels: np.ndarray) -> np.ndarray:
    """Values in 0..255 and beyond, overwritten, as levels: clipped, and cut off instead of rounded, as published."""
    np.clip(levels, 0, 255, out=levels)
    return levels.astype(np.uint8)
