"""Downloads that are checked, and in place only when whole."""

import dataclasses
from pathlib import Path

import filelock
import pooch
import requests

from doublevit import progress
from doublevit.errors import UserError
from doublevit.files import writable_folder


@dataclasses.dataclass(frozen=True)
class Download:
    """A file on the web: its address, its md5 (hexadecimal) and the name it gets."""

    url: str
    md5: str
    file_name: str


def fetch(download: Download, folder: Path) -> Path:
    """Download into `folder`, or find it there from before; what is broken off leaves nothing and begins anew.

    Raises:
        UserError: the server cannot be reached, breaks off, or sends something else than expected.
    """
    writable_folder(folder, "downloads; `data.cache` sets another cache")
    pooch.get_logger().setLevel("WARNING")
    try:
        with filelock.FileLock(folder / ".lock"), progress.bar("downloading", 0, unit="bytes") as bar:
            for stale in folder.glob("tmp*"):  # of a process that was killed; the lock says none is at work
                stale.unlink()
            path = pooch.retrieve(
                download.url,
                known_hash=f"md5:{download.md5}",
                fname=download.file_name,
                path=folder,
                downloader=pooch.HTTPDownloader(progressbar=_PoochBar(bar), timeout=60),
            )
    except requests.RequestException as error:
        raise UserError(
            f"cannot download {download.url} ({type(error).__name__}); try again,"
            " or fetch it elsewhere and pass `data.path`"
        ) from error
    except ValueError as error:  # pooch's word for a wrong checksum
        raise UserError(
            f"{download.url}: what came is not the expected file (md5 {download.md5} wanted); try again later"
        ) from error
    return Path(path)


class _PoochBar:
    """pooch's idea of a progress bar (tqdm's), drawn by ours."""

    total = 0

    def __init__(self, bar: progress.Bar) -> None:
        self._bar = bar

    def update(self, count: int) -> None:
        """Add `count` bytes."""
        self._bar.set_total(self.total)
        self._bar.advance(count)

    def reset(self) -> None:
        """Back to zero bytes; pooch does this at the end, before it adds them all at once."""
        self._bar.reset()

    def close(self) -> None:
        """The bar closes with its block."""
