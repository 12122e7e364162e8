"""Decoding of image files to uint8 (H, W, 3)."""

import contextlib
import dataclasses

import numpy as np
import simplejpeg

from doublevit.data.pixels import as_rgb
from doublevit.errors import first_line
from doublevit.image_files import FORMATS, MAX_PIXELS, BadImage, open_image, require_size

JPEG_START = b"\xff\xd8"
SAME_AS_PILLOW = ("YCbCr", "Gray", "RGB")  # and not CMYK and YCCK, by a level
START_OF_SCAN = b"\xda"
TURNING_MARKS = (b"Exif", b"Orientation")  # of EXIF, of XMP

__all__ = ["BadImage", "Decoding", "decode", "decode_jpeg", "decode_upright", "may_be_turned"]


@dataclasses.dataclass(frozen=True)
class Decoding:
    """What files do not say themselves: the `bits` of their levels (see `as_rgb`), the most pixels, the formats.

    `decode_upright` cuts off a `border` of so many pixels.
    """

    bits: int | None = None
    max_pixels: int = MAX_PIXELS
    formats: tuple[str, ...] = FORMATS
    border: int = 0


DECODING = Decoding()


def decode(data: bytes, options: Decoding = DECODING) -> np.ndarray:
    """Decode any common image format to uint8 (H, W, 3) by Pillow; see `as_rgb` for what is not plain RGB.

    Raises:
        BadImage: the bytes are no image, are damaged or truncated, or have too many pixels.
    """
    try:
        with open_image(data, options.max_pixels, options.formats) as image:
            return as_rgb(image, options.bits)
    except BadImage:
        raise
    except Exception as error:  # PIL raises a dozen kinds, SyntaxError and struct.error among them
        raise BadImage(first_line(error)) from error


def decode_jpeg(data: bytes) -> np.ndarray:
    """Decode a JPEG without EXIF rotation like `decode`, bit for bit, but several times as fast and without the GIL.

    Other formats are passed to `decode`.

    Raises:
        BadImage: as `decode`.
    """
    if not data.startswith(JPEG_START):
        return decode(data)
    try:
        height, width = simplejpeg.decode_jpeg_header(data)[:2]
        require_size(width, height)
        return np.asarray(simplejpeg.decode_jpeg(data, "RGB"))
    except ValueError as error:
        raise BadImage(first_line(error)) from error


def decode_upright(data: bytes, options: Decoding = DECODING) -> np.ndarray:
    """Decode as `decode` does, and as fast as `decode_jpeg` where a JPEG file says nothing of being turned.

    Raises:
        BadImage: as `decode`, or nothing is left within the border.
    """
    image, border = _upright(data, options), options.border
    if border and min(image.shape[:2]) <= 2 * border:
        raise BadImage(f"nothing within a border of {border} pixels")
    return image[border : image.shape[0] - border, border : image.shape[1] - border] if border else image


def _upright(data: bytes, options: Decoding) -> np.ndarray:
    if data.startswith(JPEG_START) and not may_be_turned(data):
        with contextlib.suppress(ValueError):  # of damage: Pillow will read it, or say why not
            height, width, colors, _ = simplejpeg.decode_jpeg_header(data)
            require_size(width, height, options.max_pixels)
            if colors in SAME_AS_PILLOW:
                return np.asarray(simplejpeg.decode_jpeg(data, "RGB"))
    return decode(data, options)


def may_be_turned(data: bytes) -> bool:
    """Whether the segments of a JPEG that come before its pixels name an orientation; those of a damaged one may."""
    place = 2
    while data[place : place + 1] == b"\xff" and data[place + 1 : place + 2] != START_OF_SCAN:
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    end = place if data[place : place + 1] == b"\xff" else len(data)
    return any(data.find(mark, 0, end) >= 0 for mark in TURNING_MARKS)
