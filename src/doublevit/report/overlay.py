"""Attention laid over the photo it belongs to."""

import matplotlib
import numpy as np
from PIL import Image

from doublevit.data.sheet import WIDE_TILE

SIDE = WIDE_TILE - 2
DIM, COVER = 0.6, 0.8  # the photo's light where nothing is looked at; how much of it the brightest colour hides
BRIGHTEST = 97  # percentile: a few empty patches, where networks park attention (Darcet et al. 2023), outshine all


def overlay(photo: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """A photo uint8 (H, W, 3) under a map (rows, columns), scaled up to its 97th percentile: uint8 (192, 192, 3).

    Where all is looked at alike, nothing is bright. The photo turns grey, so that all colour is the map's: none where
    least is looked at, yellow where most is.
    """
    grey = np.asarray(Image.fromarray(photo).convert("L").resize((SIDE, SIDE), Image.Resampling.BICUBIC))[..., None]
    least, most = shares.min(), np.percentile(shares, BRIGHTEST)
    scaled = ((shares - least) / max(most - least, shares.mean() / 2, 1e-12)).clip(0, 1).astype(np.float32)
    heat = np.asarray(Image.fromarray(scaled).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    colours = 255 * np.asarray(matplotlib.colormaps["inferno"](heat.ravel())).reshape(SIDE, SIDE, 4)[..., :3]
    cover = COVER * heat[..., None]
    return ((1 - cover) * DIM * grey + cover * colours).round().astype(np.uint8)


def shown(photo: np.ndarray) -> np.ndarray:
    """A photo uint8 (H, W, 3) as it stands beside its overlays: uint8 (192, 192, 3)."""
    return np.asarray(Image.fromarray(photo).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
