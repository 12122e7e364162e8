"""The files in a tar, read where they lie."""

import hashlib
import os
import tarfile
from pathlib import Path, PurePosixPath

from doublevit import progress
from doublevit.data.archive import is_hidden
from doublevit.errors import UserError

STEP = 1 << 24  # bytes between two moves of the progress bar


class TarFiles:
    """Every file in an uncompressed tar; its headers are read once, its contents when they are asked for.

    Raises:
        UserError: it is truncated, compressed or no tar, or it holds a link or a path outside its folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, tuple[int, int]] = {}
        try:
            self._index(path)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise UserError(
                f"{path} is no whole tar ({error}); download it again, or unpack it and pass the folder"
            ) from error
        self._file = os.open(path, os.O_RDONLY)
        self.names = frozenset(self._places)
        status = path.stat()
        self.fingerprint = hashlib.sha256(repr((status.st_size, status.st_mtime_ns)).encode()).hexdigest()

    def read(self, name: str) -> bytes:
        """The bytes of one file, from any thread."""
        offset, size = self._places[name]
        return os.pread(self._file, size, offset)

    def _index(self, path: Path) -> None:
        size = path.stat().st_size
        with tarfile.open(path, "r:") as archive, progress.bar(f"reading {path.name}", size, "bytes") as bar:
            done = 0
            while member := archive.next():
                archive.members = []  # type: ignore[attr-defined]  # 750,000 of them would fill a gigabyte
                if member.size < 0 or member.issparse():
                    raise tarfile.ReadError(f"{member.name} claims an impossible size")
                self._add(member)
                if archive.offset - done > STEP:
                    bar.advance(archive.offset - done)
                    done = archive.offset
            end = archive.offset
        with path.open(
            "rb"
        ) as file:  # Python takes half a header for the end; the end of a whole tar is a block of zeros
            file.seek(end)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("it ends too early")

    def _add(self, member: tarfile.TarInfo) -> None:
        if member.isdir():
            return
        name = PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts:
            raise UserError(
                f"{self._path} holds a path outside its folder ({member.name}); it is not safe, and not read"
            )
        if any(is_hidden(part) for part in name.parts):
            return
        if not member.isfile():
            raise UserError(f"{self._path} holds a link or a device ({member.name}); expected files only")
        self._places[str(name)] = (member.offset_data, member.size)
