"""Processes that make and write pieces of a corrupted set."""

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import threadpoolctl  # type: ignore[import-untyped]

from doublevit.corrupted.layout import CLEAN_PHOTOS, IMAGES
from doublevit.corrupted.manifest import JPEG_QUALITY, Manifest
from doublevit.corruptions.apply import corrupt
from doublevit.corruptions.digital import to_jpeg
from doublevit.corruptions.textures import Textures
from doublevit.data.tiny_imagenet_c import Cell


@dataclasses.dataclass(frozen=True)
class Job:
    """All that a worker has to know: where the clean photos lie, and what is made of them."""

    root: Path
    manifest: Manifest
    labels: np.ndarray
    textures: Textures

    def make(self, cell: Cell, chunk: range, part: Path) -> int:
        """Corrupt a chunk of the photos and write it into the unfinished cell `part`; returns its length."""
        photos = np.load(self.root / CLEAN_PHOTOS, mmap_mode="r")[chunk.start : chunk.stop]
        indices = np.arange(chunk.start, chunk.stop)
        made = corrupt(photos, *cell, self.manifest.seed, indices, self.textures)
        if self.manifest.kept_as == "store":
            _write_rows(part / IMAGES, made, chunk.start)
        else:
            for index, image in zip(chunk, made, strict=True):
                class_id = self.manifest.class_ids[self.labels[index]]
                (part / class_id / f"test_{index}.JPEG").write_bytes(to_jpeg(image, JPEG_QUALITY))
        return len(chunk)


@contextlib.contextmanager
def processes(job: Job, count: int) -> Iterator[concurrent.futures.Executor]:
    """Workers that run `make`.

    Processes, not threads: numpy's calls on pieces this small would wait for Python's lock most of the time.
    """
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(count, context, _begin, (job,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def make(cell: Cell, chunk: range, part: Path) -> int:
    """What a worker is asked for: `Job.make`."""
    return _job.make(cell, chunk, part)


_job: Job


def _begin(job: Job) -> None:
    """Make this process a worker: it leaves Ctrl-C to its parent, and ends when that one does."""
    global _job  # noqa: PLW0603  # a worker process has one job
    _job = job
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threadpoolctl.threadpool_limits(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _write_rows(path: Path, rows: np.ndarray, first: int) -> None:
    """Put rows into an .npy file; written, not mapped, since a full disk kills who writes into a mapped file."""
    start = np.load(path, mmap_mode="r").offset
    with path.open("r+b") as file:
        file.seek(start + first * rows[0].nbytes)
        file.write(rows.data)
