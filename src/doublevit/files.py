"""Atomic writing of files and folders, locks, checksums, and checks of permissions and free space."""

import contextlib
import errno
import os
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import filelock

from doublevit.errors import UserError

MAX_BYTES = 1 << 31  # of a file that is read whole


def read_bytes(path: str | Path, limit: int = MAX_BYTES) -> bytes:
    """Read a whole file, if it is a regular one: a pipe or a device might never end.

    Raises:
        OSError: it cannot be read, is no regular file, or has more than `limit` bytes.
    """
    # A pipe that nobody writes to would block already when it is opened.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        if status.st_size > limit:
            raise OSError(errno.EFBIG, f"{status.st_size:,} bytes, more than the {limit:,} that are read", str(path))
        return file.read(status.st_size + 1)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that is renamed to `path` when the block ends without an error.

    Raises:
        UserError: the disk is full, or the folder is missing or not writable.
    """
    part = None
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        part = Path(name)
        with os.fdopen(descriptor, "w+b") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}); make room there, or choose another place") from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Make a temporary folder that is renamed to `path` when the block ends without an error.

    If another process was faster, its folder stays and ours is deleted: both hold the same.
    """
    part = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        yield part
        for file in part.iterdir():
            file.chmod(0o666 & ~_umask())  # some libraries make files private
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
        part.chmod(0o777 & ~_umask())
        with contextlib.suppress(FileExistsError):
            _rename(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _rename(part: Path, path: Path) -> None:
    try:
        part.rename(path)
    except OSError:
        if not path.is_dir():
            raise
        raise FileExistsError(path) from None


def _umask() -> int:
    # Temporary files are private; finished ones get the permissions of any new file. To read the umask, set it.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def folder_size(folder: Path, block: int = 0) -> int:
    """Return the bytes of all files in a folder, also while others delete some of them; links are not followed.

    A file counts as at least `block` bytes, which is what an empty one takes of a disk.
    """
    size = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                size += max(block, os.lstat(Path(root, name)).st_size)
    return size


def write_text(path: Path, text: str) -> None:
    """Write or replace a small text file atomically."""
    with whole_file(path) as handle:
        handle.write(text.encode())


@contextlib.contextmanager
def exclusive_lock(lock: Path, complaint: str) -> Iterator[None]:
    """Hold a lock file for the block, without waiting for it.

    Raises:
        UserError: another process holds it; `complaint` is the message.
    """
    try:
        held = filelock.FileLock(lock).acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(complaint) from None
    with held:
        yield


def crc32(path: Path, start: int = 0) -> int:
    """Return the CRC-32 of a file, continued from that of earlier data, `start`.

    It detects damage, not malice, and is eight times as fast as SHA-256.
    """
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            start = zlib.crc32(block, start)
    return start


def writable_folder(path: Path, purpose: str) -> Path:
    """Make the folder `path` if need be, check that it is writable, and return it.

    Raises:
        UserError: the folder cannot be made or written to; the message names its `purpose`.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise UserError(f"cannot write to {path} ({purpose}): {error.strerror}; choose another folder") from error


def reserve(file: BinaryIO, size: int) -> None:
    """Take `size` bytes of the disk for an open file now: a mapped file on a full disk would end the process.

    Raises:
        OSError: the disk is full.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)


def require_space(folder: Path, size: int, purpose: str) -> None:
    """Raise `UserError` unless `size` bytes (and 1 % more) are free on the disk of `folder`."""
    free = shutil.disk_usage(folder).free
    if free < size * 1.01:
        raise UserError(
            f"no space left: {purpose} needs {size / 1e6:,.1f} MB in {folder}, {free / 1e6:,.1f} MB are free;"
            " free some or choose another folder"
        )
