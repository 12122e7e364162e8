"""The most bytes that tensors hold at a time while a batch is computed."""

import itertools
import os
from collections.abc import Callable, Iterable

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from doublevit.speed.machine import synchronise

MEASURED = ("cpu", "cuda")
"""Kinds of devices that tell what is allocated on them."""


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
    synchronise(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    work()
    synchronise(device)
    return torch.cuda.max_memory_allocated(device) - before


def _peak_on_cpu(work: Callable[[], object]) -> int:
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or a machine without GPU is told so as an error
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    on_cpu = sorted((event for event in events if event.device_type() == DeviceType.CPU), key=lambda e: e.start_ns())
    return max(itertools.accumulate((event.nbytes() for event in on_cpu), initial=0))
