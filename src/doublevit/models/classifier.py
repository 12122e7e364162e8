"""The complete model: resizing, one or two networks, and heads that turn features into logits."""

import contextlib
import dataclasses
from collections.abc import Sequence

import torch
from torch import nn

from doublevit.device import device_of
from doublevit.errors import UserError, first_line
from doublevit.models import freeze
from doublevit.models.attention_mode import AttentionMode, route_through_torch
from doublevit.models.backbones import SingleBackbone, TrainingOptions, create
from doublevit.models.config import ModelConfig
from doublevit.models.double_vit import DoubleViT
from doublevit.models.heads import HEAD_MAKERS, pretrained_heads
from doublevit.models.preprocess import Resize
from doublevit.models.top_k import TopK


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
        features = self.features(images)
        logits = torch.stack([head(feature) for head, feature in zip(self.heads, features, strict=True)])
        return logits if every_head else logits.mean(dim=0)

    def features(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the feature (B, D) that each head is given."""
        with self.attention or contextlib.nullcontext():
            features: tuple[torch.Tensor, ...] = self.backbone(self.resize(images))
        return features

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
        config = dataclasses.replace(config, weights="none", coarse_weights=None, head_init="zeros")
    pretrained = config.head_init == "pretrained"
    training = TrainingOptions(config.drop_path, config.patch_drop, training_size)
    networks = [
        create(*source, config.image_size, with_classifier=pretrained, training=training) for source in _sources(config)
    ]
    heads = pretrained_heads([network.module for network in networks], class_ids) if pretrained else []
    for network in networks:
        network.module.reset_classifier(0)
    fine, coarse = networks[0], networks[-1]
    backbone = SingleBackbone(fine) if config.coarse is None else DoubleViT(fine, coarse, config.cross)
    heads = heads or [HEAD_MAKERS[config.head](width, len(class_ids)) for width in backbone.widths]
    freeze.apply(config.freeze, backbone.branches())
    model = Classifier(Resize(fine.image_size, fine.interpolation), backbone, heads)
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
    """Fail now, not in the first step, if a network cannot work on images of this size."""
    try:
        _run_once(model, size)
    except Exception as error:  # timm's networks raise nearly anything
        raise UserError(
            f"`{argument}` {size}: this network takes no images of this side ({first_line(error)}); choose another"
        ) from error


def _sources(config: ModelConfig) -> list[tuple[str, str]]:
    """Return name and weights of each network: of one, or of the two branches of a DoubleViT."""
    sources = [(config.backbone, config.weights)]
    if config.coarse is not None:
        sources.append((config.coarse, config.coarse_weights or config.weights))
    if config.head_init == "pretrained" and any(weights == "none" for _, weights in sources):
        raise UserError("`model.head_init=pretrained` is a checkpoint's head: expected `model.weights`, found none")
    return sources
