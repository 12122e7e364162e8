"""The optimizer of a training, and its learning rates step by step."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from doublevit.models.classifier import Classifier
from doublevit.training.config import TrainConfig


def make_optimizer(model: Classifier, config: TrainConfig) -> torch.optim.Optimizer:
    """Return Adam or AdamW over trained parameters, in groups for pretrained and new layers; each has its `base_lr`.

    AdamW's decay leaves out norms and biases (every parameter of one dimension), position embeddings and tokens.
    """
    pretrained = [parameter for branch in model.backbone.branches().values() for parameter in branch.parameters()]
    pretrained_ids = set(map(id, pretrained))
    new = [parameter for parameter in model.parameters() if id(parameter) not in pretrained_ids]
    groups = _groups(pretrained, config.backbone_lr, config) + _groups(new, config.head_lr, config)
    optimizer_class = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return optimizer_class(groups, fused=True)


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
