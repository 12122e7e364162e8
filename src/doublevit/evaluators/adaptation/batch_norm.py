"""Batch-norm layers, what they normalize by, and how others take its place for a while."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@dataclasses.dataclass(frozen=True)
class BatchNormStatistics:
    """Mean and biased variance of each channel, both (C,); `count` values of each were looked at, if it is known."""

    mean: torch.Tensor
    variance: torch.Tensor
    count: int = 0

    @classmethod
    def of(cls, values: torch.Tensor) -> "BatchNormStatistics":
        """The statistics of values (B, C, ...), in float32 at least."""
        wide = values.detach().to(torch.promote_types(values.dtype, torch.float32))
        variance, mean = torch.var_mean(wide, [0, *range(2, wide.ndim)], correction=0)
        return cls(mean, variance, wide.numel() // wide.shape[1])

    def mixed(self, other: "BatchNormStatistics", fraction: float) -> "BatchNormStatistics":
        """A `fraction` of the other's and the rest of these, in their type."""
        mean, variance = other.mean.to(self.mean), other.variance.to(self.variance)
        return BatchNormStatistics(torch.lerp(self.mean, mean, fraction), torch.lerp(self.variance, variance, fraction))

    def pooled(self, other: "BatchNormStatistics") -> "BatchNormStatistics":
        """The statistics of both samples together, by the law of total variance, in float64 where the device has it."""
        wide = torch.float32 if self.mean.device.type == "mps" else torch.float64
        count = self.count + other.count
        fraction, step = other.count / count, other.mean.to(wide) - self.mean.to(wide)
        within = torch.lerp(self.variance.to(wide), other.variance.to(wide), fraction)
        return BatchNormStatistics(
            self.mean.to(wide) + fraction * step, within + fraction * (1 - fraction) * step**2, count
        )

    def unbiased(self) -> "BatchNormStatistics":
        """With the variance that is right on average, as running statistics have it."""
        return dataclasses.replace(self, variance=self.variance * (self.count / (self.count - 1)))


Layers = dict[Any, BatchNormStatistics]
"""Batch-norm layers, each with the statistics that training left in it."""
Rule = Callable[[Any, BatchNormStatistics], BatchNormStatistics]
"""A layer and its input's statistics -> what it is to normalize that input by."""


def layers_of(model: nn.Module) -> Layers:
    """All layers that normalize by running statistics, frozen or not."""
    layers: list[Any] = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    return {layer: BatchNormStatistics(layer.running_mean, layer.running_var) for layer in layers if _is_running(layer)}


def put(layers: Layers) -> None:
    """Make each layer normalize by these statistics."""
    for layer, statistics in layers.items():
        layer.running_mean = statistics.mean.to(layer.running_mean)
        layer.running_var = statistics.variance.to(layer.running_var)


@contextlib.contextmanager
def borrowed(model: nn.Module) -> Iterator[Layers]:
    """The layers, in which other statistics may be put until the block ends, however it ends.

    The tensors that were there come back then. Nothing wrote to them: layers are in evaluation mode.
    """
    layers = layers_of(model)
    try:
        yield layers
    finally:
        put(layers)


@contextlib.contextmanager
def ruled(layers: Layers, rule: Rule) -> Iterator[None]:
    """Each layer normalizes each input by what `rule` makes of its statistics, until the block ends."""

    def before(layer: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        put({layer: rule(layer, BatchNormStatistics.of(inputs[0]))})

    hooks = [layer.register_forward_pre_hook(before) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _is_running(layer: Any) -> bool:
    return layer.running_mean is not None and layer.running_var is not None
