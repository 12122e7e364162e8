"""The device that something is measured on: its name, and waiting for it."""

import platform
from pathlib import Path

import torch

CPU_INFO = Path("/proc/cpuinfo")  # of Linux


def describe(device: torch.device) -> str:
    """What people call the device: "AMD EPYC 7763, 2 threads", "NVIDIA H100 80GB HBM3"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    name = _cpu_name() if device.type == "cpu" else f"{_cpu_name()}, {device.type}"
    return f"{name}, {threads} thread{'s' if threads > 1 else ''}"


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _cpu_name() -> str:
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
