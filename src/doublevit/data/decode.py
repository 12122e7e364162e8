"""Decoding of image files to uint8 (H, W, 3), and resizing."""

import contextlib
import io
from collections.abc import Iterator

import numpy as np
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

JPEG_START = b"\xff\xd8"
INTERPOLATIONS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
TURNING_MARKS = (b"Exif", b"Orientation")  # of EXIF, of XMP


class BadImage(Exception):  # noqa: N818  # named after its cause
    """Raised for bytes that are no image, or a damaged one; the message says why."""


class TooManyPixels(BadImage):
    """Raised for an image that claims more pixels than Pillow takes."""


def decode(data: bytes, formats: tuple[str, ...] | None = None) -> np.ndarray:
    """Decode any common image format to uint8 (H, W, 3): upright by its EXIF tag, always RGB, 16 bits scaled to 8.

    `formats` are Pillow's names of those that are tried; all that it knows if not given.

    Raises:
        BadImage: the bytes are no image, or are damaged or truncated.
    """
    with _opened(data, formats) as image:
        return as_rgb(image)


def read_size(data: bytes, formats: tuple[str, ...] | None = None) -> tuple[int, int]:
    """Return width and height of an image file as its header says, before memory is taken for its pixels.

    Raises:
        BadImage: the bytes are no image of these formats.
    """
    with _opened(data, formats) as image:
        return image.size


@contextlib.contextmanager
def _opened(data: bytes, formats: tuple[str, ...] | None) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            yield image
    except UnidentifiedImageError as error:
        raise BadImage("no image") from error
    except Image.DecompressionBombError as error:
        raise TooManyPixels(str(error)) from error
    except Exception as error:  # PIL raises a dozen kinds, SyntaxError and struct.error among them
        raise BadImage(str(error) or type(error).__name__) from error


def as_rgb(image: Image.Image) -> np.ndarray:
    """Return a PIL image as uint8 (H, W, 3): turned upright, 16 bits scaled to 8."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):  # PIL would clip instead of scale
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    return np.asarray(upright.convert("RGB"))


def decode_jpeg(data: bytes) -> np.ndarray:
    """Decode a JPEG without EXIF rotation like `decode`, bit for bit, but several times as fast and without the GIL.

    Other formats are passed to `decode`.

    Raises:
        BadImage: as `decode`.
    """
    if not data.startswith(JPEG_START):
        return decode(data)
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, "RGB"))
    except ValueError as error:
        raise BadImage(str(error)) from error


def decode_upright(data: bytes, formats: tuple[str, ...] | None = None) -> np.ndarray:
    """Decode as `decode` does, and as fast as `decode_jpeg` where a JPEG file says nothing of being turned.

    Raises:
        BadImage: the file cannot be decoded, or claims more pixels than Pillow takes.
    """
    if data.startswith(JPEG_START) and not any(mark in data for mark in TURNING_MARKS):
        with contextlib.suppress(ValueError):  # of CMYK, and of damage; Pillow will read it, or say why not
            height, width = simplejpeg.decode_jpeg_header(data)[:2]
            if height * width > 2 * (Image.MAX_IMAGE_PIXELS or height * width):
                raise TooManyPixels(f"{width:,} x {height:,} pixels are too many")
            return np.asarray(simplejpeg.decode_jpeg(data, "RGB"))
    return decode(data, formats)


def squash(image: np.ndarray, size: int, interpolation: str) -> np.ndarray:
    """Resize to a square whatever the shape: (H, W, 3) -> (size, size, 3)."""
    return np.asarray(Image.fromarray(image).resize((size, size), INTERPOLATIONS[interpolation]))


def resize_as_timm(image: np.ndarray, size: int, crop: float, interpolation: str) -> np.ndarray:
    """Apply timm's and torchvision's evaluation transform: (H, W, 3) -> (size, size, 3), to the bit.

    The shorter side is resized to `size / crop` pixels, by "bicubic" or "bilinear" interpolation, then the center cut.
    """
    height, width = image.shape[:2]
    shorter = int(size / crop)
    new_width = shorter if width <= height else int(shorter * width / height)
    new_height = shorter if height <= width else int(shorter * height / width)
    resized = Image.fromarray(image).resize((new_width, new_height), INTERPOLATIONS[interpolation])
    left, top = round((new_width - size) / 2), round((new_height - size) / 2)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


def resize_and_crop(image: np.ndarray, size: int) -> np.ndarray:
    """Resize the shorter side to `size` (bicubic, antialiased) and crop the center: (H, W, 3) -> (size, size, 3)."""
    height, width = image.shape[:2]
    scale = size / min(height, width)
    new_width, new_height = max(size, round(width * scale)), max(size, round(height * scale))
    left, top = (new_width - size) // 2, (new_height - size) // 2
    resized = Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BICUBIC)
    return np.asarray(resized.crop((left, top, left + size, top + size)))
