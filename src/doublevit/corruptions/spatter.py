"""Spatter: drops of water, or mud, on the lens."""

import numpy as np
from scipy import ndimage

from doublevit.corruptions import edges
from doublevit.corruptions.blur import gaussian
from doublevit.corruptions.config import Constants
from doublevit.corruptions.draws import Draws
from doublevit.corruptions.levels import to_levels, to_unit

WATER = np.array([175, 238, 238]) / 255  # pale turquoise
MUD = np.array([63, 42, 20]) / 255
RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
THINNEST_MUD = 0.8


def draw_liquid(draws: Draws, images: np.ndarray, constants: Constants) -> dict[str, np.ndarray]:
    """`liquid`: normal, float32 (N, H, W)."""
    mean, deviation = constants[:2]
    liquid = draws.normal(images[0, ..., 0].size) * np.float32(deviation) + np.float32(mean)
    return {"liquid": liquid.reshape(images.shape[:3])}


def spatter(images: np.ndarray, constants: Constants, liquid: np.ndarray) -> np.ndarray:
    """Where there is enough liquid it covers the photo."""
    _, _, smoothing, threshold, strength, is_mud = constants
    layer = gaussian(liquid.astype(np.float64), smoothing)
    layer[layer < threshold] = 0
    values = to_unit(images)
    if is_mud:
        cover = gaussian((layer > threshold).astype(np.float32), strength)[..., None]
        cover[cover < THINNEST_MUD] = 0
        return to_levels(values * (1 - cover) + cover * MUD)
    levels = (layer * 255).astype(np.int64).astype(np.uint8)  # as published, beyond white it begins anew at black
    return to_levels(values + _drops(levels, strength)[..., None] * WATER)


def _drops(layer: np.ndarray, strength: float) -> np.ndarray:
    """How much light drops throw, 0..strength, (N, H, W): as from a relief that rises from the drops' rims."""
    distance = edges.chamfer_distance(edges.canny(layer, 50, 150), 20)
    relief = edges.equalise(_box(distance).astype(np.uint8))
    lit = ndimage.correlate(relief.astype(np.int32), RELIEF[None], mode="mirror")
    lit = np.rint(_box(np.clip(lit, 0, 255).astype(np.float32)))
    drops = layer * lit
    brightest = drops.max(axis=(1, 2), keepdims=True)
    return drops * (strength / np.maximum(brightest, 1))  # as published, but without dividing 0 by 0


def _box(values: np.ndarray) -> np.ndarray:
    """The mean of 3 x 3 pixels, mirrored at the outermost ones."""
    return ndimage.correlate(values, np.full((1, 3, 3), 1 / 9), mode="mirror")
