"""Memory that work takes on a device, and its multiply-accumulate operations (MACs)."""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import nn
from torch.autograd import DeviceType
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from doublevit.device import device_of
from doublevit.evaluators.speed.timing import synchronize

MEMORY_DEVICES = ("cpu", "cuda")
"""Types of devices on which torch tells how much memory is allocated."""


def storage_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Return the bytes of the storage behind some tensors; storage that several share counts once."""
    storages = (tensor.untyped_storage() for tensor in tensors)
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def peak_additional_bytes(work: Callable[[], object], device: torch.device) -> int:
    """Measure the peak memory that `work` allocates on a device of `MEMORY_DEVICES`, beyond what is there before.

    CUDA is measured by torch's allocator, which rounds up to blocks of 512 bytes; the CPU by torch's profiler. Neither
    sees what libraries allocate on their own. Run `work` once before, so that what it keeps for good is not counted.
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
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # without it the profiler logs an error where there is no GPU
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    on_cpu = [event for event in events if event.device_type() == DeviceType.CPU]
    changes = (event.nbytes() for event in sorted(on_cpu, key=lambda event: event.start_ns()))  # negative where freed
    return max(itertools.accumulate(changes, initial=0))


@torch.enable_grad()  # the counter follows modules by hooks that fail on views made without
def count_macs(network: nn.Module, images: torch.Tensor) -> int:
    """Count the multiply-accumulate operations of all matrix products and convolutions for `images`, as papers do.

    They are half of what torch counts as floating point operations. Attention runs as plain matrix products (`MATH`),
    so that both of them count; sums, softmax and normalization do not count.
    """
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        network.eval()(images)
    return counter.get_total_flops() // 2


def count_macs_per_image(network: nn.Module, image_size: tuple[int, int]) -> int:
    """Count the operations for one image of the network's own input size (so without resizing), all attention dense.

    For a network that has no input size of its own, `image_size` (height, width) is taken.
    """
    resize = getattr(network, "resize", None)
    height, width = image_size if resize is None else (resize.size, resize.size)
    with _dense_attention(network):
        return count_macs(network, torch.zeros(1, 3, height, width, device=device_of(network)))


@contextlib.contextmanager
def _dense_attention(network: Any) -> Iterator[None]:
    if not hasattr(network, "attention"):
        yield
        return
    attention, network.attention = network.attention, None
    try:
        yield
    finally:
        network.attention = attention
