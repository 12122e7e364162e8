"""What turns features into logits."""

from collections.abc import Sequence
from typing import Any

import torch
from timm.data import ImageNetInfo
from torch import nn

from doublevit.errors import UserError
from doublevit.models.backbones import is_distilled

DROPOUT = 0.4  # the paper's released code


def linear(width: int, classes: int) -> nn.Module:
    """(B, width) -> (B, classes), starting from zero logits (as Dosovitskiy et al. 2020 fine-tune)."""
    layer = nn.Linear(width, classes)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def paper_single(width: int, classes: int) -> nn.Module:
    """The released code's head for one network: (B, width) -> (B, classes)."""
    return nn.Sequential(
        nn.Dropout(DROPOUT),
        nn.Linear(width, 1024),
        nn.ReLU(),
        nn.Linear(1024, 256),
        nn.ReLU(),
        nn.Linear(256, classes),
    )


def paper_double(width: int, classes: int) -> nn.Module:
    """The released code's head for DoubleViT: (B, width) -> (B, classes)."""
    return nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(width, width // 2), nn.ReLU(), nn.Linear(width // 2, classes))


HEAD_MAKERS = {"linear": linear, "paper-single": paper_single, "paper-double": paper_double}


def pretrained(network: Any, class_ids: Sequence[str]) -> list[nn.Module]:
    """The network's own ImageNet classifiers, cut to the rows of the given wnids: (B, D) -> (B, classes) each.

    Raises:
        UserError: the network has no classifier of ImageNet's 1000 classes, or a class is none of them.
    """
    classifiers = network.get_classifier() if is_distilled(network) else (network.get_classifier(),)
    if not all(isinstance(layer, nn.Linear) and layer.out_features == 1000 for layer in classifiers):
        raise UserError(
            "the pretrained head needs a checkpoint with ImageNet's 1000 classes; this one has no such head"
        )
    rank = {wnid: index for index, wnid in enumerate(ImageNetInfo().label_names())}
    foreign = next((name for name in class_ids if name not in rank), None)
    if foreign is not None:
        raise UserError(
            f"the pretrained head knows ImageNet's wnids only, not class {foreign!r}; use --model.head linear"
        )
    rows = torch.tensor([rank[wnid] for wnid in class_ids])
    return [_cut(layer, rows) for layer in classifiers]


def _cut(layer: nn.Linear, rows: torch.Tensor) -> nn.Linear:
    cut = nn.Linear(layer.in_features, len(rows))
    cut.load_state_dict({"weight": layer.weight.detach()[rows], "bias": layer.bias.detach()[rows]})
    return cut
