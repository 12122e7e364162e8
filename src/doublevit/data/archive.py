"""The files of a data set, whether they lie in a folder or, never unpacked, in a zip or a tar."""

import functools
import hashlib
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from doublevit.data.names import is_hidden, listed, natural_key, printable
from doublevit.data.tar_index import kept_index, members_of, read_member
from doublevit.data.walk import Links, walk
from doublevit.errors import UserError
from doublevit.files import MAX_BYTES, read_bytes


class Files(Protocol):
    """Named files that can be read from several threads at once.

    `names` are relative paths with forward slashes; `fingerprint` changes when a file is added, removed or altered.
    """

    fingerprint: str

    @property
    def names(self) -> frozenset[str]:
        """All names."""

    def read(self, name: str) -> bytes:
        """Return the contents of one file."""


class FolderFiles:
    """Every file below a folder, except hidden files and those that desktop systems leave behind.

    Names are those below `root`, of all files or of those in its folder `part` alone; `ordered` has them sorted, and
    `links` says where links led.
    """

    def __init__(self, root: Path, part: str = "") -> None:
        self._root = f"{root}/"
        self.links = Links(self._root)
        self.ordered: list[str] = []
        digest = hashlib.sha256(b"[")
        for entry in walk(f"{root}/{part}".rstrip("/"), part, self.links):  # no list of entries: there may be millions
            digest.update(b", " * bool(self.ordered) + repr(entry).encode())
            self.ordered.append(entry[0])
        digest.update(b"]")
        self.fingerprint = digest.hexdigest()

    @functools.cached_property
    def names(self) -> frozenset[str]:
        return frozenset(self.ordered)

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
            raise UserError(
                f"{path}: expected {marker} of Tiny ImageNet in the zip, found {_describe(members)}; other zips are not"
                " read where they are: unpack it and pass the folder"
            )
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


def _describe(members: Sequence[zipfile.ZipInfo]) -> str:
    """Describe what a zip holds: how many files, and the folders on the first level where there are several."""
    names = [info.filename.split("/") for info in members if not any(map(is_hidden, info.filename.split("/")))]
    above = os.path.commonpath(["/".join(parts[:-1]) for parts in names]).split("/") if names else []
    above = list(filter(None, above))
    folders = sorted({f"{parts[len(above)]}/" for parts in names if len(parts) > len(above) + 1}, key=natural_key)
    inside = f" in {printable('/'.join(above))}/" if above else ""
    return f"{len(members):,} files{inside}" + (f", in {listed(folders)}" if folders else "")


class TarFiles:
    """Every file in an uncompressed tar: headers are read once, contents on demand.

    With a `cache`, the index of the tar is saved there, since there may be a million headers to read.

    Raises:
        UserError: the file is truncated, compressed or no tar, or it holds a link or a path outside its folder.
    """

    def __init__(self, path: Path, cache: Path | None = None) -> None:
        if cache is None:
            self._positions = {name: (start, size) for name, start, size in members_of(path)}
        else:
            names, starts, sizes = kept_index(path, cache)
            self._positions = dict(zip(names, zip(starts.tolist(), sizes.tolist(), strict=True), strict=True))
        self._file = os.open(path, os.O_RDONLY)
        self.names = frozenset(self._positions)
        status = path.stat()
        self.fingerprint = hashlib.sha256(repr((status.st_size, status.st_mtime_ns)).encode()).hexdigest()

    def read(self, name: str) -> bytes:
        """Return the contents of one file."""
        return read_member(self._file, name, *self._positions[name])


class SeveralTars:
    """Every file in several tars, as if all were one.

    Raises:
        UserError: as `TarFiles`, or two tars have a file of the same name.
    """

    def __init__(self, paths: Sequence[Path], cache: Path | None = None) -> None:
        tars = [TarFiles(path, cache) for path in paths]
        self._tar_of: dict[str, TarFiles] = {}
        for path, tar in zip(paths, tars, strict=True):
            twice = next((name for name in tar.names if name in self._tar_of), None)
            if twice is not None:
                raise UserError(f"{path} holds {printable(twice)}, which another tar beside it holds too; expected one")
            self._tar_of |= dict.fromkeys(tar.names, tar)
        self.names = frozenset(self._tar_of)
        self.fingerprint = hashlib.sha256(" ".join(tar.fingerprint for tar in tars).encode()).hexdigest()

    def read(self, name: str) -> bytes:
        """Return the contents of one file."""
        return self._tar_of[name].read(name)
