"""This process among the distributed ones, its device, and the precision of its matrix products."""

import contextlib
import functools
import os

import torch
from accelerate import PartialState
from torch import nn

from doublevit.errors import UserError
from doublevit.processes.group import join

DEVICE = "ACCELERATE_TORCH_DEVICE"
"""The environment variable that sets accelerate's device."""
PRECISIONS = ("auto", "float32", "bfloat16")


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the dtype of matrix products; "auto" is bfloat16 where the device has it in hardware, else float32.

    Raises:
        UserError: `precision` is not one of `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise UserError(f"precision: expected one of {', '.join(PRECISIONS)}, found {precision!r}")
    if precision == "auto":
        return torch.bfloat16 if _has_bfloat16(device) else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[None]:
    """Run the operations of the block in `dtype` where that is safe; weights stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def device_of(network: nn.Module) -> torch.device:
    """Return the device of a network's weights; the CPU if it has none."""
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


def on_cpu() -> bool:
    """Return whether to force the CPU on accelerate: it was requested, or torchrun's processes have no GPU."""
    return os.environ.get(DEVICE) == "cpu" or ("LOCAL_RANK" in os.environ and not torch.cuda.is_available())


def this_process() -> PartialState:
    """Return the state of this process: its rank, the number of processes, and its device.

    The first call joins the other processes, and waits for them.

    Raises:
        UserError: this machine lacks the requested device, or the other processes do not come.
    """
    if name := os.environ.get(DEVICE):
        _require_device(name)
    join(cpu=on_cpu())
    return PartialState(cpu=on_cpu())


@functools.cache
def _require_device(name: str) -> None:
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        available = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        available += ["mps"] if torch.backends.mps.is_available() else []
        raise UserError(f"`device` {name}: not on this machine, which has {', '.join(available)}") from error
