"""Files and folders that are written whole or not at all, locks, checksums, and space asked for before it is needed."""

import contextlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import filelock

from doublevit.errors import UserError


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears under `path` only once the block has ended without an error.

    Raises:
        UserError: the place is full, missing or not writable.
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
    """Fill a folder that appears under `path` only once the block has ended without an error.

    Where another process was first, its folder stays and ours is thrown away: both hold the same.
    """
    part = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        yield part
        for file in part.iterdir():
            file.chmod(0o666 & ~_umask())  # some libraries write for the owner alone
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
    # Temporary files are made private; a finished one gets the rights that any new file here would have.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Replace a small text file in one go."""
    with whole_file(path) as handle:
        handle.write(text.encode())


@contextlib.contextmanager
def alone(lock: Path, complaint: str) -> Iterator[None]:
    """Hold a lock file, so that no other process is in such a block.

    Raises:
        UserError: another is; `complaint` is its text.
    """
    try:
        held = filelock.FileLock(lock).acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(complaint) from None
    with held:
        yield


def crc32(path: Path, before: int = 0) -> int:
    """The CRC-32 of a file, behind what has the checksum `before`.

    It is there to find damage, not malice, and is eight times as fast as SHA-256.
    """
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            before = zlib.crc32(block, before)
    return before


def writable_folder(path: Path, purpose: str) -> Path:
    """Make `path` if need be and check that files can be made in it.

    Raises:
        UserError: it cannot be made or written to; `purpose` says what it was wanted for.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise UserError(f"cannot write to {path} ({purpose}): {error.strerror}; choose another folder") from error


def require_space(folder: Path, size: int, purpose: str) -> None:
    """Raise `UserError` unless `size` bytes (and 1 % more) are free where `folder` lies."""
    free = shutil.disk_usage(folder).free
    if free < size * 1.01:
        raise UserError(
            f"no space left: {purpose} needs {size / 1e6:,.1f} MB in {folder}, {free / 1e6:,.1f} MB are free;"
            " free some or choose another folder"
        )
