"""The pass over a source's files before they are kept encoded: each is read and decoded once, in threads.

So damage is found before training, and the checksum of the decoded images is known without storing them.
"""

import collections
import dataclasses
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from PIL import Image

from doublevit.data.decode import BadImage
from doublevit.data.listing import Listing, is_flat
from doublevit.errors import UserError

CHUNK = 32  # images that a thread reads at once
AHEAD = 2  # chunks for each thread that may wait to be used
QUALITY = 95  # of images that are encoded again

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class ReadFile:
    """A file's bytes as they are to be kept, and of what they decode to the CRC-32 with and without its margin.

    Or why it is `bad`; it `is_flat` if it shows next to nothing.
    """

    data: bytes = b""
    crc32: int = 0
    inner_crc32: int = 0
    is_flat: bool = False
    bad: str = ""


def read_files(listing: Listing, split: str, side: int | None, threads: int) -> Iterator[tuple[range, list[ReadFile]]]:
    """Yield positions and files of a split, in order, a chunk at a time; few chunks are in memory at once.

    Images whose shorter side is longer than `side` are made that small and encoded again, if it is given.
    """
    names = listing.splits[split].names

    def read_chunk(positions: range) -> tuple[range, list[ReadFile]]:
        return positions, [_read(listing, split, names[position], side) for position in positions]

    chunks = (range(start, min(start + CHUNK, len(names))) for start in range(0, len(names), CHUNK))
    return in_order(read_chunk, chunks, threads)


def in_order(call: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """Yield the results of calls in threads, in the order of the items, a bounded number of them in advance."""
    pool, waiting = ThreadPoolExecutor(threads), collections.deque[Future[Result]]()
    try:
        for item in items:
            waiting.append(pool.submit(call, item))
            if len(waiting) > AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read(listing: Listing, split: str, name: str, side: int | None) -> ReadFile:
    try:
        data = listing.read(name)
        if side is not None:
            data = smaller(data, side, listing.pixels)
        image, margin = np.ascontiguousarray(listing.decode_bytes(split, data)), listing.margin_of(split)
        inner = np.ascontiguousarray(image[margin : len(image) - margin, margin : len(image) - margin])
        return ReadFile(data, zlib.crc32(image.data), zlib.crc32(inner.data), is_flat(image))
    except (BadImage, OSError, UserError) as error:
        return ReadFile(bad=str(error) or type(error).__name__)


def smaller(data: bytes, side: int, decode: Callable[[bytes], np.ndarray]) -> bytes:
    """Return an image with a shorter side of `side` pixels (bicubic) as JPEG; one that is no larger stays as it is.

    `decode` brings it to uint8 (H, W, 3).

    Raises:
        BadImage: it cannot be decoded.
    """
    image = Image.fromarray(decode(data))
    if min(image.size) <= side:
        return data
    width, height = (max(1, round(length * side / min(image.size))) for length in image.size)
    encoded = io.BytesIO()
    image.resize((width, height), Image.Resampling.BICUBIC).save(encoded, "JPEG", quality=QUALITY)
    return encoded.getvalue()
