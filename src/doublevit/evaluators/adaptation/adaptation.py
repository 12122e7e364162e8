"""A model adapted to the images that it is evaluated on, by statistics of these in place of training's, and put back.

Schneider et al. (2020), "Improving robustness against common corruptions by covariate shift adaptation".
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import nn

from doublevit import progress
from doublevit.data.batches import gather, shuffled_batches
from doublevit.data.dataset import Dataset
from doublevit.device import autocast, device_of, this_process
from doublevit.errors import UserError
from doublevit.evaluators.adaptation.batch_norm import BatchNormStatistics, Layers, borrowed, layers_of, put, ruled
from doublevit.evaluators.adaptation.config import USED, AdaptConfig
from doublevit.evaluators.evaluator import EvalModel
from doublevit.evaluators.prediction import PredictionResult, predict, predict_batches
from doublevit.prefetch import prefetch
from doublevit.runs.conditions import AdaptationId

Run = Callable[[], None]
"""Shows a model every batch once."""


@dataclasses.dataclass(frozen=True)
class Adaptation:
    """How batch norm is adapted, and the seed that shuffles the images."""

    config: AdaptConfig
    seed: int

    def identify(self, model: nn.Module) -> AdaptationId:
        """What is done to `model`, with all that decides the result.

        Raises:
            UserError: there is no batch norm in it.
        """
        config, layers = self.config, len(layers_of(model))
        if config.method == "none":
            raise ValueError("expected a method of adaptation, found none")
        if not layers:
            raise UserError(
                f"`adapt.method` {config.method}: found no batch norm in this network, as in every ViT, PiT and"
                " DoubleViT, so nothing can be adapted; leave it out, or evaluate a network such as resnet50"
            )
        values = {name: getattr(config, name) for name in USED[config.method]}
        return AdaptationId(method=config.method, layers=layers, seed=self.seed, **values)

    @property
    def is_by_batch(self) -> bool:
        """Whether images must be evaluated in `batches`; if not, they may be in any."""
        return self.config.method == "batch"

    def batches(self, count: int) -> list[np.ndarray]:
        """Indices of the batches that statistics are taken of, from `count` images.

        Raises:
            UserError: there are fewer than asked for.
        """
        config, batches = self.config, shuffled_batches(count, self.config.batch_size, self.seed)
        if config.batches is not None and config.batches > len(batches):
            raise UserError(
                f"`adapt.batches` {config.batches}: expected 1 to {len(batches)}, as many as {count:,} images make"
                f" with `adapt.batch_size` {config.batch_size}"
            )
        return batches[: config.batches]

    @contextlib.contextmanager
    def applied(self, model: nn.Module, dataset: Dataset, dtype: torch.dtype, title: str) -> Iterator[None]:
        """`model`, adapted to the images of `dataset` until the block ends; it is what it was then, bit for bit.

        Raises:
            UserError: too few images to take statistics of, or too few batches.
        """
        config = self.config
        with borrowed(model) as layers:
            if self.is_by_batch:
                with each_batch(model, layers, config):
                    yield
                return
            count = len(dataset)
            run = functools.partial(_show, model, dataset, self.batches(count), dtype, title)
            is_set = config.method == "set"
            put(of_set(layers, config, count, run) if is_set else by_momentum(layers, config, run))
            yield


def predict_with(adaptation: Adaptation | None, model: EvalModel, dataset: Dataset, title: str) -> PredictionResult:
    """A model's predictions, with batch norm adapted to these very images meanwhile, if there is an adaptation.

    Raises:
        UserError: the model gives logits that are not finite, or there are too few images to take statistics of.
    """
    network, dtype = model.network, model.dtype
    if adaptation is None:
        return predict(network, dataset, dtype, model.batch_size, title=title)
    state, start = this_process(), time.perf_counter()
    with adaptation.applied(network, dataset, dtype, title):
        if adaptation.is_by_batch:
            own = adaptation.batches(len(dataset))[state.process_index :: state.num_processes]
            found = predict_batches(network, dataset, dtype, own, title=title)
        else:
            found = predict(network, dataset, dtype, model.batch_size, title=title)
    return dataclasses.replace(found, seconds=time.perf_counter() - start)


@contextlib.contextmanager
def each_batch(model: nn.Module, layers: Layers, config: AdaptConfig) -> Iterator[None]:
    """Until the block ends, every batch is normalized by its own statistics, mixed with training's."""
    images = 0

    def count(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal images
        images = len(inputs[0])  # a layer's own input may have more rows: one for every patch, say

    def rule(layer: nn.Module, batch: BatchNormStatistics) -> BatchNormStatistics:
        return _with_prior(layers[layer], batch, images, config)

    hook = model.register_forward_pre_hook(count)
    try:
        with ruled(layers, rule):
            yield
    finally:
        hook.remove()


def of_set(layers: Layers, config: AdaptConfig, images: int, run: Run) -> Layers:
    """The statistics of all batches together, `images` in number, mixed with training's.

    While they are taken, layers normalize each batch by its own, mixed in the same proportion: layers further on must
    see what they will see in the evaluation. (Were it by the batch's alone, a few hundredths of training's variance
    mixed in afterwards would, at low contrast, shrink what each of them gets to what its statistics never saw.)
    """
    pools: Layers = {}

    def rule(layer: nn.Module, batch: BatchNormStatistics) -> BatchNormStatistics:
        pools[layer] = pools[layer].pooled(batch) if layer in pools else batch
        return _with_prior(layers[layer], batch, images, config)

    with ruled(layers, rule):
        run()
    return {layer: _with_prior(layers[layer], pool, images, config) for layer, pool in pools.items()}


def by_momentum(layers: Layers, config: AdaptConfig, run: Run) -> Layers:
    """Training's statistics, moved batch by batch as PyTorch's training mode moves them."""
    moved = dict(layers)

    def rule(layer: nn.Module, batch: BatchNormStatistics) -> BatchNormStatistics:
        _require_spread(batch)
        moved[layer] = moved[layer].mixed(batch.unbiased(), config.momentum)
        return batch

    with ruled(layers, rule):
        run()
    return moved


def _with_prior(
    source: BatchNormStatistics, batch: BatchNormStatistics, images: int, config: AdaptConfig
) -> BatchNormStatistics:
    """N / (N + n) of training's and n / (N + n) of those of n images (Schneider et al. 2020)."""
    if not config.prior:
        _require_spread(batch)
    return source.mixed(batch, images / (config.prior + images))


def _require_spread(batch: BatchNormStatistics) -> None:
    if batch.count < 2:
        raise UserError(
            "`adapt.batch_size`: a layer of batch norm sees one value of each channel in a batch, which has no"
            " variance; expected batches of 2 images or more"
        )


@torch.inference_mode()
def _show(model: nn.Module, dataset: Dataset, batches: Sequence[np.ndarray], dtype: torch.dtype, title: str) -> None:
    """Run every batch through the model, in evaluation mode."""
    model.eval()
    device = device_of(model)
    with progress.bar(f"{title}: statistics", sum(map(len, batches))) as bar:
        for batch in prefetch(gather(dataset, indices) for indices in batches):
            with autocast(device, dtype):
                model(batch.images.to(device))
            bar.advance(len(batch))
