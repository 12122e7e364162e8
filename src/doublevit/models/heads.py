"""Heads, which turn features into logits, and the checkpoint's own classifiers as their start."""

from collections.abc import Sequence
from typing import Any

import torch
from timm.data import ImageNetInfo
from torch import nn

from doublevit.errors import UserError
from doublevit.models.backbones import is_distilled

DROPOUT = 0.4  # the paper's released code
NAMED = 3  # classes that an error names
START = "`model.head_init=pretrained`"


def linear(width: int, classes: int) -> nn.Module:
    """Make a linear head, (B, width) -> (B, classes), that starts with zero logits (Dosovitskiy et al. 2020)."""
    layer = nn.Linear(width, classes)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def paper_single(width: int, classes: int) -> nn.Module:
    """Make the head of the paper's released code for one network, (B, width) -> (B, classes)."""
    return nn.Sequential(
        nn.Dropout(DROPOUT),
        nn.Linear(width, 1024),
        nn.ReLU(),
        nn.Linear(1024, 256),
        nn.ReLU(),
        nn.Linear(256, classes),
    )


def paper_double(width: int, classes: int) -> nn.Module:
    """Make the head of the paper's released code for a DoubleViT, (B, width) -> (B, classes)."""
    return nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(width, width // 2), nn.ReLU(), nn.Linear(width // 2, classes))


HEAD_MAKERS = {"linear": linear, "paper-single": paper_single, "paper-double": paper_double}


def pretrained_heads(networks: Sequence[Any], class_ids: Sequence[str]) -> list[nn.Module]:
    """Return linear heads made of the ImageNet classifiers of timm networks, cut to the rows of the given wnids.

    Of one network: each of its classifiers, (B, D) -> (B, classes); a distilled network has two. Of the two branches of
    a DoubleViT: one head on the joined feature, (B, D_fine + D_coarse) -> (B, classes), whose logits are the mean of
    the two classifiers'.

    Raises:
        UserError: a network has no classifier of ImageNet's 1000 classes, or a class is not among them.
    """
    classifiers = [_classifiers(network) for network in networks]
    rows = _rows(class_ids)
    if len(networks) == 1:
        return [_linear(layer.weight.detach()[rows], layer.bias.detach()[rows]) for layer in classifiers[0]]
    own = [layers[0] for layers in classifiers]
    weight = torch.cat([layer.weight.detach()[rows] for layer in own], dim=1) / len(own)
    bias = torch.stack([layer.bias.detach()[rows] for layer in own]).mean(dim=0)
    return [_linear(weight, bias)]


def _classifiers(network: Any) -> Sequence[nn.Linear]:
    layers = network.get_classifier() if is_distilled(network) else (network.get_classifier(),)
    if not all(isinstance(layer, nn.Linear) and layer.out_features == 1000 for layer in layers):
        raise UserError(
            f"{START} needs a checkpoint with ImageNet's 1000 classes, and {type(network).__name__} has no such head;"
            " choose zeros or probe"
        )
    return tuple(layers)


def _rows(class_ids: Sequence[str]) -> torch.Tensor:
    """Return where each class is among ImageNet's 1000, by its wnid."""
    rank = {wnid: index for index, wnid in enumerate(ImageNetInfo().label_names())}
    foreign = [name for name in class_ids if name not in rank]
    if foreign:
        more = ", ..." if len(foreign) > NAMED else ""
        raise UserError(
            f"{START}: expected wnids of ImageNet's 1000 classes, found {len(class_ids) - len(foreign):,} of"
            f" {len(class_ids):,} classes among them, not {', '.join(foreign[:NAMED])}{more}; choose zeros or probe"
        )
    return torch.tensor([rank[wnid] for wnid in class_ids])


def _linear(weight: torch.Tensor, bias: torch.Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer
