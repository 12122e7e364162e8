"""Timing of work on a device, batch after batch."""

import dataclasses
import math
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.stats import bootstrap

from doublevit import progress
from doublevit.statistics import RESAMPLES, Estimate

MIN_WARMUP, MIN_TIMED = 2, 5  # batches, however long they take
WARMUP_FRACTION = 0.2  # of the time, so that a GPU's clock has risen and its kernels are chosen
CPU_INFO = Path("/proc/cpuinfo")  # on Linux; elsewhere there is no such file


@dataclasses.dataclass(frozen=True)
class Timing:
    """A timing that holds the seconds which each batch took, float64 (batches,), at `batch_size` images each."""

    seconds: np.ndarray
    batch_size: int

    @property
    def count(self) -> int:
        """The number of images in all batches."""
        return self.batch_size * len(self.seconds)

    def images_per_second(self) -> Estimate:
        """Compute the median rate over the batches, with its 95 % interval by the bootstrap (Efron 1979).

        The interval says how well this process knows its median; it does not cover differences between processes, such
        as other load on the machine.
        """
        rates = self.batch_size / self.seconds
        result = bootstrap(
            (rates,), np.median, n_resamples=RESAMPLES, batch=100, method="percentile", rng=np.random.default_rng(0)
        )
        low, high = result.confidence_interval
        return Estimate(float(np.median(rates)), float(low), float(high))


def time_batches(
    work: Callable[[], object], batch_size: int, seconds: float, device: torch.device, title: str = "timing"
) -> Timing:
    """Time `work` repeatedly, after a warm-up.

    Args:
        work: computes one batch.
        batch_size: images in it.
        seconds: about how long to go on; `MIN_TIMED` batches are timed however long they take.
        device: the device to wait for after every batch.
        title: of the progress bar.
    """
    with progress.bar(title, batch_size * (MIN_WARMUP + MIN_TIMED)) as bar:

        def time_batch() -> float:
            start = time.perf_counter()
            work()
            synchronize(device)
            taken = time.perf_counter() - start
            bar.advance(batch_size)
            return taken

        warmup: list[float] = []
        while len(warmup) < MIN_WARMUP or sum(warmup) < WARMUP_FRACTION * seconds:
            warmup.append(time_batch())
        batches = max(MIN_TIMED, math.ceil(seconds / statistics.median(warmup)))
        bar.set_total(batch_size * (len(warmup) + batches))
        return Timing(np.array([time_batch() for _ in range(batches)]), batch_size)


def describe_device(device: torch.device) -> str:
    """Return the device's product name, such as "AMD EPYC 7763, 2 threads" or "NVIDIA H100 80GB HBM3"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    name = _cpu_name() if device.type == "cpu" else f"{_cpu_name()}, {device.type}"
    return f"{name}, {threads} thread{'s' if threads > 1 else ''}"


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all its work: kernels run asynchronously on a GPU."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _cpu_name() -> str:
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.exists() else []
    model_names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(model_names, "") or platform.processor() or platform.machine()
