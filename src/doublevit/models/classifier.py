"""The complete model: resizing, one or two networks, and heads that turn features into logits."""

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
from doublevit.models.backbones import Network, SingleBackbone, TrainingOptions, create, is_distilled
from doublevit.models.config import ModelConfig
from doublevit.models.double_vit import DoubleViT
from doublevit.models.preprocess import Resize
from doublevit.models.top_k import TopK

DROPOUT = 0.4  # the paper's released code


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


def pretrained_heads(network: Any, class_ids: Sequence[str]) -> list[nn.Module]:
    """Return the network's ImageNet classifiers, reduced to the rows of the given wnids: (B, D) -> (B, classes) each.

    Raises:
        UserError: the network has no classifier of ImageNet's 1000 classes, or a class is not among them.
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
    return [_select_rows(layer, rows) for layer in classifiers]


def _select_rows(layer: nn.Linear, rows: torch.Tensor) -> nn.Linear:
    selected = nn.Linear(layer.in_features, len(rows))
    selected.load_state_dict({"weight": layer.weight.detach()[rows], "bias": layer.bias.detach()[rows]})
    return selected


class Classifier(nn.Module):
    """Images (B, 3, H, W) of any size, float in [0, 1] or uint8 -> logits (B, classes).

    It resizes and normalizes, so attacks, corruptions and prediction all work on pixels. It is differentiable with
    respect to float images; uint8 is the faster input for stored images.
    """

    def __init__(self, resize: Resize, backbone: SingleBackbone | DoubleViT, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.resize = resize
        self.backbone = backbone
        self.heads = nn.ModuleList(heads)
        self.attention: AttentionMode | None = None
        """The mode in which attention is computed; None for timm's own."""

    def forward(self, images: torch.Tensor, *, every_head: bool = False) -> torch.Tensor:
        """Return logits (B, classes), the mean over the heads, or with `every_head` those of each, (heads, B, classes).

        Distilled networks have two heads, others one.
        """
        with self.attention or contextlib.nullcontext():
            features = self.backbone(self.resize(images))
        logits = torch.stack([head(feature) for head, feature in zip(self.heads, features, strict=True)])
        return logits if every_head else logits.mean(dim=0)

    def parts(self) -> dict[str, nn.Module]:
        """Return branches, cross attention and head by name; every parameter is in exactly one of them."""
        cross = {"cross": self.backbone.cross} if isinstance(self.backbone, DoubleViT) else {}
        return {**self.backbone.branches(), **cross, "head": self.heads}

    def train(self, mode: bool = True) -> "Classifier":
        """Set training mode, except in frozen modules, which stay in evaluation mode."""
        super().train(mode)
        if mode:
            freeze.eval_frozen(self.backbone)
        elif self.attention is not None:
            self.attention.narrowed = 1.0  # evaluation uses the requested number of keys
        return self


def build(
    config: ModelConfig, class_ids: Sequence[str], *, load_weights: bool = True, training_size: int | None = None
) -> Classifier:
    """Build the model that `config` describes, for the given classes; new weights are drawn by torch's generator.

    Without `load_weights`, pretrained weights are not loaded, since a checkpoint will replace them. In training mode
    its input has a side of `training_size` pixels, if that is given; positions are then resampled, and the weights
    stay those of the network's own size.

    Raises:
        UserError: names, weights, sizes or parts do not fit together.
    """
    if not load_weights:
        config = dataclasses.replace(config, weights="none", coarse_weights=None)
    keep = config.head == "pretrained"
    training = TrainingOptions(config.drop_path, config.patch_drop, training_size)
    fine = create(config.backbone, config.weights, config.image_size, with_classifier=keep, training=training)
    classifiers = pretrained_heads(fine.module, class_ids) if keep else []
    fine.module.reset_classifier(0)
    backbone = SingleBackbone(fine) if config.coarse is None else _double(fine, config, training)
    if not classifiers:
        classifiers = [HEAD_MAKERS[config.head](width, len(class_ids)) for width in backbone.widths]
    freeze.apply(config.freeze, backbone.branches())
    model = Classifier(Resize(fine.image_size, fine.interpolation), backbone, classifiers)
    if config.image_size is not None:
        _check_size(model, "model.image_size", config.image_size)
    if training_size is not None:
        model.resize.training_size = training_size
        _check_size(model, "train.image_size", training_size)
    set_top_k(model, config.top_k)
    return model


def set_top_k(model: Classifier, text: str, argument: str = "model.top_k") -> None:
    """Make all attention in a model sparse, or dense again; `text` is written as `ModelConfig.top_k`.

    Raises:
        UserError: the model has no attention, or some that cannot be replaced, or the numbers do not match its stages.
    """
    top_k, model.attention = TopK.parse(text, argument), None
    if top_k is None:
        return
    try:
        route_through_torch(model)
    except UserError as error:
        raise UserError(f"`{argument}` {text}: {error}") from None
    mode = model.attention = AttentionMode(top_k)
    _run_once(model, model.resize.size)
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
def _run_once(model: Classifier, size: int) -> None:
    model.eval()
    model.resize.train(size == model.resize.training_size)
    model(torch.zeros(1, 3, size, size, device=device_of(model)))
    model.eval()


def _check_size(model: Classifier, argument: str, size: int) -> None:
    """Fail now, not in the first step, if a network cannot work on images this small."""
    try:
        _run_once(model, size)
    except RuntimeError as error:
        raise UserError(f"`{argument}` {size}: too small for this network; choose a larger one") from error


def _double(fine: Network, config: ModelConfig, training: TrainingOptions) -> DoubleViT:
    weights = config.coarse_weights or config.weights
    coarse = create(config.coarse or "", weights, config.image_size, training=training)
    return DoubleViT(fine, coarse, config.cross)
