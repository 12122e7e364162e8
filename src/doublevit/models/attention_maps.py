"""What a network looks at: attention of its class token over the image, layer by layer and through all of them.

Rollout (Abnar and Zuidema 2020) follows attention from the last layer to the image: each layer's weights, the mean of
its heads, count half and the residual connection half. Here it goes through cross attention too, from one branch into
the other: a branch's tokens are followed to the patches of both.
"""

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
from timm.models.pit import PoolingVisionTransformer
from timm.models.vision_transformer import VisionTransformer

from doublevit.device import device_of
from doublevit.errors import UserError
from doublevit.models.attention_mode import AttentionMode, route_through_torch
from doublevit.models.backbones import is_distilled
from doublevit.models.classifier import Classifier
from doublevit.models.double_vit import DoubleViT


@dataclasses.dataclass(frozen=True)
class AttentionMap:
    """Shares of attention over an image, (rows, columns) of patches, and which these are; they sum to at most 1."""

    title: str
    shares: torch.Tensor


@torch.no_grad()
def attention_maps(model: Classifier, image: torch.Tensor) -> list[AttentionMap]:
    """Maps of one image (1, 3, H, W): of last layers, of cross attention, and rollout where it is defined.

    Raises:
        UserError: the network is no ViT, DeiT, PiT or DoubleViT: its attention cannot be laid over an image.
    """
    backbone = model.backbone
    _require_tokens(backbone if isinstance(backbone, DoubleViT) else backbone.network)
    with watched(model) as seen:
        model.eval()(image)
    layers = iter([weights[0].mean(dim=0) for weights in seen])  # (queries, keys) each
    if isinstance(backbone, DoubleViT):
        return _maps_of_double_vit(backbone, layers)
    if isinstance(backbone.network, PoolingVisionTransformer):
        return _maps_of_pit(backbone.network, list(layers))
    return _maps_of_vit(backbone.network, list(layers))


@contextlib.contextmanager
def watched(model: Classifier) -> Iterator[list[torch.Tensor]]:
    """The weights (B, heads, queries, keys) of every attention that is computed in the block, in order."""
    seen: list[torch.Tensor] = []
    before = model.attention
    route_through_torch(model)
    try:
        model.attention = (
            AttentionMode(before.top_k, before.stages, seen.append) if before else AttentionMode(None, look=seen.append)
        )
        yield seen
    finally:
        model.attention = before


def rolled_out(layers: list[torch.Tensor]) -> torch.Tensor:
    """Attention through layers, each (tokens, tokens): what every token at the end took from every one at the start."""
    followed = torch.eye(len(layers[0]), dtype=layers[0].dtype, device=layers[0].device)
    for layer in layers:
        followed = _through(layer, followed)
    return followed


def _through(layer: torch.Tensor, followed: torch.Tensor) -> torch.Tensor:
    return (layer @ followed + followed) / 2


def _maps_of_vit(network: Any, layers: list[torch.Tensor]) -> list[AttentionMap]:
    """Maps of a ViT: the patches that the tokens it classifies from looked at."""
    if len(layers) != len(network.blocks):
        raise UserError("attention is followed through one row of layers only, not through parallel or pooling ones")
    last, rollout = (_read(network, rows) for rows in (layers[-1], rolled_out(layers)))
    prefix = network.num_prefix_tokens
    return [
        AttentionMap("last layer", _on_patches(last, prefix)),
        AttentionMap("rollout", _on_patches(rollout, prefix)),
    ]


def _read(network: Any, rows: torch.Tensor) -> torch.Tensor:
    """The rows of the tokens that a ViT classifies from: class (and distillation) token; without one, all patches."""
    if not network.has_class_token:
        return rows[network.num_prefix_tokens :]
    return rows[: 2 if is_distilled(network) else 1]


def _maps_of_pit(network: Any, layers: list[torch.Tensor]) -> list[AttentionMap]:
    """Maps of a PiT, whose patches grow from stage to stage: of each stage's last layer."""
    prefix, maps = network.cls_token.shape[1], []
    depths = [len(stage.blocks) for stage in network.transformers]
    for number, last in enumerate(itertools.accumulate(depths), 1):
        maps.append(AttentionMap(f"stage {number}, last layer", _on_patches(layers[last - 1][:prefix], prefix)))
    return maps


@dataclasses.dataclass
class _Stream:
    """A branch on its way: what its tokens took from the patches of both, and its last layer's weights."""

    followed: torch.Tensor
    last: torch.Tensor

    def run(self, layers: Iterator[torch.Tensor], depth: int) -> None:
        for self.last in itertools.islice(layers, depth):
            self.followed = _through(self.last, self.followed)


def _maps_of_double_vit(network: DoubleViT, layers: Iterator[torch.Tensor]) -> list[AttentionMap]:
    """Maps of a DoubleViT, in the order of its forward: blocks of both branches, then cross attention, and again."""
    vits = {"fine": network.fine.vit, "coarse": network.coarse.vit}
    sizes = [vit.num_prefix_tokens + vit.patch_embed.num_patches for vit in vits.values()]
    start = torch.eye(sum(sizes), device=device_of(network))
    fine, coarse = (_Stream(part, part) for part in start.split(sizes))
    maps: list[AttentionMap] = []
    for (begin, end), cross in zip(itertools.pairwise((0, *network.after)), network.cross, strict=True):
        for stream in (fine, coarse):
            stream.run(layers, end - begin)
        reads = [next(layers), next(layers)]
        for name, other, read in zip(("fine", "coarse"), ("coarse", "fine"), reads, strict=True):
            maps.append(AttentionMap(f"cross after {end}: {name} to {other}", _on_patches(read, 1)))
        _cross(fine, coarse, reads, swapped=bool(cross.swapped))
    last = network.after[-1] if network.after else 0
    ends = []
    for (name, vit), stream in zip(vits.items(), (fine, coarse), strict=True):
        stream.run(layers, len(vit.blocks) - last)
        shares = _on_patches(_read(vit, stream.last), vit.num_prefix_tokens)
        maps.append(AttentionMap(f"{name} branch, last layer", shares))
        ends.append(_read(vit, stream.followed).mean(dim=0))
    both = (ends[0] + ends[1]) / 2  # the head gets both features
    parts = zip(vits.items(), both.split(sizes), strict=True)
    rollouts = [(name, _on_patches(part[None], vit.num_prefix_tokens)) for (name, vit), part in parts]
    return [*maps, *(AttentionMap(f"rollout, {name} patches", shares) for name, shares in rollouts)]


def _cross(fine: _Stream, coarse: _Stream, reads: list[torch.Tensor], *, swapped: bool) -> None:
    """Each class token takes half from itself, half from what it read: itself and the other branch's patches."""
    old = fine.followed, coarse.followed
    for stream, (own, other), read in zip((fine, coarse), (old, old[::-1]), reads, strict=True):
        taken = read @ torch.cat([own[:1], other[1:]])
        patches = other[1:] if swapped else own[1:]
        stream.followed = torch.cat([(own[:1] + taken) / 2, patches])


def _on_patches(rows: torch.Tensor, prefix: int) -> torch.Tensor:
    """The mean of some tokens' rows (tokens, keys), without the keys before the patches, as a square of patches."""
    shares = rows.mean(dim=0)[prefix:]
    side = math.isqrt(len(shares))
    return shares.view(side, side)


def _require_tokens(network: object) -> None:
    if not isinstance(network, VisionTransformer | PoolingVisionTransformer | DoubleViT):
        raise UserError(
            "attention is laid over images for ViT, DeiT, PiT and DoubleViT only;"
            f" found a run of {type(network).__name__}"
        )
