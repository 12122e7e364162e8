"""Pixels of an opened image as uint8 RGB: what becomes of its turning, transparency, and levels of more than 8 bits."""

import contextlib
import struct

import numpy as np
from PIL import Image, ImageOps

from doublevit.image_files import BadImage

BACKGROUND = (255, 255, 255)
"""The color under what is transparent: white, as a page is; what is stored there would be shown otherwise."""
BITS_PER_SAMPLE = 258  # TIFF's tag
DAMAGED_EXIF = (SyntaxError, ValueError, KeyError, TypeError, IndexError, struct.error)
"""What Pillow raises of EXIF that is damaged, which spoils no image."""
GRAY_LEVELS = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies the levels of a PNG with few bits by, but not the level that is transparent."""


def as_rgb(image: Image.Image, bits: int | None = None) -> np.ndarray:
    """Return a Pillow image as uint8 (H, W, 3): upright, on white where it is transparent, its levels scaled to 8 bits.

    Args:
        image: opened; of several frames or pages, the one that it is at, which is the first.
        bits: of the levels in files of integers of more than 8 bits, where the files have more bits than their levels;
            see `_to_bytes`.

    Raises:
        BadImage: it has levels of which it is not known what is white, or no pixels.
    """
    stated = _stated_bits(image)  # which turning forgets
    _scale_transparent_level(image)
    image.load()  # here, since damage to pixels would pass for damage to EXIF below
    if not image.width * image.height:
        raise BadImage(f"{image.width} x {image.height} pixels: expected at least 1")
    image = _upright(image)
    if image.mode.startswith("I") or image.mode == "F":
        image = _with_bytes(image, stated, bits)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def _upright(image: Image.Image) -> Image.Image:
    with contextlib.suppress(*DAMAGED_EXIF):
        return ImageOps.exif_transpose(image)
    return image


def _scale_transparent_level(image: Image.Image) -> None:
    """Bring the level or color that a PNG calls transparent to the scale that Pillow brings its pixels to."""
    level = image.info.get("transparency")
    raw = str(image.tile[0].args) if getattr(image, "tile", None) else ""  # type: ignore[attr-defined]
    if isinstance(level, int) and raw in GRAY_LEVELS:
        image.info["transparency"] = level * GRAY_LEVELS[raw]
    elif isinstance(level, tuple) and raw == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in level)


def _with_bytes(image: Image.Image, stated: int | None, bits: int | None) -> Image.Image:
    """Return an image of integers or floats with 8 bits a level, as `_to_bytes` scales them."""
    levels = np.asarray(image)
    scaled = Image.fromarray(_to_bytes(levels, stated, bits))
    if (transparent := image.info.get("transparency")) is not None:
        scaled.putalpha(Image.fromarray(np.where(levels == transparent, 0, 255).astype(np.uint8)))
    return scaled


def _to_bytes(levels: np.ndarray, stated: int | None, bits: int | None) -> np.ndarray:
    """Scale levels to 8 bits, uint8 (H, W).

    Integers: the highest 8 of the file's bits, which are `bits` where given, else 8, 10, 12 ... as a TIFF says, else
    16. In files of 32 bits, where white is not known, they are taken for 8 bits up to 255, for 16 up to 65,535.
    Floats: 0 to 1, or, where one is above 1, 0 to 255; rounded.
    """
    if levels.dtype.kind == "f":
        return _of_floats(levels)
    lowest, highest = int(levels.min()), int(levels.max())
    if bits is None:
        bits = stated if stated and 8 <= stated <= 16 else 16
        bits = 8 if stated == 32 and highest < 1 << 8 else bits
    if lowest < 0 or highest >= 1 << bits:
        raise BadImage(
            f"integers from {lowest:,} to {highest:,}: expected 0 to {(1 << bits) - 1:,}, as {bits} bits hold; convert"
            " it to 8 or 16 bits"
        )
    return (levels >> (bits - 8)).astype(np.uint8)


def _stated_bits(image: Image.Image) -> int | None:
    """Return the bits of each level of a TIFF, as it says; None for other kinds."""
    stated = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE)
    return stated[0] if isinstance(stated, tuple) else stated


def _of_floats(levels: np.ndarray) -> np.ndarray:
    lowest, highest = float(levels.min()), float(levels.max())  # NaN where there is one
    if not 0 <= lowest <= highest <= 255:
        raise BadImage(
            f"floats from {lowest:g} to {highest:g}: expected 0 to 1, or 0 to 255; convert it to 8 or 16 bits"
        )
    return np.rint(levels * (255 if highest <= 1 else 1)).astype(np.uint8)
