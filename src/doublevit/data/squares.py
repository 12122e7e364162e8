"""From image files to the squares that are stored of them, in training and evaluation alike."""

import functools
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from doublevit.data.config import DataConfig
from doublevit.data.decode import Decoding, decode_upright
from doublevit.geometry import SIDE, Geometry, to_square, window_of

DECODING_VERSION = 3  # of what files are decoded to; raising it makes new stores


def geometry_of(config: DataConfig) -> Geometry:
    """Return the geometry that a data set's options ask for; those not given are a plain center crop's."""
    return Geometry(
        side=config.size or SIDE,
        fit=config.fit or "crop",
        crop=config.crop or 1.0,
        interpolation=config.interpolation or "bicubic",
        fill=config.fill or (0, 0, 0),
    )


def squares(files: str, geometry: Geometry, options: Decoding) -> dict[str, Any]:
    """Return the fields of a `Listing` of files, whose fingerprint is `files`, that say what is stored of each.

    Its fingerprint differs from that of other files, and of the same by another geometry or decoding.
    """
    shape = f"{files} {DECODING_VERSION} {geometry} {options.bits} {options.max_pixels}"
    shape += f" border {options.border}" if options.border else ""
    decode: Callable[..., np.ndarray] = functools.partial(decode_to, geometry=geometry, options=options)
    return {
        "side": geometry.side,
        "decode": decode,
        "pixels": functools.partial(decode_upright, options=options),
        "window": functools.partial(window_of, geometry=geometry),
        "fingerprint": hashlib.sha256(shape.encode("utf-8", "surrogateescape")).hexdigest(),
    }


def decode_to(data: bytes, margin: int = 0, *, geometry: Geometry, options: Decoding) -> np.ndarray:
    """Decode an image file to a square, uint8 (S, S, 3), as `to_square` makes it.

    Raises:
        BadImage: it cannot be decoded.
    """
    return to_square(decode_upright(data, options), geometry, margin)
