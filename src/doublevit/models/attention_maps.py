"""Attention maps: the class token's attention over the image, of single layers and through all of them.

Attention rollout (Abnar and Zuidema 2020) multiplies the matrices of the layers, first to last: each is half the mean
attention of the heads and half the identity, for the residual connection. Here it continues through cross attention,
so the tokens of each branch have weights on the patches of both.
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
from doublevit.models.wrapped import Wrapped

TOKEN_NETWORKS = (VisionTransformer, PoolingVisionTransformer, DoubleViT)
"""Networks whose attention is of patches that cover the image."""


@dataclasses.dataclass(frozen=True)
class AttentionMap:
    """Weights of attention, (rows, columns) of patches, which sum to at most 1, and a title."""

    title: str
    weights: torch.Tensor


@torch.no_grad()
def attention_maps(model: Classifier | Wrapped, image: torch.Tensor) -> list[AttentionMap]:
    """Compute the maps of one image (1, 3, H, W): of last layers, of cross attention, and rollout where it is defined.

    Raises:
        UserError: the network is no ViT, DeiT, PiT or DoubleViT, so its attention has no map over the image.
    """
    network = _network_of(model)
    _require_tokens(network)
    with recorded_attention(model) as seen:
        model.eval()(image)
    layers = iter([weights[0].mean(dim=0) for weights in seen])  # (queries, keys) each
    if isinstance(network, DoubleViT):
        return _maps_of_double_vit(network, layers)
    if isinstance(network, PoolingVisionTransformer):
        return _maps_of_pit(network, list(layers))
    return _maps_of_vit(network, list(layers))


def has_maps(model: Any) -> bool:
    """Return whether a model's attention can be laid over an image: that of ViT, DeiT, PiT and DoubleViT."""
    return isinstance(model, Classifier | Wrapped) and isinstance(_network_of(model), TOKEN_NETWORKS)


def _network_of(model: Classifier | Wrapped) -> Any:
    """Return the network in a model; a DoubleViT as a whole."""
    if isinstance(model, Wrapped):
        return model.network
    return model.backbone if isinstance(model.backbone, DoubleViT) else model.backbone.network


@contextlib.contextmanager
def recorded_attention(model: Classifier | Wrapped) -> Iterator[list[torch.Tensor]]:
    """Collect the weights (B, heads, queries, keys) of every attention computed in the block, in order."""
    seen: list[torch.Tensor] = []
    route_through_torch(model)
    if isinstance(model, Wrapped):
        with AttentionMode(None, observer=seen.append):
            yield seen
        return
    mode = model.attention
    try:
        model.attention = (
            AttentionMode(mode.top_k, mode.stages, seen.append) if mode else AttentionMode(None, observer=seen.append)
        )
        yield seen
    finally:
        model.attention = mode


def attention_rollout(layers: list[torch.Tensor]) -> torch.Tensor:
    """Combine layers (tokens, tokens) from first to last: the weight of every input token in every output token."""
    rollout = torch.eye(len(layers[0]), dtype=layers[0].dtype, device=layers[0].device)
    for layer in layers:
        rollout = _through(layer, rollout)
    return rollout


def _through(layer: torch.Tensor, rollout: torch.Tensor) -> torch.Tensor:
    return (layer @ rollout + rollout) / 2


def _maps_of_vit(network: Any, layers: list[torch.Tensor]) -> list[AttentionMap]:
    """Make the maps of a ViT: the attention of the tokens that it classifies from."""
    if len(layers) != len(network.blocks):
        raise UserError("attention is followed through one row of layers only, not through parallel or pooling ones")
    last, rollout = (_classifying_rows(network, rows) for rows in (layers[-1], attention_rollout(layers)))
    prefix = network.num_prefix_tokens
    return [
        AttentionMap("last layer", _on_patches(last, prefix)),
        AttentionMap("rollout", _on_patches(rollout, prefix)),
    ]


def _classifying_rows(network: Any, rows: torch.Tensor) -> torch.Tensor:
    """Select the rows of the tokens that a ViT classifies from: class and distillation token, or else all patches."""
    if not network.has_class_token:
        return rows[network.num_prefix_tokens :]
    return rows[: 2 if is_distilled(network) else 1]


def _maps_of_pit(network: Any, layers: list[torch.Tensor]) -> list[AttentionMap]:
    """Make the maps of a PiT, whose patches grow from stage to stage: of each stage's last layer."""
    prefix, maps = network.cls_token.shape[1], []
    depths = [len(stage.blocks) for stage in network.transformers]
    for number, last in enumerate(itertools.accumulate(depths), 1):
        maps.append(AttentionMap(f"stage {number}, last layer", _on_patches(layers[last - 1][:prefix], prefix)))
    return maps


@dataclasses.dataclass
class _BranchState:
    """The state of a branch: its rollout onto the tokens of both branches, and the weights of its last layer."""

    rollout: torch.Tensor
    last: torch.Tensor

    def run(self, layers: Iterator[torch.Tensor], depth: int) -> None:
        for self.last in itertools.islice(layers, depth):
            self.rollout = _through(self.last, self.rollout)


def _maps_of_double_vit(network: DoubleViT, layers: Iterator[torch.Tensor]) -> list[AttentionMap]:
    """Make the maps of a DoubleViT, in the order of its `forward`: blocks of both branches, cross attention, ..."""
    vits = {"fine": network.fine.vit, "coarse": network.coarse.vit}
    sizes = [vit.num_prefix_tokens + vit.patch_embed.num_patches for vit in vits.values()]
    start = torch.eye(sum(sizes), device=device_of(network))
    fine, coarse = (_BranchState(part, part) for part in start.split(sizes))
    maps: list[AttentionMap] = []
    for (begin, end), cross in zip(itertools.pairwise((0, *network.after)), network.cross, strict=True):
        for stream in (fine, coarse):
            stream.run(layers, end - begin)
        crossed = [next(layers), next(layers)]
        for name, other, weights in zip(("fine", "coarse"), ("coarse", "fine"), crossed, strict=True):
            maps.append(AttentionMap(f"cross after {end}: {name} to {other}", _on_patches(weights, 1)))
        _cross(fine, coarse, crossed, swapped=bool(cross.swapped))
    last = network.after[-1] if network.after else 0
    ends = []
    for (name, vit), stream in zip(vits.items(), (fine, coarse), strict=True):
        stream.run(layers, len(vit.blocks) - last)
        weights = _on_patches(_classifying_rows(vit, stream.last), vit.num_prefix_tokens)
        maps.append(AttentionMap(f"{name} branch, last layer", weights))
        ends.append(_classifying_rows(vit, stream.rollout).mean(dim=0))
    both = (ends[0] + ends[1]) / 2  # the head gets both features
    parts = zip(vits.items(), both.split(sizes), strict=True)
    rollouts = [(name, _on_patches(part[None], vit.num_prefix_tokens)) for (name, vit), part in parts]
    return [*maps, *(AttentionMap(f"rollout, {name} patches", weights) for name, weights in rollouts)]


def _cross(fine: _BranchState, coarse: _BranchState, crossed: list[torch.Tensor], *, swapped: bool) -> None:
    """Update rollouts by cross attention, half of which is residual: of class tokens to the other branch's patches."""
    old = fine.rollout, coarse.rollout
    for stream, (rollout, other), weights in zip((fine, coarse), (old, old[::-1]), crossed, strict=True):
        attended = weights @ torch.cat([rollout[:1], other[1:]])
        patches = other[1:] if swapped else rollout[1:]
        stream.rollout = torch.cat([(rollout[:1] + attended) / 2, patches])


def _on_patches(rows: torch.Tensor, prefix: int) -> torch.Tensor:
    """Average rows (tokens, keys), drop the `prefix` keys before the patches, and arrange the rest as a square."""
    weights = rows.mean(dim=0)[prefix:]
    side = math.isqrt(len(weights))
    return weights.view(side, side)


def _require_tokens(network: object) -> None:
    if not isinstance(network, TOKEN_NETWORKS):
        raise UserError(
            f"attention is laid over images for ViT, DeiT, PiT and DoubleViT only; found {type(network).__name__}"
        )
