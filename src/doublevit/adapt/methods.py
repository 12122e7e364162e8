"""The three ways from photos to the statistics that a model is adapted with."""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import nn

from doublevit.adapt.config import AdaptConfig
from doublevit.adapt.layers import Layers, Statistics, ruled
from doublevit.errors import UserError

Run = Callable[[], None]
"""Shows a model every batch once."""


@contextlib.contextmanager
def each_batch(model: nn.Module, layers: Layers, config: AdaptConfig) -> Iterator[None]:
    """Until the block ends, every batch is normalised by its own statistics, mixed with training's."""
    photos = 0

    def count(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal photos
        photos = len(inputs[0])  # a layer's own input may have more rows: one for every patch, say

    def rule(layer: nn.Module, found: Statistics) -> Statistics:
        return _with_prior(layers[layer], found, photos, config)

    hook = model.register_forward_pre_hook(count)
    try:
        with ruled(layers, rule):
            yield
    finally:
        hook.remove()


def of_set(layers: Layers, config: AdaptConfig, photos: int, run: Run) -> Layers:
    """Those of all batches together, `photos` in number, mixed with training's.

    While they are taken, layers normalise each batch by its own, mixed in the same proportion: layers further on must
    see what they will see in the evaluation. (Were it by the batch's alone, a few hundredths of training's variance
    mixed in afterwards would, at low contrast, shrink what each of them gets to what its statistics never saw.)
    """
    pools: Layers = {}

    def rule(layer: nn.Module, found: Statistics) -> Statistics:
        pools[layer] = pools[layer].pooled(found) if layer in pools else found
        return _with_prior(layers[layer], found, photos, config)

    with ruled(layers, rule):
        run()
    return {layer: _with_prior(layers[layer], pool, photos, config) for layer, pool in pools.items()}


def by_momentum(layers: Layers, config: AdaptConfig, run: Run) -> Layers:
    """Training's, moved batch by batch as PyTorch's training mode moves them."""
    moved = dict(layers)

    def rule(layer: nn.Module, found: Statistics) -> Statistics:
        _require_spread(found)
        moved[layer] = moved[layer].mixed(found.unbiased(), config.momentum)
        return found

    with ruled(layers, rule):
        run()
    return moved


def _with_prior(source: Statistics, found: Statistics, photos: int, config: AdaptConfig) -> Statistics:
    """N / (N + n) of training's and n / (N + n) of what was found in n photos (Schneider et al. 2020)."""
    if not config.prior:
        _require_spread(found)
    return source.mixed(found, photos / (config.prior + photos))


def _require_spread(found: Statistics) -> None:
    if found.count < 2:
        raise UserError(
            "--adapt.batch-size: a layer of batch norm sees one value of each channel in a batch, which has no"
            " variance; expected batches of 2 photos or more"
        )
