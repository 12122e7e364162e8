"""From the bytes of an image file to uint8 (H, W, 3)."""

import io

import numpy as np
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

JPEG_START = b"\xff\xd8"


class BadImage(Exception):  # noqa: N818  # it names the thing found
    """The bytes are no image, or a damaged one; the text says why."""


def decode(data: bytes) -> np.ndarray:
    """Any common image format as uint8 (H, W, 3): turned upright, grayscale and palettes to RGB, 16 bits to 8.

    Raises:
        BadImage: it cannot be read to its end.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16"):  # PIL would clip instead of scale
                upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            return np.asarray(upright.convert("RGB"))
    except UnidentifiedImageError as error:
        raise BadImage("no image") from error
    except Exception as error:  # PIL raises a dozen kinds, SyntaxError and struct.error among them
        raise BadImage(str(error) or type(error).__name__) from error


def decode_jpeg(data: bytes) -> np.ndarray:
    """The same for plain JPEG files that need no turning, several times as fast and free of Python's lock.

    Bit for bit what `decode` gives (a test compares them on real images).
    """
    if not data.startswith(JPEG_START):
        return decode(data)
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, "RGB"))
    except ValueError as error:
        raise BadImage(str(error)) from error


def resize_and_crop(image: np.ndarray, size: int) -> np.ndarray:
    """Shorter side to `size` (bicubic, antialiased), then the center: (H, W, 3) -> (size, size, 3)."""
    height, width = image.shape[:2]
    scale = size / min(height, width)
    new_width, new_height = max(size, round(width * scale)), max(size, round(height * scale))
    left, top = (new_width - size) // 2, (new_height - size) // 2
    resized = Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BICUBIC)
    return np.asarray(resized.crop((left, top, left + size, top + size)))
