"""The checksum of an array file that is never written: CRC-32 of a header and of equally long pieces, folded.

So a store that keeps images encoded has the checksum that a decoded one of the same images has, and results on both
are results on the same images.
"""

import functools
import io
import operator
import zlib
from collections.abc import Iterable

import numpy as np


def array_checksum(shape: tuple[int, ...], pieces: Iterable[int]) -> int:
    """Return the CRC-32 of the .npy file of a uint8 array whose first axis holds pieces of the given CRC-32."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return fold(zlib.crc32(header.getvalue()), int(np.prod(shape[1:])), pieces)


def fold(start: int, length: int, pieces: Iterable[int]) -> int:
    """Return the CRC-32 of data of checksum `start`, followed by pieces of `length` bytes, given by their CRC-32.

    CRC-32 is linear: crc(data, start) = crc(data, 0) ^ shift(start), where shift depends on the length alone.
    """
    low, second, third, high = _shifts(length)
    for piece in pieces:
        shifted = low[start & 255] ^ second[start >> 8 & 255] ^ third[start >> 16 & 255] ^ high[start >> 24]
        start = shifted ^ piece
    return start


def _shifts(length: int) -> list[list[int]]:
    """Return what `length` more bytes make of each value of each of the four bytes of a CRC-32."""
    zeros = bytes(length)
    of_zeros = zlib.crc32(zeros)
    bits = [zlib.crc32(zeros, 1 << bit) ^ of_zeros for bit in range(32)]
    return [
        [_xor(bits[8 * place + bit] for bit in range(8) if value >> bit & 1) for value in range(256)]
        for place in range(4)
    ]


def _xor(values: Iterable[int]) -> int:
    return functools.reduce(operator.xor, values, 0)
