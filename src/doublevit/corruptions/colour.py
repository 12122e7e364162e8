"""Brightness and saturation, in HSV."""

import functools

import numpy as np

from doublevit.corruptions.config import Constants
from doublevit.corruptions.levels import UNIT, to_levels, to_unit

SECTORS = ("vtp", "qvp", "pvt", "pqv", "tpv", "vpq")
"""Which of HSV's four mixtures red, green and blue are, in each sixth of the hue circle."""


def brightness(images: np.ndarray, constants: Constants) -> np.ndarray:
    """The value of HSV, raised: every colour of a pixel grows by as much as its strongest."""
    strongest = np.maximum(np.maximum(images[..., 0], images[..., 1]), images[..., 2])
    cell = np.multiply(strongest[..., None], 256, dtype=np.uint16) + images
    return _brightness_table(*constants).take(cell)


@functools.lru_cache(maxsize=8)
def _brightness_table(raised: float) -> np.ndarray:
    """New levels uint8 (256, 256), of a pixel's strongest colour and of the colour itself."""
    strongest = np.maximum(UNIT, UNIT[1])[:, None]  # anything but 0, which divides
    share = np.where(UNIT[:, None] > 0, UNIT / strongest, 1)  # black becomes grey
    return to_levels(np.clip(UNIT[:, None] + raised, 0, 1) * share)


def saturate(images: np.ndarray, constants: Constants) -> np.ndarray:
    """The saturation of HSV, scaled and shifted; grey, whose hue counts as 0, becomes red where it is shifted."""
    factor, shift = constants
    hue, saturation, value = _to_hsv(to_unit(images))
    return to_levels(_from_hsv(hue, np.clip(saturation * factor + shift, 0, 1), value))


def _to_hsv(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hue (0..6), saturation and value (0..1) of (..., 3), in scikit-image's order of operations."""
    red, green, blue = np.moveaxis(colours, -1, 0)
    value = np.maximum(np.maximum(red, green), blue)
    range_ = value - np.minimum(np.minimum(red, green), blue)
    divisor = np.where(range_ > 0, range_, 1)
    hue = np.where(green == value, 2 + (blue - red) / divisor, (green - blue) / divisor)
    hue = np.where(blue == value, 4 + (red - green) / divisor, hue)
    hue = np.where(range_ > 0, hue / 6 % 1 * 6, 0)
    return hue, range_ / np.where(value > 0, value, 1), value


def _from_hsv(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    sector = np.floor(hue)
    rest = hue - sector
    mixtures = {
        "p": value * (1 - saturation),
        "q": value * (1 - rest * saturation),
        "t": value * (1 - (1 - rest) * saturation),
        "v": value,
    }
    which = sector.astype(np.uint8) % 6
    return np.stack([np.choose(which, [mixtures[s[colour]] for s in SECTORS]) for colour in range(3)], axis=-1)
