"""Image files: which kinds are opened, how large they may be, and what other files are called.

Pillow is told which formats may be opened: of its others, some start a program (EPS: Ghostscript), and most hold no
images of a data set. The contents of a file decide what it is, not its name.
"""

import contextlib
import functools
import io
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from doublevit.errors import UserError
from doublevit.files import read_bytes

FORMATS = (
    *("JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "BMP", "DIB", "AVIF", "HEIF", "JPEG2000", "PPM", "QOI", "SGI"),
    *("PCX", "TGA"),  # last, since they begin with next to nothing that marks them
)
HEIF_SUFFIXES = (".heic", ".heif", ".hif")
BOUND = "DOUBLEVIT_MAX_PIXELS"
_GIVEN = os.environ.get(BOUND) or str(2 * 1024**3 // 12)
_IS_BOUND = _GIVEN.strip().isdecimal() and 0 < len(_GIVEN.strip()) <= 12 and int(_GIVEN) > 0
MAX_PIXELS = int(_GIVEN) if _IS_BOUND else 1
"""The most pixels of an image that is decoded: 178,956,970, Pillow's own bound, unless the environment says another."""
NOT_IMAGES = {
    b"\x1f\x8b": "a gzip file: expected the image itself; gunzip unpacks it",
    b"PK\x03\x04": "a zip file: expected the image itself; unpack it",
    b"Rar!": "a rar file: expected the image itself; unpack it",
    b"7z\xbc\xaf\x27\x1c": "a 7z file: expected the image itself; unpack it",
    b"\x28\xb5\x2f\xfd": "a zstd file: expected the image itself; unpack it",
    b"BZh": "a bzip2 file: expected the image itself; unpack it",
    b"\xfd7zXZ\x00": "an xz file: expected the image itself; unpack it",
    b"%PDF": "a PDF: expected an image; export its pages as PNG",
    b"%!PS": "PostScript, which is a program and not run: expected an image; export it as PNG",
    b"\xc5\xd0\xd3\xc6": "PostScript, which is a program and not run: expected an image; export it as PNG",
    b"\xff\x0a": "JPEG XL, which is not read: expected a JPEG, PNG or the like",
    b"\x00\x00\x00\x0cJXL ": "JPEG XL, which is not read: expected a JPEG, PNG or the like",
    b"\x93NUMPY": "a NumPy array: expected an image; pass arrays in Python",
    b"version https://git-lfs": "a pointer of Git LFS: git lfs pull brings the image itself",
    b"<svg": "SVG, a drawing: expected an image; export it as PNG",
    b"<?xml": "XML, perhaps an SVG drawing: expected an image; export it as PNG",
    b"<!DOCTYPE": "a web page: expected an image; was it downloaded from behind a login?",
    b"<html": "a web page: expected an image; was it downloaded from behind a login?",
}
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


class BadImage(Exception):  # noqa: N818  # named after its cause
    """Raised for bytes that are no image, or a damaged one; the message says why."""


class TooManyPixels(BadImage):
    """Raised for an image without pixels, or that says itself to have more than are taken; `found` is its size."""

    def __init__(self, width: int, height: int, max_pixels: int) -> None:
        self.found = f"{width:,} x {height:,} pixels"
        super().__init__(
            f"{self.found}: expected 1 to {max_pixels:,} in all; where it is an honest image, set the environment"
            " variable DOUBLEVIT_MAX_PIXELS to more, or `data.max_pixels` of a run"
        )


def require_bound() -> None:
    """Raise `UserError` if the environment states a bound on pixels that is no number of them."""
    if not _IS_BOUND:
        raise UserError(f"{BOUND}={_GIVEN[:40]}: expected a whole number of pixels, such as {2 * 1024**3 // 12}")


def open_image(data: bytes | Path, max_pixels: int = MAX_PIXELS, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """Open an image by its contents, of which only the head is decoded: a file, or the bytes of one.

    Raises:
        BadImage: it is no image of these formats, or has more than `max_pixels`.
        OSError: the file cannot be read.
    """
    data = read_bytes(data) if isinstance(data, Path) else data
    image = next(_as_images(data, formats), None)
    if image is None:
        raise BadImage(_what_else(data))
    require_size(*image.size, max_pixels)
    return image


def require_size(width: int, height: int, max_pixels: int = MAX_PIXELS) -> None:
    """Raise `TooManyPixels` for an image without pixels, or with more than `max_pixels`."""
    if not 0 < width * height <= max_pixels:
        raise TooManyPixels(width, height, max_pixels)


def suffixes() -> frozenset[str]:
    """Return what the names of image files end in, in lower case, with the dot."""
    registered = Image.registered_extensions().items()
    return frozenset(suffix for suffix, name in registered if name in FORMATS) | frozenset(HEIF_SUFFIXES)


def _as_images(data: bytes, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """Yield what the readers of Pillow that know the beginning of `data` make of it.

    As `PIL.Image.open` does with `formats`, but without its own bound on pixels, which is one for the whole process.
    """
    _load_readers(heif=_is_heif(data))
    for name in formats:
        factory, accept = Image.OPEN.get(name, (None, None))
        with contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):  # as Pillow: no image of this kind
            if factory is not None and (accept is None or accept(data[:16]) is True):  # text: support is not built in
                yield factory(io.BytesIO(data), "")


@functools.cache
def _load_readers(*, heif: bool) -> None:
    """Import the readers that Pillow has, and that of HEIC, where it is installed and wanted."""
    require_bound()
    Image.init()
    if heif:
        try:
            import pillow_heif
        except ImportError as error:
            raise BadImage("HEIC, as cameras of phones write: pip install pillow-heif, and it is read") from error
        pillow_heif.register_heif_opener()


def _is_heif(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS


def _what_else(data: bytes) -> str:
    """Return what bytes are that are no image."""
    if not data:
        return "an empty file: expected an image"
    start = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    if data[4:8] == b"ftyp":
        return f"a film or another file of its kind ({data[8:12].decode('ascii', 'replace')}): expected an image"
    if data[128:132] == b"DICM":
        return "DICOM: expected an image; export it as PNG"
    return next((what for mark, what in NOT_IMAGES.items() if start.startswith(mark)), "no image")
