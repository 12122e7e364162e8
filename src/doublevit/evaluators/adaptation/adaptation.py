"""Batch-norm adaptation: the images under evaluation give the statistics, for the time of the evaluation.

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
from doublevit.evaluators.adaptation.batch_norm import (
    BatchNormStatistics,
    LayerStatistics,
    normalizing_by,
    restoring_statistics,
    running_statistics,
    set_running_statistics,
)
from doublevit.evaluators.adaptation.config import HYPERPARAMETERS, AdaptConfig
from doublevit.evaluators.evaluator import EvalModel
from doublevit.evaluators.prediction import PredictionResult, predict, predict_batches
from doublevit.prefetch import prefetch
from doublevit.runs.conditions import AdaptationId

ForwardAll = Callable[[], None]
"""A function that runs every batch through a model once."""


@dataclasses.dataclass(frozen=True)
class Adaptation:
    """An adaptation says how batch norm is adapted, and by which seed the images are shuffled."""

    config: AdaptConfig
    seed: int

    def identify(self, model: nn.Module) -> AdaptationId:
        """Return what rows say of this adaptation of `model`: all that decides the result.

        Raises:
            UserError: the model has no batch norm.
        """
        config, layers = self.config, len(running_statistics(model))
        if config.method == "none":
            raise ValueError("expected a method of adaptation, found none")
        if not layers:
            raise UserError(
                f"`adapt.method` {config.method}: found no batch norm in this network, as in every ViT, PiT and"
                " DoubleViT, so nothing can be adapted; leave it out, or evaluate a network such as resnet50"
            )
        values = {name: getattr(config, name) for name in HYPERPARAMETERS[config.method]}
        return AdaptationId(method=config.method, layers=layers, seed=self.seed, **values)

    @property
    def is_by_batch(self) -> bool:
        """Whether images must be evaluated in the very batches of `batches`; if not, any batches will do."""
        return self.config.method == "batch"

    def batches(self, count: int) -> list[np.ndarray]:
        """Shuffle `count` images and return the batches to compute statistics of, as arrays of indices (b,).

        Raises:
            UserError: `adapt.batches` is more than `count` images make.
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
        """Adapt `model` to the images of `dataset` until the block ends; then it is as before, bit for bit.

        Raises:
            UserError: there are too few images to compute statistics of, or too few batches.
        """
        config = self.config
        with restoring_statistics(model) as trained:
            if self.is_by_batch:
                with normalizing_each_batch(model, trained, config):
                    yield
                return
            count = len(dataset)
            forward_all = functools.partial(_forward_all, model, dataset, self.batches(count), dtype, title)
            if config.method == "set":
                adapted = statistics_of_set(trained, config, count, forward_all)
            else:
                adapted = statistics_by_momentum(trained, config, forward_all)
            set_running_statistics(adapted)
            yield


def predict_with(adaptation: Adaptation | None, model: EvalModel, dataset: Dataset, title: str) -> PredictionResult:
    """Predict every image of `dataset`, with batch norm adapted to these very images if `adaptation` is given.

    Raises:
        UserError: a logit is not finite, or there are too few images to compute statistics of.
    """
    network, dtype = model.network, model.dtype
    if adaptation is None:
        return predict(network, dataset, dtype, model.batch_size, title=title)
    state, start = this_process(), time.perf_counter()
    with adaptation.applied(network, dataset, dtype, title):
        if adaptation.is_by_batch:
            batches = adaptation.batches(len(dataset))[state.process_index :: state.num_processes]
            result = predict_batches(network, dataset, dtype, batches, title=title)
        else:
            result = predict(network, dataset, dtype, model.batch_size, title=title)
    return dataclasses.replace(result, seconds=time.perf_counter() - start)


@contextlib.contextmanager
def normalizing_each_batch(model: nn.Module, trained: LayerStatistics, config: AdaptConfig) -> Iterator[None]:
    """Normalize every batch by its own statistics, mixed with training's, until the block ends."""
    image_count = 0

    def count_images(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal image_count
        image_count = len(inputs[0])  # not the layer's input, which may have more rows: one for every patch, say

    def mix(layer: nn.Module, batch: BatchNormStatistics) -> BatchNormStatistics:
        return _mix_with_prior(trained[layer], batch, image_count, config)

    hook = model.register_forward_pre_hook(count_images)
    try:
        with normalizing_by(mix, trained):
            yield
    finally:
        hook.remove()


def statistics_of_set(
    trained: LayerStatistics, config: AdaptConfig, image_count: int, forward_all: ForwardAll
) -> LayerStatistics:
    """Return the statistics of all batches together, `image_count` images, mixed with training's.

    Meanwhile layers normalize each batch by its own statistics, mixed in the same proportion: later layers must
    see what they will see in the evaluation. (Were it by the batch's alone, a few hundredths of training's variance
    mixed in afterwards would, at low contrast, scale a layer's output to what the next one's statistics never saw.)
    """
    pooled: LayerStatistics = {}

    def pool_and_mix(layer: nn.Module, batch: BatchNormStatistics) -> BatchNormStatistics:
        pooled[layer] = pooled[layer].pooled(batch) if layer in pooled else batch
        return _mix_with_prior(trained[layer], batch, image_count, config)

    with normalizing_by(pool_and_mix, trained):
        forward_all()
    return {layer: _mix_with_prior(trained[layer], pool, image_count, config) for layer, pool in pooled.items()}


def statistics_by_momentum(trained: LayerStatistics, config: AdaptConfig, forward_all: ForwardAll) -> LayerStatistics:
    """Return training's statistics, updated batch by batch as PyTorch's training mode updates them."""
    running = dict(trained)

    def update(layer: nn.Module, batch: BatchNormStatistics) -> BatchNormStatistics:
        _require_variance(batch)
        running[layer] = running[layer].lerp(batch.unbiased(), config.momentum)
        return batch  # as in training mode, the batch itself is normalized by its own statistics

    with normalizing_by(update, trained):
        forward_all()
    return running


def _mix_with_prior(
    trained: BatchNormStatistics, batch: BatchNormStatistics, image_count: int, config: AdaptConfig
) -> BatchNormStatistics:
    """Mix N / (N + n) of training's statistics and n / (N + n) of those of n images (Schneider et al. 2020)."""
    if not config.prior:
        _require_variance(batch)
    return trained.lerp(batch, image_count / (config.prior + image_count))


def _require_variance(batch: BatchNormStatistics) -> None:
    if batch.count < 2:
        raise UserError(
            "`adapt.batch_size`: a layer of batch norm sees one value of each channel in a batch, which has no"
            " variance; expected batches of 2 images or more"
        )


@torch.inference_mode()
def _forward_all(
    model: nn.Module, dataset: Dataset, batches: Sequence[np.ndarray], dtype: torch.dtype, title: str
) -> None:
    model.eval()
    device = device_of(model)
    with progress.bar(f"{title}: statistics", sum(map(len, batches))) as bar:
        for batch in prefetch(gather(dataset, indices) for indices in batches):
            with autocast(device, dtype):
                model(batch.images.to(device))
            bar.advance(len(batch))
