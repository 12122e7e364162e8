"""This process among those that work together, its device, and the numbers that it multiplies in."""

import contextlib
import os

import torch
from accelerate import PartialState
from torch import nn

from doublevit.errors import UserError

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
    """Whether several processes share the CPU: accelerate must be told, or it takes each for alone."""
    return "LOCAL_RANK" in os.environ and not torch.cuda.is_available()


def this_process() -> PartialState:
    """Its number, how many there are, and its device."""
    return PartialState(cpu=on_cpu())
