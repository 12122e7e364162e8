"""A network that takes the weighted mean of several runs' weights."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from doublevit.data.dataset import Dataset
from doublevit.evaluators.adaptation.adaptation import statistics_of_set
from doublevit.evaluators.adaptation.batch_norm import LayerStatistics, running_statistics, set_running_statistics
from doublevit.evaluators.adaptation.config import AdaptConfig
from doublevit.evaluators.prediction import predict
from doublevit.jobs.load import LoadedModel
from doublevit.jobs.merge.images import SEED, trained_images
from doublevit.models.weights import State, mean_state

STATISTICS_IMAGES = 1000
LARGEST_BATCH = 100


class WeightMean:
    """The weights of several networks, and the network of `base`, which `apply` gives their mean.

    Running statistics of batch norm do not follow a mean of weights, so they are computed anew from training images, as
    for averaged weights in general (Izmailov et al. 2018, "Averaging weights leads to wider optima and better
    generalization"). Layers with the same statistics in all runs, as frozen ones, keep them.
    """

    def __init__(self, base: LoadedModel, networks: Sequence[nn.Module]) -> None:
        self.base = base
        self._states: list[State] = [
            {name: tensor.clone() for name, tensor in network.state_dict().items()} for network in networks
        ]
        self._images: Dataset | None = None

    def apply(self, weights: Sequence[float]) -> None:
        """Give the network the mean of all weights; `weights` say how much each run's count, and sum to 1.

        Raises:
            UserError: the network has batch norm, and there are no training images for its statistics.
        """
        network = self.base.network
        network.load_state_dict(mean_state(self._states, weights))
        layers = self._changed_layers()
        if not layers or max(weights) == 1:
            return
        images = self._statistics_images()
        batch_size = math.ceil(len(images) / math.ceil(len(images) / LARGEST_BATCH))  # so that none is of one image

        def forward_all() -> None:
            predict(network, images, self.base.model.dtype, batch_size, title="batch norm's statistics")

        config = AdaptConfig("set", prior=0.0)
        set_running_statistics(statistics_of_set(layers, config, len(images), forward_all))

    def _changed_layers(self) -> LayerStatistics:
        """Return the layers of batch norm whose statistics are not the same in all runs."""
        first, *others = self._states
        names = {module: name for name, module in self.base.network.named_modules()}

        def same(layer: nn.Module) -> bool:
            buffers = [f"{names[layer]}.{buffer}" for buffer in ("running_mean", "running_var")]
            return all(torch.equal(first[buffer], other[buffer]) for other in others for buffer in buffers)

        statistics = running_statistics(self.base.network)
        return {layer: value for layer, value in statistics.items() if not same(layer)}

    def _statistics_images(self) -> Dataset:
        """Return training images in a random order, so that no batch holds few classes."""
        if self._images is None:
            train = trained_images(self.base)
            chosen = np.random.default_rng(SEED).permutation(len(train))[:STATISTICS_IMAGES]
            self._images = train.subset(chosen)
        return self._images
