"""A whole model: resizing, one or two networks, and heads that turn features into logits."""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from timm.data import ImageNetInfo
from torch import nn

from doublevit.device import device_of
from doublevit.errors import UserError
from doublevit.models import freeze
from doublevit.models.attention_mode import AttentionMode, route_through_torch
from doublevit.models.backbones import Network, SingleBackbone, create, is_distilled
from doublevit.models.config import ModelConfig
from doublevit.models.double_vit import DoubleViT
from doublevit.models.preprocess import Resize
from doublevit.models.top_k import TopK

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


def pretrained_heads(network: Any, class_ids: Sequence[str]) -> list[nn.Module]:
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
            f"the pretrained head knows ImageNet's wnids only, not class {foreign!r}; use `model.head=linear`"
        )
    rows = torch.tensor([rank[wnid] for wnid in class_ids])
    return [_cut(layer, rows) for layer in classifiers]


def _cut(layer: nn.Linear, rows: torch.Tensor) -> nn.Linear:
    cut = nn.Linear(layer.in_features, len(rows))
    cut.load_state_dict({"weight": layer.weight.detach()[rows], "bias": layer.bias.detach()[rows]})
    return cut


class Classifier(nn.Module):
    """Images (B, 3, H, W) of any size, float in [0, 1] or uint8 -> logits (B, classes).

    Resizing and normalizing are part of it, so attacks, corruptions and prediction all speak pixels. It is
    differentiable in float images; bytes are the faster way in for images as they are stored.
    """

    def __init__(self, resize: Resize, backbone: SingleBackbone | DoubleViT, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.resize = resize
        self.backbone = backbone
        self.heads = nn.ModuleList(heads)
        self.attention: AttentionMode | None = None
        """How its attention is computed, where that is not timm's own way."""

    def forward(self, images: torch.Tensor, *, every_head: bool = False) -> torch.Tensor:
        """Logits (B, classes), the mean over the heads; with `every_head` all of them, (heads, B, classes).

        Distilled networks have two heads; the others one.
        """
        with self.attention or contextlib.nullcontext():
            features = self.backbone(self.resize(images))
        logits = torch.stack([head(feature) for head, feature in zip(self.heads, features, strict=True)])
        return logits if every_head else logits.mean(dim=0)

    def parts(self) -> dict[str, nn.Module]:
        """Its pretrained branches, cross attention and head, by name; every parameter is in exactly one."""
        cross = {"cross": self.backbone.cross} if isinstance(self.backbone, DoubleViT) else {}
        return {**self.backbone.branches(), **cross, "head": self.heads}

    def train(self, mode: bool = True) -> "Classifier":
        """Training mode for what is trained; what is frozen stays in evaluation mode."""
        super().train(mode)
        if mode:
            freeze.settle(self.backbone)
        elif self.attention is not None:
            self.attention.narrowed = 1.0  # evaluations are with the keys that were asked for
        return self


def build(config: ModelConfig, class_ids: Sequence[str], *, load_weights: bool = True) -> Classifier:
    """The model that `config` describes, for the given classes, frozen as told; torch's generator draws what is new.

    Without `load_weights` the pretrained ones are left out, for a checkpoint to fill.

    Raises:
        UserError: names, weights, sizes or parts do not fit together.
    """
    if not load_weights:
        config = dataclasses.replace(config, weights="none", coarse_weights=None)
    keep = config.head == "pretrained"
    fine = create(config.backbone, config.weights, config.image_size, with_classifier=keep)
    classifiers = pretrained_heads(fine.module, class_ids) if keep else []
    fine.module.reset_classifier(0)
    backbone = SingleBackbone(fine) if config.coarse is None else _double(fine, config)
    if not classifiers:
        classifiers = [HEAD_MAKERS[config.head](width, len(class_ids)) for width in backbone.widths]
    freeze.apply(config.freeze, backbone.branches())
    model = Classifier(Resize(fine.image_size, fine.interpolation), backbone, classifiers)
    if config.image_size is not None:
        _try_size(model, config.image_size)
    set_top_k(model, config.top_k)
    return model


def set_top_k(model: Classifier, text: str, argument: str = "model.top_k") -> None:
    """Make all attention in a model sparse, or dense again, as `ModelConfig.top_k` is written; its weights stay.

    Raises:
        UserError: there is no attention in it, or some that cannot be reached, or not as many stages as numbers.
    """
    top_k, model.attention = TopK.parse(text, argument), None
    if top_k is None:
        return
    try:
        route_through_torch(model)
    except UserError as error:
        raise UserError(f"`{argument}` {text}: {error}") from None
    mode = model.attention = AttentionMode(top_k)
    _try(model, model.resize.size)
    mode.stages = tuple(dict.fromkeys(mode.calls))
    if not mode.stages:
        raise UserError(
            f"`{argument}` {text}: found no attention in this network that goes through torch's"
            " scaled_dot_product_attention, as that of ViT, DeiT and PiT does; choose another network, or none"
        )
    if len(top_k.parts) not in (1, len(mode.stages)):
        raise UserError(
            f"`{argument}` {text}: expected one number, or {len(mode.stages)}, as its attentions are to"
            f" {', '.join(map(str, mode.stages))} keys"
        )


@torch.inference_mode()
def _try(model: Classifier, size: int) -> None:
    model.eval()(torch.zeros(1, 3, size, size, device=device_of(model)))


def _try_size(model: Classifier, size: int) -> None:
    """Find out now, not in the first step, that a network cannot work on so small a picture."""
    try:
        _try(model, size)
    except RuntimeError as error:
        raise UserError(f"`model.image_size` {size}: too small for this network; choose a larger one") from error


def _double(fine: Network, config: ModelConfig) -> DoubleViT:
    coarse = create(config.coarse or "", config.coarse_weights or config.weights, config.image_size)
    return DoubleViT(fine, coarse, config.cross)
