"""The pass over all files of a source: each is read and looked at once, in threads, a bounded number in memory.

JPEG files are decoded at a fraction of their size where that leaves enough: all of their data is read, so that damage
is found, at a fraction of the cost.
"""

import contextlib
import dataclasses
import hashlib
import os
from typing import Any, NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from doublevit import progress
from doublevit.data.check.hashes import THUMBNAIL, perceptual_hashes
from doublevit.data.check.source import Source
from doublevit.data.decode import DECODING, JPEG_START, TURNING_MARKS, Decoding, decode_upright
from doublevit.data.listing import is_flat
from doublevit.data.pixels import DAMAGED_EXIF, as_rgb
from doublevit.data.stores.reading import in_order
from doublevit.errors import UserError, first_line
from doublevit.image_files import BadImage, open_image, require_size

ENOUGH = 2 * THUMBNAIL  # pixels of the shorter side of what is decoded
ORIENTATION = 0x0112  # EXIF's tag
ON_ITS_SIDE = range(5, 9)  # values of it by which height and width change places
CHUNK = 64  # files that a thread looks at in turn
FACTS = np.dtype(
    [
        *(("width", "i4"), ("height", "i4"), ("rotated", "?"), ("alpha", "?"), ("flat", "?"), ("bad", "?")),
        *(("kind", "i2"), ("digest", "u8"), ("hash", "u8"), ("mirrored", "u8")),
    ]
)
"""What is remembered of each file, 39 bytes: see `Look`; `hash` and `mirrored` are perceptual hashes of the image and
of its mirror image; `kind` is an index into `Scan.kinds`, -1 for a bad file."""


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


@dataclasses.dataclass(frozen=True)
class Scan:
    """What was seen of the N files of a source: `facts` (N,) of type `FACTS`, and why files are `bad`, by index.

    `kinds` are formats with modes, such as ("JPEG", "RGB").
    """

    source: Source
    facts: np.ndarray
    kinds: tuple[tuple[str, str], ...]
    bad: dict[int, str]

    @property
    def good(self) -> np.ndarray:
        """Indices of the files that can be read, int64 (n,)."""
        return np.flatnonzero(~self.facts["bad"])


class _Chunk(NamedTuple):
    looks: list[Look | str]
    hashes: np.ndarray
    mirrored: np.ndarray


def scan(source: Source, options: Decoding, workers: int | None = None) -> Scan:
    """Look at every file of a source; `workers` threads do, one for each core if not given."""
    count, bad = len(source), dict[int, str]()
    facts, kinds = np.zeros(count, FACTS), dict[tuple[str, str], int]()
    chunks = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
    with progress.bar("looking at images", count) as bar:
        seen = in_order(lambda chunk: _look_at_chunk(source, chunk, options), chunks, workers or os.cpu_count() or 1)
        for chunk, (looks, *both) in zip(chunks, seen, strict=True):
            for index, look, *hashes in zip(chunk, looks, *both, strict=True):
                if isinstance(look, str):
                    bad[index] = look
                    facts[index] = (0, 0, False, False, False, True, -1, 0, 0, 0)
                else:
                    kind = kinds.setdefault(look.kind, len(kinds))
                    facts[index] = (*look[1:6], False, kind, look.digest, *hashes)
            bar.advance(len(chunk))
    return Scan(source, facts, tuple(kinds), bad)


def thumbnails_of(source: Source, indices: np.ndarray, options: Decoding, workers: int | None = None) -> np.ndarray:
    """Read some files again, which can be read, and return their images in gray, uint8 (n, 32, 32)."""
    thumbnails = np.zeros((len(indices), THUMBNAIL, THUMBNAIL), np.uint8)
    with progress.bar("comparing images", len(indices)) as bar:
        seen = in_order(lambda index: _look(source, index, options), indices.tolist(), workers or os.cpu_count() or 1)
        for row, look in zip(thumbnails, seen, strict=True):
            if not isinstance(look, str):
                row[:] = look.thumbnail
            bar.advance(1)
    return thumbnails


def _look_at_chunk(source: Source, chunk: range, options: Decoding) -> _Chunk:
    looks = [_look(source, index, options) for index in chunk]
    thumbnails = np.zeros((len(chunk), THUMBNAIL, THUMBNAIL), np.uint8)
    for row, look in zip(thumbnails, looks, strict=True):
        if not isinstance(look, str):
            row[:] = look.thumbnail
    return _Chunk(looks, perceptual_hashes(thumbnails), perceptual_hashes(thumbnails[:, :, ::-1]))


def _look(source: Source, index: int, options: Decoding) -> Look | str:
    """Return what a file is, or why it cannot be read."""
    try:
        look = look_at(source.read(source.names[index]), options)
    except (BadImage, OSError, UserError) as error:
        return getattr(error, "strerror", None) or str(error) or type(error).__name__
    if source.side is not None and (look.width, look.height) != (source.side, source.side):
        return f"expected {source.side} x {source.side} pixels, found {look.width} x {look.height}"
    return look
