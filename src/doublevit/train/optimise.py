"""The two learning rates, and how they move."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from doublevit.models.classifier import Classifier
from doublevit.train.config import TrainConfig


def make_optimiser(model: Classifier, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam or AdamW over what is trained, in groups for pretrained and new layers; each remembers its `base_lr`.

    AdamW's decay leaves out norms and biases (every parameter of one dimension) and position embeddings and tokens.
    """
    pretrained = [parameter for branch in model.backbone.branches().values() for parameter in branch.parameters()]
    known = set(map(id, pretrained))
    new = [parameter for parameter in model.parameters() if id(parameter) not in known]
    groups = _groups(pretrained, config.backbone_lr, config) + _groups(new, config.head_lr, config)
    kind = torch.optim.AdamW if config.optimiser == "adamw" else torch.optim.Adam
    return kind(groups, fused=True)


def rate_factor(step: int, total: int, per_epoch: int, config: TrainConfig) -> float:
    """What the base rates are multiplied by at `step` (from 0) of `total`, in 0..1."""
    warmup = config.warmup_epochs * per_epoch
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "cosine-per-epoch":
        step -= step % per_epoch
    done = max(0.0, step - warmup) / max(1.0, total - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def set_rates(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Give every group its base rate times `factor`."""
    for group in optimiser.param_groups:
        group["lr"] = group["base_lr"] * factor


def _groups(parameters: Iterable[nn.Parameter], rate: float, config: TrainConfig) -> list[dict[str, object]]:
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    spared = [p for p in trained if config.optimiser == "adamw" and (p.ndim <= 1 or p.shape[0] == 1)]
    spared_ids = set(map(id, spared))
    decayed = [parameter for parameter in trained if id(parameter) not in spared_ids]
    groups = ((decayed, config.weight_decay), (spared, 0.0))
    return [
        {"params": members, "lr": rate, "base_lr": rate, "weight_decay": decay} for members, decay in groups if members
    ]
