"""Options of models, and the tables of named networks and heads; nothing here imports torch."""

import dataclasses
from typing import Annotated, Any, Literal

import tyro

from doublevit.errors import UserError, unknown
from doublevit.models.top_k import NONE, TopK


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A timm model, its pretrained tag pinned since defaults change, a note, and `options` for `timm.create_model`."""

    timm_name: str
    note: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


def _small_vit(patch_size: int, note: str, **options: str) -> Backbone:
    size = {"img_size": 32, "patch_size": patch_size, "embed_dim": 64, "depth": 6, "num_heads": 4}
    return Backbone("vit_tiny_patch16_224", note, size | options)


_FROM_SCRATCH = "six small blocks for 32 pixels, to be trained from scratch"
_XAVIER = "the same from weights by Xavier's rule, from which it learns sooner"
_SMALL_PIT = {"img_size": 32, "patch_size": 8, "stride": 4, "base_dims": (16, 16, 16), "depth": (2, 3, 1)}

BACKBONES: dict[str, Backbone] = {
    "vit-b16": Backbone("vit_base_patch16_224.orig_in21k_ft_in1k", "ViT-B/16, the paper's"),
    "vit-b32": Backbone("vit_base_patch32_224.augreg_in21k_ft_in1k", "ViT-B/32 with ImageNet-1k, as the paper says"),
    "vit-b32-in21k": Backbone("vit_base_patch32_224.orig_in21k", "ViT-B/32 of the paper's released code"),
    "vit-l16": Backbone("vit_large_patch16_224.orig_in21k", "ViT-L/16, the paper's section 4.1"),
    "pit-b": Backbone("pit_b_distilled_224.in1k", "PiT-B distilled: two heads, both trained"),
    "inception-resnet-v2": Backbone("inception_resnet_v2.tf_in1k", "InceptionResNetV2, the paper's CNN"),
    "resnet50": Backbone("resnet50.a1_in1k", "ResNet-50"),
    "vit-ti16": Backbone("vit_tiny_patch16_224.augreg_in21k_ft_in1k", "ViT-Ti/16, ViT-B/16 at a tenth of the cost"),
    "deit-b16": Backbone("deit_base_patch16_224.fb_in1k", "DeiT-B/16"),
    "deit-ti16": Backbone("deit_tiny_patch16_224.fb_in1k", "DeiT-Ti/16"),
    "pit-ti": Backbone("pit_ti_distilled_224.in1k", "PiT-Ti distilled, PiT-B at a tenth of the cost"),
    "vit-digits-4": _small_vit(4, _FROM_SCRATCH),
    "vit-digits-8": _small_vit(8, _FROM_SCRATCH),
    "vit-digits-4-xavier": _small_vit(4, _XAVIER, weight_init="jax"),
    "vit-digits-8-xavier": _small_vit(8, _XAVIER, weight_init="jax"),
    "pit-digits": Backbone("pit_ti_224", "a small PiT for 32 pixels, to be trained from scratch", _SMALL_PIT),
    "resnet-digits": Backbone("test_resnet.r160_in1k", "timm's smallest ResNet, for small images and tests"),
}

HEADS = {
    "linear": "one linear layer",
    "paper-single": "dropout 0.4, 1024, ReLU, 256, ReLU, classes (the paper's code, one network)",
    "paper-double": "dropout 0.4, half the width, ReLU, classes (the paper's code, DoubleViT)",
}

HEAD_INITS = {
    "zeros": "logits start at zero (the paper's heads start at random, as in its code)",
    "pretrained": "the checkpoint's own ImageNet head, cut to the data set's wnids; of a DoubleViT the mean of both",
    "probe": "logistic regression on the features of the training images, before the first step",
}

ELSEWHERE = "elsewhere"
"""The weights, in the recipe of a model that was not trained here: nothing is known of how it was."""
MAX_HEADS = 1024  # and largest width of one: far beyond any use, but still fits into memory
MAX_IMAGE_SIZE = 4096  # pixels: a ViT-Ti/16 of this side has 65,536 tokens


@dataclasses.dataclass(frozen=True)
class CrossConfig:
    """Cross attention between the two branches of a DoubleViT."""

    after: tuple[int, ...] = ()
    """Blocks after which to insert cross attention, counted from 1 (paper: none, 9, or 9 12)."""
    heads: int = 4
    """Number of attention heads in each layer (4 in the paper's figure)."""
    head_dim: int | None = None
    """Width of one head; if not given, the other branch's width / heads (released code: 64 and 32)."""
    projection: Literal["paper", "crossvit"] = "paper"
    """Projection between the branches' widths: paper (Linear) or crossvit (LayerNorm, GELU, Linear)."""
    routing: Literal["own", "swapped"] = "own"
    """Afterwards a branch keeps its own patch tokens (own: figure, CrossViT) or gets the other's (swapped: code)."""
    fusion: Literal["replace", "residual"] = "replace"
    """Whether the result replaces the class token (replace: paper) or is added to it, at first zero (residual)."""

    def __post_init__(self) -> None:
        if any(block < 1 for block in self.after) or list(self.after) != sorted(set(self.after)):
            found = " ".join(map(str, self.after))
            raise UserError(f"`model.cross.after`: expected different blocks in rising order, from 1, found {found}")
        for name, value in (("heads", self.heads), ("head_dim", self.head_dim)):
            if value is not None and not 1 <= value <= MAX_HEADS:
                raise UserError(f"`model.cross.{name}`: expected 1 to {MAX_HEADS}, found {value}")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Which network, with which weights and head, and how much of it is trained."""

    backbone: Annotated[str, tyro.conf.arg(aliases=("--model",))] = "vit-b16"
    """A named network (see `doublevit recipes`) or any timm model; NAME@32 gives a ViT patches of 32 pixels."""
    coarse: str | None = None
    """A second ViT, of any patch size and checkpoint, which makes the model a DoubleViT."""
    weights: Annotated[str, tyro.conf.arg(aliases=("--weights",))] = "hub"
    """hub (downloaded by timm), none (from scratch), a .safetensors or .pth file, or a folder of such by timm names."""
    coarse_weights: str | None = None
    """Weights of the second ViT; if not given, as `weights`."""
    head: Literal["linear", "paper-single", "paper-double"] = "linear"
    """linear; paper-single or paper-double (the released code's MLPs)."""
    head_init: Literal["zeros", "pretrained", "probe"] = "zeros"
    """Start of the linear head: zeros; pretrained (the checkpoint's ImageNet head, cut to the data set's wnids); probe
    (logistic regression on features of the training images)."""
    image_size: int | None = None
    """Side in pixels of the network's input; if not given, that of its checkpoint."""
    freeze: str = "none"
    """Frozen: none, all-but-head, all-but-N-tensors (paper: 90; counted in each branch) or all-but-N-blocks."""
    top_k: str = NONE
    """Sparse attention, to each query's K keys of highest score: none, K, a fraction (10%), or one for each stage of a
    PiT (32,16,8)."""
    drop_path: float = 0.0
    """Stochastic depth: fraction of images for which the last block is left out in training, less for earlier ones
    (timm's drop_path_rate); 0: off."""
    patch_drop: float = 0.0
    """Fraction of a ViT's patches that are left out in training (timm's patch_drop_rate); 0: off."""
    cross: CrossConfig = CrossConfig()

    def __post_init__(self) -> None:
        TopK.parse(self.top_k)
        if self.head not in HEADS:
            raise unknown("head", self.head, HEADS)
        for name in ("drop_path", "patch_drop"):
            if not 0 <= getattr(self, name) < 1:
                found = getattr(self, name)
                raise UserError(f"`model.{name}`: expected 0 or more and less than 1, found {found}")
        if self.head_init not in HEAD_INITS:
            raise unknown("start of a head", self.head_init, HEAD_INITS)
        if self.head_init != "zeros" and self.head != "linear":
            raise UserError(
                f"`model.head_init={self.head_init}` is a start of the linear head: expected `model.head=linear`, found"
                f" {self.head}"
            )
        if self.image_size is not None and not 1 <= self.image_size <= MAX_IMAGE_SIZE:
            raise UserError(f"`model.image_size`: expected 1 to {MAX_IMAGE_SIZE} pixels, found {self.image_size}")
        if self.cross.after and self.coarse is None:
            raise UserError("`model.cross.after` needs two branches: pass `model.coarse`, a second ViT")


def of_older(model: dict[str, Any]) -> dict[str, Any]:
    """Return what an older version wrote of a model as it is written now: a pretrained head was a kind of its own."""
    return model | {"head": "linear", "head_init": "pretrained"} if model.get("head") == "pretrained" else model
