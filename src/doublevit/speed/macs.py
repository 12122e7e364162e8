"""Multiplications of a forward pass, from the shapes of what is multiplied."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from doublevit.models.classifier import Classifier


@torch.enable_grad()  # the counter follows modules by hooks that fail on views made without
def macs(network: nn.Module, images: torch.Tensor) -> int:
    """Multiply-accumulate operations of all matrix products and convolutions for `images`, as papers count them.

    Half of what torch's counter calls floating point operations. Attention is computed by its formula, so that its two
    products count; sums, softmax and normalisation do not.
    """
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        network.eval()(images)
    return counter.get_total_flops() // 2


def macs_of_photo(model: Classifier) -> int:
    """Those of one photo of the network's input size, so that nothing is resized; all attention is dense."""
    size, device = model.resize.size, next(model.parameters()).device
    with _dense(model):
        return macs(model, torch.zeros(1, 3, size, size, device=device))


@contextlib.contextmanager
def _dense(model: Classifier) -> Iterator[None]:
    attention, model.attention = model.attention, None
    try:
        yield
    finally:
        model.attention = attention
