"""This process among those that work together (torchrun's, accelerate's), or alone."""

import os

import torch
from accelerate import PartialState


def on_cpu() -> bool:
    """Whether several processes share the CPU: accelerate must be told, or it takes each for alone."""
    return "LOCAL_RANK" in os.environ and not torch.cuda.is_available()


def this_process() -> PartialState:
    """Its number, how many there are, and its device."""
    return PartialState(cpu=on_cpu())
