"""How strong an operation is, in its own unit: timm's scale for AugMix and RandAugment, torchvision's "wide" one.

Each function takes a level, float64 (n,) in 0..1, and a sign, 1 or -1, (n,).
"""

from collections.abc import Callable

import numpy as np

Scale = dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]


def _away_from_one(level: np.ndarray, sign: np.ndarray) -> np.ndarray:
    return np.maximum(0.1, 1 + 0.9 * level * sign)


def _away_from_one_wide(level: np.ndarray, sign: np.ndarray) -> np.ndarray:
    return 1 + 0.99 * level * sign


def _nothing(level: np.ndarray, sign: np.ndarray) -> np.ndarray:
    return np.zeros_like(level)


# timm's "increasing" variants. At level 1 its posterize keeps no bit at all, which Pillow 13 refuses: here one stays.
TIMM: Scale = {
    "autocontrast": _nothing,
    "equalize": _nothing,
    "invert": _nothing,
    "rotate": lambda level, sign: 30 * level * sign,
    "posterize": lambda level, sign: np.maximum(1, 4 - np.floor(4 * level)),
    "solarize": lambda level, sign: 256 - np.floor(256 * level),
    "solarize-add": lambda level, sign: np.floor(110 * level),
    "color": _away_from_one,
    "contrast": _away_from_one,
    "brightness": _away_from_one,
    "sharpness": _away_from_one,
    "shear-x": lambda level, sign: 0.3 * level * sign,
    "shear-y": lambda level, sign: 0.3 * level * sign,
    "translate-x": lambda level, sign: 0.45 * level * sign,
    "translate-y": lambda level, sign: 0.45 * level * sign,
}

# TrivialAugment's wide space, in torchvision's numbers; it translates by up to 32 pixels whatever the photo's size.
WIDE: Scale = {
    "identity": _nothing,
    "autocontrast": _nothing,
    "equalize": _nothing,
    "rotate": lambda level, sign: 135 * level * sign,
    "posterize": lambda level, sign: 8 - np.round(6 * level),
    "solarize": lambda level, sign: 255 - 255 * level,
    "color": _away_from_one_wide,
    "contrast": _away_from_one_wide,
    "brightness": _away_from_one_wide,
    "sharpness": _away_from_one_wide,
    "shear-x": lambda level, sign: 0.99 * level * sign,
    "shear-y": lambda level, sign: 0.99 * level * sign,
    "translate-x": lambda level, sign: np.trunc(32 * level) * sign,
    "translate-y": lambda level, sign: np.trunc(32 * level) * sign,
}
