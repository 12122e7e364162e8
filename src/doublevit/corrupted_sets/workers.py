"""Processes that make and write chunks of a corrupted set."""

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

from doublevit.corrupted_sets.layout import CLEAN_IMAGES, IMAGES, TEXTURES, read_descriptions
from doublevit.corrupted_sets.manifest import JPEG_QUALITY, Manifest
from doublevit.corruptions.apply import corrupt
from doublevit.corruptions.digital import to_jpeg
from doublevit.corruptions.textures import Textures
from doublevit.data.identity import Cell
from doublevit.files import whole_file


@dataclasses.dataclass(frozen=True)
class Job:
    """Everything that a worker needs to know: where the clean images are, and how to corrupt them."""

    root: Path
    manifest: Manifest
    labels: np.ndarray
    textures: Textures

    def save(self) -> None:
        """Save in `root` what workers load: sending it to a worker that never starts would block forever."""
        with whole_file(self.root / TEXTURES) as file:
            np.savez(file, *self.textures.pictures, name=np.array(self.textures.name))

    @classmethod
    def load(cls, root: Path) -> "Job":
        """Load what `save` wrote, the manifest and the labels."""
        manifest = Manifest.read(root)
        if manifest is None:
            raise RuntimeError("a set is written without its manifest")
        with np.load(root / TEXTURES, allow_pickle=False) as arrays:
            pictures = tuple(arrays[f"arr_{number}"] for number in range(len(arrays) - 1))
            return cls(root, manifest, read_descriptions(root)[:, 0], Textures(str(arrays["name"]), pictures))

    def make(self, cell: Cell, chunk: range, part: Path) -> int:
        """Corrupt a chunk of the images and write it into the unfinished cell `part`; return its length."""
        images = np.load(self.root / CLEAN_IMAGES, mmap_mode="r")[chunk.start : chunk.stop]
        indices = np.arange(chunk.start, chunk.stop)
        made = corrupt(images, *cell, self.manifest.seed, indices, self.textures)
        if self.manifest.kept_as == "store":
            _write_rows(part / IMAGES, made, chunk.start)
        else:
            for index, image in zip(chunk, made, strict=True):
                class_id = self.manifest.class_ids[self.labels[index]]
                (part / class_id / f"test_{index}.JPEG").write_bytes(to_jpeg(image, JPEG_QUALITY))
        return len(chunk)


@contextlib.contextmanager
def processes(job: Job, count: int) -> Iterator[concurrent.futures.Executor]:
    """Start `count` worker processes for `make`, and end them with the block.

    They are no threads, since NumPy's calls on so small arrays would wait for the GIL most of the time.
    """
    job.save()
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(count, context, _begin, (job.root,))
    try:
        with _ctrl_c_ignored():  # workers inherit it: Ctrl-C is for their parent
            for _ in range(count):
                pool.submit(_start)
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start() -> None:
    """Do nothing: a first task, which makes the pool start a process."""


def make(cell: Cell, chunk: range, part: Path) -> int:
    """Run `Job.make` in a worker."""
    return _job.make(cell, chunk, part)


_job: Job


def _begin(root: Path) -> None:
    """Make this process a worker, which ends when its parent does."""
    global _job  # noqa: PLW0603  # a worker process has one job
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _job = Job.load(root)
    threadpoolctl.threadpool_limits(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _write_rows(path: Path, rows: np.ndarray, first: int) -> None:
    """Write rows into an .npy file, without mapping it: on a full disk, writing to mapped memory kills the process."""
    start = np.load(path, mmap_mode="r").offset
    with path.open("r+b") as file:
        file.seek(start + first * rows[0].nbytes)
        file.write(rows.data)
