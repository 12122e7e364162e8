"""More sets of images that a training is validated on, beside the split that chooses the best weights."""

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import nn

from doublevit.data.dataset import Dataset
from doublevit.statistics import wilson_interval


@dataclasses.dataclass(frozen=True)
class ValSet:
    """A set of images by its name, and the `network` that predicts it: the trained one, with logits of its classes."""

    name: str
    network: nn.Module
    dataset: Dataset

    def to(self, device: torch.device) -> "ValSet":
        """Return the set with its network on a device."""
        return dataclasses.replace(self, network=self.network.to(device))


def accuracy_entry(correct: np.ndarray) -> dict[str, Any]:
    """Return for the log top-1 with its Wilson interval, of images that are `correct` or not, bool (N,)."""
    low, high = wilson_interval(int(correct.sum()), len(correct))
    return {"top1": float(correct.mean()), "low": low, "high": high, "count": len(correct)}


def describe_accuracy(name: str, entry: dict[str, Any]) -> str:
    """Describe an `accuracy_entry` of the images called `name`."""
    return (
        f"top-1 {entry['top1']:.1%} on {name} (95 % interval {entry['low']:.1%} to {entry['high']:.1%}, n ="
        f" {entry['count']:,})"
    )
