"""Freezing of parameters; `requires_grad` is the only record of it, so no two records can disagree.

"All but the last 90 layers" of the paper means parameter tensors (its released code); here they are counted in each
pretrained network separately, since over a whole DoubleViT the last 90 would all be in the second branch.
Classifier heads and cross-attention layers are new and always trained.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from doublevit.errors import UserError

EMBEDDINGS = ("pos_embed", "cls_token", "reg_token", "patch_embed")  # these run first, wherever they are registered
KINDS = "none, all-but-head, all-but-N-tensors or all-but-N-blocks"


@dataclasses.dataclass(frozen=True)
class PartSummary:
    """Numbers of trained and of all parameter tensors, and of their elements, in one part of a model."""

    name: str
    trained_tensors: int
    tensors: int
    trained_parameters: int
    parameters: int


def apply(spec: str, branches: Mapping[str, nn.Module]) -> None:
    """Set `requires_grad` in every branch: its last tensors, in module order, are trained.

    Args:
        spec: none, all-but-head, all-but-N-tensors or all-but-N-blocks.
        branches: pretrained networks without their heads, by name.

    Raises:
        UserError: `spec` is none of these, or its number exceeds that of tensors or blocks.
    """
    for name, network in branches.items():
        parameters = list(network.parameters())
        trained = _count_trained(spec, name, network)
        for position, parameter in enumerate(parameters):
            parameter.requires_grad_(position >= len(parameters) - trained)


def eval_frozen(module: nn.Module) -> None:
    """Put every submodule whose parameters are all frozen in evaluation mode: no dropout, no new batch statistics."""
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        module.eval()
        return
    for child in module.children():
        eval_frozen(child)


def summary(parts: Mapping[str, nn.Module]) -> list[PartSummary]:
    """Summarize each part of a model, in order."""
    return [_summarize(name, part) for name, part in parts.items()]


def autograd_leaks(network: nn.Module) -> list[str]:
    """Return the names of trained tensors that run before frozen ones, so that autograd must pass through these.

    A trainable `pos_embed` before frozen blocks is the usual case; it costs a fifth of the training speed. `apply`
    causes none where modules are registered in the order they run in; setting `requires_grad` by hand can.
    """
    named = list(network.named_parameters())
    last_frozen = max((i for i, (_, parameter) in enumerate(named) if not parameter.requires_grad), default=-1)
    embeds = [name.startswith(EMBEDDINGS) for name, _ in named]
    frozen_blocks = any(
        not parameter.requires_grad for (_, parameter), early in zip(named, embeds, strict=True) if not early
    )
    return [
        name
        for i, (name, parameter) in enumerate(named)
        if parameter.requires_grad and (i < last_frozen or (embeds[i] and frozen_blocks))
    ]


def _count_trained(spec: str, name: str, network: nn.Module) -> int:
    """Return how many of the last tensors `spec` leaves to be trained."""
    total = len(list(network.parameters()))
    if spec in ("none", "all-but-head"):
        return total if spec == "none" else 0
    match = re.fullmatch(r"all-but-(\d+)-(tensors|blocks)", spec)
    if match is None:
        raise UserError(f"`model.freeze`: expected {KINDS}, found {spec!r}")
    count = int(match[1])
    blocks = _blocks(network) if match[2] == "blocks" else []
    available = len(blocks) if match[2] == "blocks" else total
    if not 1 <= count <= available:
        raise UserError(f"`model.freeze` {spec}: {name} has {available} {match[2]}; expected 1 to {available} of them")
    return _tensors_from(network, blocks[-count]) if blocks else count


def _tensors_from(network: nn.Module, block: nn.Module) -> int:
    first = next(block.parameters())
    parameters = list(network.parameters())
    return len(parameters) - next(i for i, parameter in enumerate(parameters) if parameter is first)


def _blocks(network: Any) -> list[nn.Module]:
    """Return the residual blocks of a ViT, PiT or ResNet, in order."""
    if hasattr(network, "blocks"):
        return list(network.blocks)
    if hasattr(network, "transformers"):
        return [block for stage in network.transformers for block in stage.blocks]
    if hasattr(network, "layer4"):
        return [block for n in range(1, 5) for block in getattr(network, f"layer{n}")]
    raise UserError(f"`model.freeze`: {type(network).__name__} has no row of blocks; use all-but-N-tensors")


def _summarize(name: str, part: nn.Module) -> PartSummary:
    parameters = list(part.parameters())
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    return PartSummary(
        name, len(trained), len(parameters), sum(p.numel() for p in trained), sum(p.numel() for p in parameters)
    )
