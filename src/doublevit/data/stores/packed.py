"""Packed files: the bytes of many images in a few large files, with the place of each."""

import array
import bisect
import os
import weakref
import zlib
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from doublevit.errors import UserError
from doublevit.files import crc32

SHARD_BYTES = 1 << 31  # from this size on, a next file is begun


class Shard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file's size in bytes and CRC-32."""

    size: int
    crc32: int


class Packer:
    """Writes bytes into `<split>-000.bin` and so on; `offsets` tell where each begins, as if they were one file."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder, self._split = folder, split
        self.offsets, self.shards = array.array("q", [0]), list[Shard]()
        self._file, self._size, self._crc32 = self._next(), 0, 0

    def add(self, data: bytes) -> None:
        """Write the bytes of the next image."""
        if self._size >= SHARD_BYTES:
            self._end()
            self._file, self._size, self._crc32 = self._next(), 0, 0
        self._file.write(data)
        self._size += len(data)
        self._crc32 = zlib.crc32(data, self._crc32)
        self.offsets.append(self.offsets[-1] + len(data))

    def close(self) -> tuple[Shard, ...]:
        """End the last file and return what all hold."""
        self._end()
        return tuple(self.shards)

    def _next(self) -> BinaryIO:
        return shard_path(self._folder, self._split, len(self.shards)).open("wb")

    def _end(self) -> None:
        self._file.close()
        self.shards.append(Shard(self._size, self._crc32))


class PackedFiles:
    """Reads what a `Packer` wrote, from several threads at once.

    It reads instead of mapping: a file that shrinks is an error that can be told, and memory does not grow.

    Raises:
        UserError: a file is missing or of another size than was written.
    """

    def __init__(self, folder: Path, split: str, shards: tuple[Shard, ...], offsets: np.ndarray) -> None:
        self._starts = np.cumsum([0, *(shard.size for shard in shards)]).tolist()
        self._paths = [shard_path(folder, split, number) for number in range(len(shards))]
        self._offsets = offsets
        for path, shard in zip(self._paths, shards, strict=True):
            size = path.stat().st_size if path.is_file() else None
            if size != shard.size:
                found = "no file" if size is None else f"{size:,}"
                raise UserError(
                    f"{path} is not whole: expected {shard.size:,} bytes, found {found}; delete {folder} and prepare"
                    " again"
                )
        self._files = [os.open(path, os.O_RDONLY) for path in self._paths]
        weakref.finalize(self, _close, self._files)

    def read(self, index: int) -> bytes:
        """Return the bytes of one image.

        Raises:
            UserError: its file has become shorter.
        """
        start, end = int(self._offsets[index]), int(self._offsets[index + 1])
        number = bisect.bisect_right(self._starts, start, hi=len(self._files)) - 1
        data = os.pread(self._files[number], end - start, start - self._starts[number])
        if len(data) != end - start:
            raise UserError(f"{self._paths[number]} ends before image {index:,}; delete its folder and prepare again")
        return data


def _close(files: list[int]) -> None:
    for file in files:
        os.close(file)


def changed_shard(folder: Path, split: str, shards: tuple[Shard, ...]) -> Path | None:
    """Read every byte and return the first file that is not as it was written, if there is one."""
    for number, shard in enumerate(shards):
        path = shard_path(folder, split, number)
        if not path.is_file() or crc32(path) != shard.crc32:
            return path
    return None


def shard_path(folder: Path, split: str, number: int) -> Path:
    """Return the path of a split's packed file."""
    return folder / f"{split}-{number:03}.bin"
