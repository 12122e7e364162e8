"""This process among those that work together, its device, and the numbers that it multiplies in."""

import contextlib
import functools
import os

import torch
from accelerate import PartialState
from torch import nn

from doublevit.errors import UserError

DEVICE = "ACCELERATE_TORCH_DEVICE"
"""The environment variable by which accelerate is told of a device."""
PRECISIONS = ("auto", "float32", "bfloat16")


def choose(precision: str, device: torch.device) -> torch.dtype:
    """The type that matrix products run in: as told, or, for "auto", bfloat16 where the device has it in hardware.

    Raises:
        UserError: `precision` is none of `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise UserError(f"precision: expected one of {', '.join(PRECISIONS)}, found {precision!r}")
    if precision == "auto":
        return torch.bfloat16 if _has_bfloat16(device) else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[None]:
    """Run what the block computes in `dtype` where that is safe; weights stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def device_of(network: nn.Module) -> torch.device:
    """Where a network is; the CPU for one without weights."""
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


def on_cpu() -> bool:
    """Whether the CPU was asked for, or several processes share it: accelerate must be told, or it takes a GPU."""
    return os.environ.get(DEVICE) == "cpu" or ("LOCAL_RANK" in os.environ and not torch.cuda.is_available())


def this_process() -> PartialState:
    """Its number, how many there are, and its device.

    Raises:
        UserError: the device that was asked for is not here.
    """
    if name := os.environ.get(DEVICE):
        _require_device(name)
    return PartialState(cpu=on_cpu())


@functools.cache
def _require_device(name: str) -> None:
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        there = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        there += ["mps"] if torch.backends.mps.is_available() else []
        raise UserError(f"`device` {name}: not on this machine, which has {', '.join(there)}") from error
