"""The pass over all files of a source: each is read and looked at once, in threads, a bounded number in memory."""

import dataclasses
import os
from typing import NamedTuple

import numpy as np

from doublevit import progress
from doublevit.data.check.hashes import THUMBNAIL, perceptual_hashes
from doublevit.data.check.look import Look, look_at
from doublevit.data.check.source import Source
from doublevit.data.decode import BadImage, Decoding
from doublevit.data.stores.reading import in_order
from doublevit.errors import UserError

CHUNK = 64  # files that a thread looks at in turn
FACTS = np.dtype(
    [
        *(("width", "i4"), ("height", "i4"), ("rotated", "?"), ("alpha", "?"), ("flat", "?"), ("bad", "?")),
        *(("kind", "i2"), ("digest", "u8"), ("hash", "u8"), ("mirrored", "u8")),
    ]
)
"""What is kept of each file, 39 bytes: see `look.Look`; `hash` and `mirrored` are perceptual hashes of the image and of
its mirror image; `kind` is an index into `Scan.kinds`, -1 for a bad file."""


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
