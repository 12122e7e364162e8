"""Work on a device: timed batch after batch, the most memory that it holds, its multiplications; the device's name."""

import contextlib
import dataclasses
import itertools
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import bootstrap
from torch import nn
from torch.autograd import DeviceType
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from doublevit import progress
from doublevit.device import device_of
from doublevit.statistics import RESAMPLES, Estimate

WARM, LEAST = 2, 5  # batches before the clock counts, and on the clock, however long they take
WARM_FRACTION = 0.2  # of the time, so that a GPU's clock has risen and its kernels are chosen
CPU_INFO = Path("/proc/cpuinfo")  # of Linux
MEASURED = ("cpu", "cuda")
"""Kinds of devices that tell what is allocated on them."""


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds that each batch of `images` images took, float64 (batches,)."""

    taken: np.ndarray
    images: int

    @property
    def count(self) -> int:
        """Images in all."""
        return self.images * len(self.taken)

    def rate(self) -> Estimate:
        """Images a second: the median over the batches, with the bootstrap's 95 % interval of it (Efron 1979).

        It says how well this process's median is known now; another day the machine may be in another mood.
        """
        rates = self.images / self.taken
        drawn = bootstrap(
            (rates,), np.median, n_resamples=RESAMPLES, batch=100, method="percentile", rng=np.random.default_rng(0)
        )
        low, high = drawn.confidence_interval
        return Estimate(float(np.median(rates)), float(low), float(high))


def time_batches(
    work: Callable[[], object], images: int, seconds: float, device: torch.device, title: str = "timing"
) -> Timing:
    """Time `work` again and again, after warming up.

    Args:
        work: computes one batch.
        images: how many there are in it.
        seconds: about how long to go on; five batches are timed however long they take.
        device: is waited for after every batch.
        title: of the progress bar.
    """
    with progress.bar(title, images * (WARM + LEAST)) as bar:

        def once() -> float:
            start = time.perf_counter()
            work()
            synchronize(device)
            taken = time.perf_counter() - start
            bar.advance(images)
            return taken

        warm: list[float] = []
        while len(warm) < WARM or sum(warm) < WARM_FRACTION * seconds:
            warm.append(once())
        batches = max(LEAST, math.ceil(seconds / statistics.median(warm)))
        bar.set_total(images * (len(warm) + batches))
        return Timing(np.array([once() for _ in range(batches)]), images)


def describe_device(device: torch.device) -> str:
    """What people call the device: "AMD EPYC 7763, 2 threads", "NVIDIA H100 80GB HBM3"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    name = _cpu_name() if device.type == "cpu" else f"{_cpu_name()}, {device.type}"
    return f"{name}, {threads} thread{'s' if threads > 1 else ''}"


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _cpu_name() -> str:
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def held(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of the memory behind some tensors, that which several share counted once."""
    storages = (tensor.untyped_storage() for tensor in tensors)
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def peak_on_top(work: Callable[[], object], device: torch.device) -> int:
    """Most bytes on a device in `MEASURED` that `work` holds at a time, on top of what is there before it.

    On CUDA by the statistics of torch's allocator, which rounds up to blocks of 512 bytes; on the CPU by what torch's
    profiler hears of its allocator. Neither hears of what libraries allocate on their own. Let `work` run once before,
    so that what stays for good is there.
    """
    return _peak_on_gpu(work, device) if device.type == "cuda" else _peak_on_cpu(work)


def _peak_on_gpu(work: Callable[[], object], device: torch.device) -> int:
    synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    work()
    synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _peak_on_cpu(work: Callable[[], object]) -> int:
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or a machine without GPU is told so as an error
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    on_cpu = sorted((event for event in events if event.device_type() == DeviceType.CPU), key=lambda e: e.start_ns())
    return max(itertools.accumulate((event.nbytes() for event in on_cpu), initial=0))


@torch.enable_grad()  # the counter follows modules by hooks that fail on views made without
def macs(network: nn.Module, images: torch.Tensor) -> int:
    """Multiply-accumulate operations of all matrix products and convolutions for `images`, as papers count them.

    Half of what torch's counter calls floating point operations. Attention is computed by its formula, so that its two
    products count; sums, softmax and normalization do not.
    """
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        network.eval()(images)
    return counter.get_total_flops() // 2


def macs_of_image(network: nn.Module, image_size: tuple[int, int]) -> int:
    """The operations for one image of the network's own input size, so that nothing is resized; all attention is dense.

    `image_size` (height, width) is taken for networks that have none.
    """
    resize = getattr(network, "resize", None)
    height, width = image_size if resize is None else (resize.size, resize.size)
    with _dense(network):
        return macs(network, torch.zeros(1, 3, height, width, device=device_of(network)))


@contextlib.contextmanager
def _dense(network: Any) -> Iterator[None]:
    if not hasattr(network, "attention"):
        yield
        return
    attention, network.attention = network.attention, None
    try:
        yield
    finally:
        network.attention = attention
