"""A model adapted to the photos that it is evaluated on, and put back."""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from doublevit import progress
from doublevit.adapt.config import AdaptConfig
from doublevit.adapt.layers import borrowed, layers_of, put
from doublevit.adapt.methods import by_momentum, each_batch, of_set
from doublevit.ahead import ahead
from doublevit.data.batches import gather, shuffled_batches
from doublevit.data.dataset import Dataset
from doublevit.errors import UserError
from doublevit.precision import autocast


@dataclasses.dataclass(frozen=True)
class Adaptation:
    """How batch norm is adapted, and the seed that shuffles the photos."""

    config: AdaptConfig
    seed: int

    def describe(self, model: nn.Module) -> str:
        """What is done to `model`, with all that decides the result.

        Raises:
            UserError: there is no batch norm in it.
        """
        layers = len(layers_of(model))
        if not layers:
            raise UserError(
                f"--adapt.method {self.config.method}: found no batch norm in this network, as in every ViT, PiT and"
                " DoubleViT, so nothing can be adapted; leave it out, or evaluate a network such as resnet50"
            )
        return self.config.describe(layers, self.seed)

    @property
    def is_by_batch(self) -> bool:
        """Whether photos must be evaluated in `batches`; if not, they may be in any."""
        return self.config.method == "batch"

    def batches(self, count: int) -> list[np.ndarray]:
        """Sample indices of the batches that statistics are taken of, from `count` photos.

        Raises:
            UserError: there are fewer than asked for.
        """
        config, batches = self.config, shuffled_batches(count, self.config.batch_size, self.seed)
        if config.batches is not None and config.batches > len(batches):
            raise UserError(
                f"--adapt.batches {config.batches}: expected 1 to {len(batches)}, as many as {count:,} photos make"
                f" with --adapt.batch-size {config.batch_size}"
            )
        return batches[: config.batches]

    @contextlib.contextmanager
    def applied(self, model: nn.Module, dataset: Dataset, dtype: torch.dtype, title: str) -> Iterator[None]:
        """`model`, adapted to the photos of `dataset` until the block ends; it is what it was then, bit for bit.

        Raises:
            UserError: too few photos to take statistics of, or too few batches.
        """
        config = self.config
        with borrowed(model) as layers:
            if self.is_by_batch:
                with each_batch(model, layers, config):
                    yield
                return
            photos = len(dataset)
            run = functools.partial(_show, model, dataset, self.batches(photos), dtype, title)
            is_set = config.method == "set"
            put(of_set(layers, config, photos, run) if is_set else by_momentum(layers, config, run))
            yield


@torch.inference_mode()
def _show(model: nn.Module, dataset: Dataset, batches: Sequence[np.ndarray], dtype: torch.dtype, title: str) -> None:
    """Run every batch through the model, in evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    with progress.bar(f"{title}: statistics", sum(map(len, batches))) as bar:
        for batch in ahead(gather(dataset, indices) for indices in batches):
            with autocast(device, dtype):
                model(batch.images.to(device))
            bar.advance(len(batch))
