"""The log of a training: loss, learning rates, speed, memory, time left; to log.jsonl, and to the run's trackers."""

import contextlib
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from accelerate import Accelerator

from doublevit.jsonl import read_lines
from doublevit.runs.checkpoint import Progress
from doublevit.runs.folder import RunFolder
from doublevit.runs.trackers import START, Position
from doublevit.training.time_left import TimeLeft

KIB = 1 if sys.platform == "darwin" else 1024  # the unit of ru_maxrss
NOT_METRICS = ("step", "steps", "time")


class TrainingLog:
    """Writes what is known of a training after some steps and after each epoch; only the first process writes.

    Trackers get the numbers of each entry that they do not have yet, through `Accelerator.log`.
    """

    def __init__(self, run: RunFolder, accelerator: Accelerator, left: TimeLeft) -> None:
        self._run, self._accelerator, self._left = run, accelerator, left

    def write(self, done: Progress, entry: Mapping[str, Any], rate: float | None) -> None:
        """Append an entry, with its step, the speed in images per second, memory and the time left added to it."""
        costs = {
            "images_per_second": rate,
            **memory(self._accelerator.device),
            "seconds_left": self._left.seconds(done.step, done.epoch, rate),
            "val_seconds": self._left.val_seconds(rate),
            "steps": self._left.steps,
            "time": time.time(),
        }
        whole = {"step": done.step, **entry, **costs}
        self._run.log(whole)
        self._accelerator.log(numbers(whole), step=done.step, log_kwargs={})

    @contextlib.contextmanager
    def validation(self) -> Iterator[None]:
        """Time a validation, for the estimate of those to come."""
        start = time.perf_counter()
        yield
        self._left.validation = time.perf_counter() - start

    def ended(self, reason: str) -> None:
        """Append why the training ended before its last epoch, so that it is not taken for one that goes on."""
        self._run.log({"step": max(0, position(self._run)[0]), "ended": reason, "time": time.time()})


def position(run: RunFolder) -> Position:
    """Return the place of the last entry of a run's log."""
    return max((place(entry) for entry in read_lines(run.path / "log.jsonl")), default=START)


def place(entry: Mapping[str, Any]) -> Position:
    """Return the place of an entry of the log."""
    return int(entry["step"]), "epoch" in entry


def memory(device: torch.device) -> dict[str, int]:
    """Return the most bytes that this process had in memory so far, and that tensors took on its GPU."""
    resident = {"resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB}
    if device.type != "cuda":
        return resident
    return resident | {"allocated_bytes": torch.cuda.max_memory_allocated(device)}


def numbers(entry: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the numbers of an entry, those of nested dicts and lists under names such as "train/loss"."""
    found: dict[str, float] = {}
    for name, value in entry.items():
        if isinstance(value, Mapping):
            found |= numbers(value, f"{prefix}{name}/")
        elif isinstance(value, list):
            found |= numbers({str(number): each for number, each in enumerate(value)}, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name not in NOT_METRICS:
            found[prefix + name] = value
    return found
