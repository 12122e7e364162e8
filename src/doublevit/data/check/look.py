"""What there is to see of a single image file: kind, size, whether it is turned, see-through, constant; its hashes.

JPEG files are decoded at a fraction of their size where that leaves enough: all of their data is read, so that damage
is found, at a fraction of the cost.
"""

import contextlib
import hashlib
from typing import Any, NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from doublevit.data.check.hashes import THUMBNAIL
from doublevit.data.decode import DECODING, JPEG_START, TURNING_MARKS, Decoding, decode_upright
from doublevit.data.listing import is_flat
from doublevit.data.pixels import DAMAGED_EXIF, as_rgb
from doublevit.errors import first_line
from doublevit.image_files import BadImage, open_image, require_size

ENOUGH = 2 * THUMBNAIL  # pixels of the shorter side of what is decoded
ORIENTATION = 0x0112  # EXIF's tag
ON_ITS_SIDE = range(5, 9)  # values of it by which height and width change places


class Look(NamedTuple):
    """What a file is: its format and Pillow's mode of it ("JPEG", "RGB"), its size upright in pixels, and more.

    `digest` are 64 bits of the BLAKE2 of its bytes; `thumbnail` is the whole image in gray, uint8 (32, 32).
    """

    kind: tuple[str, str]
    width: int
    height: int
    rotated: bool
    alpha: bool
    flat: bool
    digest: int
    thumbnail: np.ndarray


def look_at(data: bytes, options: Decoding = DECODING) -> Look:
    """Decode a file as far as it takes to describe it.

    Raises:
        BadImage: it is no image, damaged, or has too many pixels, as training would say too.
    """
    if data.startswith(JPEG_START) and not any(mark in data for mark in TURNING_MARKS):
        with contextlib.suppress(ValueError):  # of damage: Pillow will read it, or say why not
            if (look := _plain_jpeg(data, options)) is not None:
                return look
    try:
        with open_image(data, options.max_pixels, options.formats) as image:
            return _by_pillow(data, image, options)
    except BadImage:
        raise
    except Exception as error:  # PIL raises a dozen kinds
        raise BadImage(first_line(error)) from error


def digest(data: bytes) -> int:
    """Return 64 bits that equal files have in common, and others only by chance: 1 in 10^7 for a million files."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _plain_jpeg(data: bytes, options: Decoding) -> Look | None:
    height, width, colors, _ = simplejpeg.decode_jpeg_header(data)
    require_size(width, height, options.max_pixels)
    if colors not in ("YCbCr", "Gray"):
        return None
    least = ENOUGH if min(height, width) > ENOUGH else 0  # 0: no smaller than it is
    gray = np.asarray(simplejpeg.decode_jpeg(data, "GRAY", min_height=least, min_width=least))[..., 0]
    flat = is_flat(gray) and is_flat(decode_upright(data, options))
    kind = ("JPEG", "L" if colors == "Gray" else "RGB")
    return Look(kind, width, height, False, False, flat, digest(data), _thumbnail(Image.fromarray(gray)))


def _by_pillow(data: bytes, image: Image.Image, options: Decoding) -> Look:
    kind, (width, height) = (image.format or "?", image.mode), image.size
    alpha = image.has_transparency_data
    of_tiff = getattr(image, "tag_v2", {}).get(ORIENTATION)  # which loading forgets
    drafted = image.draft(image.mode, (ENOUGH, ENOUGH)) is not None  # of JPEG: a fraction of the size
    pixels = as_rgb(image, options.bits)
    # Not before: what is read of a PNG is its pixels too, and damage to them must be told.
    turn = _orientation(image) if of_tiff is None else _known_turn(of_tiff)
    if not drafted:
        height, width = pixels.shape[:2]
    elif turn in ON_ITS_SIDE:
        width, height = height, width
    flat = is_flat(pixels) and (pixels.shape[:2] == (height, width) or is_flat(decode_upright(data, options)))
    thumbnail = _thumbnail(Image.fromarray(pixels).convert("L"))
    return Look(kind, width, height, turn not in (0, 1), alpha, flat, digest(data), thumbnail)


def _orientation(image: Image.Image) -> int:
    with contextlib.suppress(*DAMAGED_EXIF, OSError):
        return _known_turn(image.getexif().get(ORIENTATION, 1))
    return 1


def _known_turn(value: Any) -> int:
    return value if isinstance(value, int) and 1 <= value < ON_ITS_SIDE.stop else 1


def _thumbnail(gray: Image.Image) -> np.ndarray:
    return np.asarray(gray.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR))
