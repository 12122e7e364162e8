"""Walking through a folder: every file with its size and time, links followed once."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from doublevit.data.names import is_hidden, listed, printable
from doublevit.errors import UserError

Entry = tuple[str, int, int]
"""A file's name below the folder, its size in bytes, and when it was changed, in nanoseconds."""


Identity = tuple[int, int]
"""A folder's device and inode."""
DEEPEST = 500  # folders in one another; a file system allows 2,048


class Links:
    """Collects where links lead that do not stay in the folder `root`, or go in circles."""

    def __init__(self, root: str) -> None:
        self._root = os.path.realpath(root) + os.sep
        self.outside: list[str] = []
        self.count_outside = 0
        self.loops: list[str] = []
        self.broken: list[str] = []

    def add(self, path: str, name: str) -> None:
        """Note a link at `path`, `name` below the root, if it leads nowhere, or outside."""
        if not os.path.exists(path):  # noqa: PTH110
            self.broken.append(name)
            return
        target = os.path.join(os.path.dirname(path), os.readlink(path))  # noqa: PTH115, PTH120
        if not (os.path.normpath(target) + os.sep).startswith((self._root, self._root_as_given(path, name))):
            self.count_outside += 1
            self.outside = self.outside or [name]

    def notes(self) -> Iterator[str]:
        """Yield a line for what the user should know."""
        if self.count_outside:
            more = f", and {self.count_outside - 1:,} more" if self.count_outside > 1 else ""
            yield f"followed a link out of the folder: {printable(self.outside[0])}{more}"
        if self.broken:
            yield f"{len(self.broken):,} links lead nowhere: {listed(self.broken)}"
        for name in self.loops[:3]:
            yield f"not followed: {printable(name)}, which leads back to a folder that it lies in"
        if len(self.loops) > 3:
            yield f"not followed: {len(self.loops) - 3:,} more such folders"

    def _root_as_given(self, path: str, name: str) -> str:
        return os.path.normpath(path.removesuffix(name)) + os.sep


def walk(folder: str, prefix: str, links: Links, above: frozenset[Identity] = frozenset()) -> Iterator[Entry]:
    """Yield the files below a folder that are not hidden, sorted by name; names begin with `prefix`.

    Links to folders are followed, but not into a folder `above`, by device and inode. Pipes and devices are left out,
    since reading one might never end; a link to nowhere is a file, so that reading it tells.

    Raises:
        UserError: a folder cannot be read, or lies in too many others.
    """
    if len(above) == DEEPEST:
        raise UserError(f"{printable(folder[:80])}...: expected at most {DEEPEST} folders in one another, found more")
    entries, identity = _sorted(folder)
    if identity in above:
        links.loops.append(prefix.rstrip("/"))
        return
    inside = above | {identity}
    for entry in entries:
        name = prefix + entry.name
        if entry.is_symlink():
            links.add(entry.path, name)
        if _is_folder(entry):
            yield from walk(entry.path, f"{name}/", links, inside)
        elif (is_file := _is_file(entry)) or entry.is_symlink():
            status = entry.stat(follow_symlinks=is_file)
            yield name, status.st_size, status.st_mtime_ns


def folders_in(folder: str) -> list[str]:
    """Return the names of the folders in a folder that are not hidden, sorted."""
    return [entry.name for entry in _sorted(folder)[0] if _is_folder(entry)]


def _sorted(folder: str) -> tuple[list["os.DirEntry[str]"], Identity]:
    """Entries in the order that whole names have, a folder's files where "folder/" comes, and the folder's identity."""
    try:
        with os.scandir(folder) as entries:
            seen = [entry for entry in entries if not is_hidden(entry.name)]
        status = os.stat(folder)  # noqa: PTH116
    except OSError as error:
        raise UserError(
            f"{printable(folder)} cannot be read ({error.strerror}); expected a folder of images"
        ) from error
    identity = status.st_dev, status.st_ino
    return sorted(seen, key=lambda entry: f"{entry.name}/" if _is_folder(entry) else entry.name), identity


def file_version(root: Path) -> Callable[[str], str]:
    """Return a function of a file's name below `root` whose text changes with its place, size and time of change.

    The text of a file that is not there says so, since reading it tells more.
    """
    place = os.path.realpath(root)

    def version(name: str) -> str:
        try:
            status = os.stat(f"{place}/{name}")  # noqa: PTH116
        except OSError as error:
            return f"{place}/{name} {error}"
        return f"{place}/{name} {status.st_size} {status.st_mtime_ns}"

    return version


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or through a folder that cannot be read
        return False


def _is_file(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False
