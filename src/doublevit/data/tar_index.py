"""Where the members of a tar lie, so that each is read by itself; safe against tars that were made to harm."""

import hashlib
import os
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from doublevit import progress
from doublevit.data.names import is_hidden, printable
from doublevit.errors import UserError
from doublevit.files import MAX_BYTES, whole_file

COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
PROGRESS_STEP = 1 << 24  # bytes between two updates of the progress bar

Member = tuple[str, int, int]
"""A member's name, where its contents begin, and how many bytes they have."""


def members_of(path: Path) -> Iterator[Member]:
    """Yield every file in an uncompressed tar that is not hidden, from its headers alone.

    Raises:
        UserError: the file is truncated, compressed or no tar, or it holds a link or a path outside its folder.
    """
    try:
        for member in _members(path):
            if not member.isdir() and (name := _safe_name(path, member)):
                yield name, member.offset_data, member.size
    except UserError:
        raise
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError) as error:  # ValueError: of sparse members
        raise UserError(
            f"{path} is no whole tar ({error}); download it again, or unpack it and pass the folder"
        ) from error


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(6).startswith(COMPRESSED):
            raise UserError(
                f"{path} is compressed: expected a plain tar, whose members are read where they lie; gunzip,"
                " unxz or the like makes one"
            )
    with tarfile.open(path, "r:") as archive, progress.bar(f"reading {path.name}", size, "bytes") as bar:
        done = 0
        while member := archive.next():
            archive.members = []  # type: ignore[attr-defined]  # forget members as we go: 750,000 would fill a gigabyte
            if member.size < 0 or member.issparse():
                raise tarfile.ReadError(f"{member.name} claims an impossible size")
            yield member
            if archive.offset - done > PROGRESS_STEP:
                bar.advance(archive.offset - done)
                done = archive.offset
        end = archive.offset
    with path.open("rb") as file:  # tarfile takes a truncated header for the end; a whole tar ends in zeros
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it ends too early")


def _safe_name(path: Path, member: tarfile.TarInfo) -> str:
    """Return a member's name, "" if it is hidden."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\0" in member.name:
        raise UserError(
            f"{path} holds a path outside its folder ({printable(member.name)}); it is not safe, and not read"
        )
    if any(is_hidden(part) for part in name.parts):
        return ""
    if not member.isfile():
        raise UserError(f"{path} holds a link or a device ({printable(member.name)}); expected files only")
    return str(name)


def read_member(file: int, name: str, start: int, size: int) -> bytes:
    """Return the contents of a member; `pread` has no shared position, so threads do not disturb each other.

    Raises:
        UserError: it has more bytes than are read of a file.
    """
    if size > MAX_BYTES:
        raise UserError(f"{printable(name)} has {size:,} bytes, more than the {MAX_BYTES:,} that are read")
    return os.pread(file, size, start)


def kept_index(path: Path, cache: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return names, starts and sizes, int64 (N,), of a tar's members; kept in the cache for as long as it is the same.

    Raises:
        UserError: as `members_of`.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(f"{printable(str(path))} cannot be read ({error.strerror}); expected a tar") from error
    key = hashlib.sha256(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}".encode("utf-8", "surrogateescape"))
    saved = cache / f"tar-{key.hexdigest()[:16]}.npz"
    try:
        with np.load(saved, allow_pickle=False) as arrays:
            names = arrays["names"].tobytes().decode("utf-8", "surrogateescape").split("\0")
            return names, arrays["starts"], arrays["sizes"]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        pass  # not kept yet, or damaged
    members = list(members_of(path))
    if not members:
        raise UserError(f"{printable(str(path))} is a tar without a file; expected images in it")
    names = [name for name, _, _ in members]
    starts, sizes = (np.array([member[column] for member in members], dtype=np.int64) for column in (1, 2))
    _keep(saved, {"names": np.frombuffer("\0".join(names).encode("utf-8", "surrogateescape"), np.uint8)}, starts, sizes)
    return names, starts, sizes


def _keep(path: Path, names: dict[str, np.ndarray], starts: np.ndarray, sizes: np.ndarray) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            np.savez(file, starts=starts, sizes=sizes, **names)  # type: ignore[arg-type]
    except (OSError, UserError):  # they are read again next time
        return
