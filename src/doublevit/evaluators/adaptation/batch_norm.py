"""Batch-norm layers, the statistics that they normalize by, and the temporary replacement of these statistics."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@dataclasses.dataclass(frozen=True)
class BatchNormStatistics:
    """Statistics that describe each channel by its mean (C,) and biased variance (C,).

    `count` is the number of values of each channel that they were computed from, 0 where it is not known.
    """

    mean: torch.Tensor
    variance: torch.Tensor
    count: int = 0

    @classmethod
    def of(cls, values: torch.Tensor) -> "BatchNormStatistics":
        """Compute the statistics of values (B, C, ...), in float32 or wider."""
        values = values.detach().to(torch.promote_types(values.dtype, torch.float32))
        variance, mean = torch.var_mean(values, [0, *range(2, values.ndim)], correction=0)
        return cls(mean, variance, values.numel() // values.shape[1])

    def lerp(self, other: "BatchNormStatistics", weight: float) -> "BatchNormStatistics":
        """Interpolate as `torch.lerp` does, in these statistics' type: (1 - weight) of these, `weight` of the other."""
        mean, variance = other.mean.to(self.mean), other.variance.to(self.variance)
        return BatchNormStatistics(torch.lerp(self.mean, mean, weight), torch.lerp(self.variance, variance, weight))

    def pooled(self, other: "BatchNormStatistics") -> "BatchNormStatistics":
        """Pool both samples, by the law of total variance, in float64 where the device has it."""
        dtype = torch.float32 if self.mean.device.type == "mps" else torch.float64
        count = self.count + other.count
        weight, difference = other.count / count, other.mean.to(dtype) - self.mean.to(dtype)
        within = torch.lerp(self.variance.to(dtype), other.variance.to(dtype), weight)
        between = weight * (1 - weight) * difference**2
        return BatchNormStatistics(self.mean.to(dtype) + weight * difference, within + between, count)

    def unbiased(self) -> "BatchNormStatistics":
        """Return the same with the unbiased variance (Bessel's correction), as PyTorch's running statistics have it."""
        return dataclasses.replace(self, variance=self.variance * (self.count / (self.count - 1)))


LayerStatistics = dict[Any, BatchNormStatistics]
"""Batch-norm layers, each with the statistics that it normalizes by."""
ChooseStatistics = Callable[[Any, BatchNormStatistics], BatchNormStatistics]
"""A function that maps a layer and its input's statistics to the statistics to normalize that input by."""


def running_statistics(model: nn.Module) -> LayerStatistics:
    """Return the running statistics of all batch-norm layers that have any, frozen or not."""
    layers: list[Any] = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    return {layer: BatchNormStatistics(layer.running_mean, layer.running_var) for layer in layers if _is_running(layer)}


def set_running_statistics(statistics: LayerStatistics) -> None:
    """Make each layer normalize by the given statistics; its former tensors are replaced, not written to."""
    for layer, new in statistics.items():
        layer.running_mean = new.mean.to(layer.running_mean)
        layer.running_var = new.variance.to(layer.running_var)


@contextlib.contextmanager
def restoring_statistics(model: nn.Module) -> Iterator[LayerStatistics]:
    """Yield the running statistics that training left, and put them back when the block ends, bit for bit.

    Layers must stay in evaluation mode in the block: in training mode they would write to these very tensors.
    """
    statistics = running_statistics(model)
    try:
        yield statistics
    finally:
        set_running_statistics(statistics)


@contextlib.contextmanager
def normalizing_by(choose: ChooseStatistics, trained: LayerStatistics) -> Iterator[None]:
    """Make each layer of `trained` normalize each input by what `choose` returns for it, until the block ends."""

    def before_forward(layer: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        set_running_statistics({layer: choose(layer, BatchNormStatistics.of(inputs[0]))})

    hooks = [layer.register_forward_pre_hook(before_forward) for layer in trained]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _is_running(layer: Any) -> bool:
    return layer.running_mean is not None and layer.running_var is not None
