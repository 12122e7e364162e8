"""Pretrained networks from timm, without their classifiers: pixels to features."""

import dataclasses
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers import PatchEmbed
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from doublevit.errors import UserError, unknown
from doublevit.models.config import BACKBONES, Backbone
from doublevit.models.preprocess import Normalize
from doublevit.models.weights import fit_state, hub_file, read_state, weight_file


@dataclasses.dataclass(frozen=True)
class Network:
    """A timm model and the input that its checkpoint expects."""

    module: Any  # an nn.Module with the methods of timm's models
    image_size: int
    interpolation: str
    normalize: Normalize


class SingleBackbone(nn.Module):
    """A timm network: (B, 3, S, S), float in [0, 1] or uint8 -> a feature (B, D) for each of its classifiers.

    Most networks have one; the distilled ones have two: the class and the distillation token (PiT, DeiT), or twice the
    same pooled feature (LeViT, EfficientFormer).
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.normalize = network.normalize
        self.network: Any = network.module

    @property
    def widths(self) -> tuple[int, ...]:
        """The width D of each feature."""
        return (self.network.head_hidden_size,) * (2 if is_distilled(self.network) else 1)

    def branches(self) -> dict[str, nn.Module]:
        """Return the pretrained networks by name."""
        return {"backbone": self.network}

    def normalizations(self) -> dict[str, Normalize]:
        """Return the normalization of each branch, by name."""
        return {"backbone": self.normalize}

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        features = self.network.forward_features(self.normalize(images))
        if is_distilled(self.network) and self.network.global_pool == "token":
            return features[:, 0], features[:, 1]
        return (self.network.forward_head(features, pre_logits=True),) * len(self.widths)


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """What a network does in training alone: nothing of it is in the weights, or changes an evaluation."""

    drop_path: float = 0.0
    patch_drop: float = 0.0
    image_size: int | None = None  # side of the input in pixels, if it is not that of evaluation

    def timm_options(self, *, fixed_size: bool) -> dict[str, Any]:
        """Return the options of `timm.create_model` for a network, whose input may be of a fixed size."""
        options = {
            "drop_path_rate": self.drop_path,
            "patch_drop_rate": self.patch_drop,
            "dynamic_img_size": fixed_size and self.image_size is not None,
        }
        return {name: value for name, value in options.items() if value}


IN_TRAINING = {
    "drop_path_rate": "model.drop_path",
    "patch_drop_rate": "model.patch_drop",
    "dynamic_img_size": "train.image_size",
}
"""Our names of timm's options for training, which not every network has."""


def create(
    name: str,
    weights: str,
    image_size: int | None = None,
    *,
    with_classifier: bool = False,
    training: TrainingOptions = TrainingOptions(),
) -> Network:
    """Make a network and load its weights.

    Args:
        name: one of `BACKBONES` or of timm's models, followed by `@32` for patches of 32 pixels.
        weights: "hub", "none", a file, or a folder of files with timm's names.
        image_size: side of the input in pixels; None for the checkpoint's.
        with_classifier: whether to keep the checkpoint's classifier.
        training: what the network shall do in training alone.

    Raises:
        UserError: the name is unknown, the weights are missing, do not fit, or cannot be downloaded, or the network has
            nothing of what `training` asks for.
    """
    backbone = resolve(name)
    config: Any = timm.get_pretrained_cfg(backbone.timm_name)
    options = dict(backbone.options)
    if image_size and config.fixed_input_size:
        options["img_size"] = image_size
    side = image_size or options.get("img_size") or config.input_size[-1]
    path = hub_file(name, config) if weights == "hub" else weight_file(Path(weights).expanduser(), backbone.timm_name)
    module = _make(name, backbone.timm_name, options | training.timm_options(fixed_size=config.fixed_input_size))
    if training.patch_drop and isinstance(module, VisionTransformer):
        module.patch_drop.num_prefix_tokens = module.num_prefix_tokens  # timm would drop a distillation token
    whole = set(module.state_dict())
    if not with_classifier:
        module.reset_classifier(0)
    _check_patches(name, module, side)
    if training.image_size:
        _check_patches(f"`train.image_size` {training.image_size}: {name}", module, training.image_size)
    if weights != "none":
        fit_state(module, read_state(path), path, spare=whole - set(module.state_dict()))
    return Network(module, side, config.interpolation, Normalize(config.mean, config.std))


def resolve(name: str) -> Backbone:
    """Look up a name in `BACKBONES` or timm, and apply a patch size behind `@`.

    Raises:
        UserError: the name is in neither, or the patch size is no positive number.
    """
    base, at, patch_size = name.partition("@")
    backbone = BACKBONES.get(base) or Backbone(base, "a timm model")
    if base not in BACKBONES and not timm.is_model(base):
        raise unknown("model", base, [*BACKBONES, *timm.list_models(pretrained=True), *timm.list_models()])
    if at and not (patch_size.isdigit() and int(patch_size) > 0):
        raise UserError(f"{name}: expected a patch size in pixels behind @, as in vit-ti16@32")
    if not timm.is_model_pretrained(backbone.timm_name) and "." in base:
        raise unknown("model", base, timm.list_pretrained(f"{base.partition('.')[0]}.*"))
    options = backbone.options | ({"patch_size": int(patch_size)} if at else {})
    return dataclasses.replace(backbone, options=options)


def is_distilled(network: Any) -> bool:
    """Return whether the network has a second head, which learned from a teacher."""
    return getattr(network, "head_dist", None) is not None


def is_plain_vit(network: nn.Module) -> bool:
    """Return whether the network is a ViT with a class token, which is what cross attention needs."""
    return isinstance(network, VisionTransformer) and not is_distilled(network)


def _check_patches(name: str, module: Any, side: int) -> None:
    embed = getattr(module, "patch_embed", None)
    patch_size = embed.patch_size[0] if isinstance(embed, PatchEmbed) else 1
    if side % patch_size:  # timm would silently ignore the last pixels, or complain when it is run
        near = sorted({max(1, side // patch_size) * patch_size, (side // patch_size + 1) * patch_size})
        raise UserError(
            f"{name}: patches of {patch_size} pixels do not divide an input of {side}: choose"
            f" {' or '.join(map(str, near))}"
        )


def _make(name: str, timm_name: str, options: dict[str, Any]) -> Any:
    try:
        return timm.create_model(timm_name, pretrained=False, **options)
    except (TypeError, AssertionError) as error:
        refused = next((ours for theirs, ours in IN_TRAINING.items() if f"'{theirs}'" in str(error)), None)
        if refused:
            raise UserError(f"`{refused}`: timm has it for other networks, not for {name}; leave it out") from error
        raise UserError(f"{name} cannot be made with {options}: {error}") from error
