"""The optimizer of a training, and its learning rates step by step."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from timm.models._manipulate import group_with_matcher
from torch import nn

from doublevit.errors import UserError
from doublevit.models.classifier import Classifier
from doublevit.training.config import TrainConfig


def make_optimizer(model: Classifier, config: TrainConfig) -> torch.optim.Optimizer:
    """Return Adam or AdamW over trained parameters, in groups for pretrained and new layers; each has its `base_lr`.

    AdamW's decay leaves out norms and biases (every parameter of one dimension), position embeddings and tokens.
    With `layer_decay` every pretrained layer has groups of its own, and `head_lr` holds for new layers as before.

    Raises:
        UserError: timm does not know the layers of a network that are to have different rates.
    """
    branches = model.backbone.branches().values()
    pretrained = [parameter for branch in branches for parameter in branch.parameters()]
    pretrained_ids = set(map(id, pretrained))
    new = [parameter for parameter in model.parameters() if id(parameter) not in pretrained_ids]
    layers = [(pretrained, 1.0)]
    if config.layer_decay < 1:
        layers = [layer for branch in branches for layer in _layers(branch, config.layer_decay)]
    rates = [(members, config.backbone_lr * factor) for members, factor in layers]
    groups = [group for members, rate in [*rates, (new, config.head_lr)] for group in _groups(members, rate, config)]
    optimizer_class = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return optimizer_class(groups, fused=True)


def _layers(branch: Any, decay: float) -> list[tuple[list[nn.Parameter], float]]:
    """Return the parameters of each layer, from the stem on, with the factor of its rate: `decay` for the last one.

    Layers are timm's, in which the classifier, which `branch` lacks, counts as the last, with a factor of 1; so do
    factors then equal those of `timm.optim.param_groups_layer_decay` (Bao et al. 2022, BEiT, as in MAE).
    """
    if not hasattr(branch, "group_matcher"):
        raise UserError(f"`train.layer_decay`: timm knows no layers of {type(branch).__name__}; expected 1")
    parameters = dict(branch.named_parameters())
    layers = group_with_matcher(iter([*parameters.items(), ("classifier", None)]), branch.group_matcher(coarse=False))
    last = max(layers)
    return [
        ([parameters[name] for name in names if name in parameters], decay ** (last - layer))
        for layer, names in layers.items()
    ]


def rate_factor(step: int, total: int, per_epoch: int, config: TrainConfig) -> float:
    """Return the factor of the base learning rates at `step` (from 0) of `total`, in 0..1."""
    warmup = config.warmup_epochs * per_epoch
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "cosine-per-epoch":
        step -= step % per_epoch
    done = max(0.0, step - warmup) / max(1.0, total - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set the learning rate of every group to its base rate times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def _groups(parameters: Iterable[nn.Parameter], rate: float, config: TrainConfig) -> list[dict[str, object]]:
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    undecayed = [p for p in trained if config.optimizer == "adamw" and (p.ndim <= 1 or p.shape[0] == 1)]
    undecayed_ids = set(map(id, undecayed))
    decayed = [parameter for parameter in trained if id(parameter) not in undecayed_ids]
    groups = ((decayed, config.weight_decay), (undecayed, 0.0))
    return [
        {"params": members, "lr": rate, "base_lr": rate, "weight_decay": decay} for members, decay in groups if members
    ]
