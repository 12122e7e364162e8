"""Downloads that are verified by checksum before they appear under their name."""

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
    """A file on the web: its address, its md5 (hexadecimal) and the local file name."""

    url: str
    md5: str
    file_name: str


def fetch(download: Download, folder: Path) -> Path:
    """Return the file in `folder`, downloaded unless it is already there; an interrupted download starts over.

    Raises:
        UserError: the server cannot be reached, breaks off, or sends a file with another checksum.
    """
    writable_folder(folder, "downloads; `data.cache` sets another cache")
    pooch.get_logger().setLevel("WARNING")
    try:
        with filelock.FileLock(folder / ".lock"), progress.bar("downloading", 0, unit="bytes") as bar:
            for stale in folder.glob("tmp*"):  # left by a killed process: we hold the lock
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
    except ValueError as error:  # pooch raises it for a wrong checksum
        raise UserError(
            f"{download.url}: what came is not the expected file (md5 {download.md5} wanted); try again later"
        ) from error
    return Path(path)


class _PoochBar:
    """An adapter from the interface of tqdm, which pooch expects, to our progress bar."""

    total = 0

    def __init__(self, bar: progress.Bar) -> None:
        self._bar = bar

    def update(self, count: int) -> None:
        """Add `count` bytes."""
        self._bar.set_total(self.total)
        self._bar.advance(count)

    def reset(self) -> None:
        """Start over from zero bytes, as pooch does at the end before it adds all at once."""
        self._bar.reset()

    def close(self) -> None:
        """Do nothing: the bar closes with its block."""
