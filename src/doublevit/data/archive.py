"""The files of a data set, whether they lie in a folder or, never unpacked, in a zip or a tar."""

import hashlib
import os
import re
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Protocol

from doublevit import progress
from doublevit.errors import UserError
from doublevit.files import MAX_BYTES, read_bytes

PROGRESS_STEP = 1 << 24  # bytes between two updates of the progress bar


class Files(Protocol):
    """Named files that can be read from several threads at once.

    `names` are relative paths with forward slashes; `fingerprint` changes when a file is added, removed or altered.
    """

    names: frozenset[str]
    fingerprint: str

    def read(self, name: str) -> bytes:
        """Return the contents of one file."""


class FolderFiles:
    """Every file below a folder, except hidden files and those that desktop systems leave behind."""

    def __init__(self, root: Path) -> None:
        self._root = f"{root}/"
        listing = sorted(_walk(str(root), ""))
        self.names = frozenset(name for name, _, _ in listing)
        self.fingerprint = hashlib.sha256(repr(listing).encode()).hexdigest()

    def read(self, name: str) -> bytes:
        return read_bytes(self._root + name)  # plain strings, since building 110,000 Path objects is slow


class ZipFiles:
    """Every file in a zip below the folder that holds `marker`, read without unpacking.

    Raises:
        UserError: the file is no zip or a truncated one, or `marker` is not in it.
    """

    def __init__(self, path: Path, marker: str) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise UserError(f"{path} is no whole zip ({error}); download it again") from error
        members = [info for info in self._zip.infolist() if not info.is_dir()]
        roots = [info.filename[: -len(marker)] for info in members if info.filename.split("/")[-1] == marker]
        if not roots:
            raise UserError(f"{path}: expected {marker} in the zip, found {len(members)} other files")
        self._root = min(roots, key=len)
        listing = sorted((i.filename, i.file_size, i.CRC) for i in members if i.filename.startswith(self._root))
        self.names = frozenset(name[len(self._root) :] for name, _, _ in listing)
        self.fingerprint = hashlib.sha256(repr(listing).encode()).hexdigest()

    def read(self, name: str) -> bytes:
        try:
            if self._zip.getinfo(self._root + name).file_size > MAX_BYTES:
                raise UserError(f"{self._zip.filename}: {name} has more than the {MAX_BYTES:,} bytes that are read")
            return self._zip.read(self._root + name)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
            raise UserError(f"{self._zip.filename}: {name} is damaged ({error}); download the zip again") from error


class TarFiles:
    """Every file in an uncompressed tar: headers are read once, contents on demand.

    Raises:
        UserError: the file is truncated, compressed or no tar, or it holds a link or a path outside its folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._positions: dict[str, tuple[int, int]] = {}
        try:
            self._index(path)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise UserError(
                f"{path} is no whole tar ({error}); download it again, or unpack it and pass the folder"
            ) from error
        self._file = os.open(path, os.O_RDONLY)
        self.names = frozenset(self._positions)
        status = path.stat()
        self.fingerprint = hashlib.sha256(repr((status.st_size, status.st_mtime_ns)).encode()).hexdigest()

    def read(self, name: str) -> bytes:
        """Return the contents of one file; `pread` has no shared position, so threads do not disturb each other."""
        offset, size = self._positions[name]
        return os.pread(self._file, size, offset)

    def _index(self, path: Path) -> None:
        size = path.stat().st_size
        with tarfile.open(path, "r:") as archive, progress.bar(f"reading {path.name}", size, "bytes") as bar:
            done = 0
            while member := archive.next():
                archive.members = []  # type: ignore[attr-defined]  # forget members as we go: 750,000 would fill a gigabyte
                if member.size < 0 or member.issparse():
                    raise tarfile.ReadError(f"{member.name} claims an impossible size")
                self._add(member)
                if archive.offset - done > PROGRESS_STEP:
                    bar.advance(archive.offset - done)
                    done = archive.offset
            end = archive.offset
        with path.open("rb") as file:  # tarfile takes a truncated header for the end; a whole tar ends in zeros
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
        self._positions[str(name)] = (member.offset_data, member.size)


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Return a sort key that orders numbers by value (val_10 after val_9), without ties (1.jpg and 01.jpg)."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden, or made by the operating system and not by the user."""
    return name.startswith(".") or name in ("Thumbs.db", "desktop.ini", "__MACOSX")


def _walk(folder: str, prefix: str) -> list[tuple[str, int, int]]:
    files = []
    for entry in os.scandir(folder):
        if is_hidden(entry.name):
            continue
        if entry.is_dir():
            files += _walk(entry.path, f"{prefix}{entry.name}/")
        else:
            if not entry.is_file() and not entry.is_symlink():
                continue  # reading a pipe or a device might never end
            status = entry.stat(follow_symlinks=entry.is_file())  # a broken link is reported when it is read
            files.append((prefix + entry.name, status.st_size, status.st_mtime_ns))
    return files
