"""Attention by its plain formula while a model is trained on the CPU, where torch's fused kernel takes longer.

The fused kernel saves no scores and computes them again for the gradient; benchmarks/train_step.py measures both.
"""

import functools
from typing import Any

import torch
from torch import nn

MAX_TOKENS = 256  # saved scores of more take too much memory: for 32 images and 12 heads, 150 MB a layer
Inputs = tuple[torch.Tensor, ...]


def prefer_explicit(model: nn.Module) -> None:
    """Let timm's attention modules choose the formula at every call: scores and softmax explicitly, or fused."""
    modules: list[Any] = [module for module in model.modules() if getattr(module, "fused_attn", False)]
    for module in modules:
        module.register_forward_pre_hook(functools.partial(_choose, model))


def _choose(model: nn.Module, module: Any, inputs: Inputs) -> None:
    """Choose by the tokens (B, N, width) that the module is given; frozen modules of a model in training too."""
    tokens = inputs[0]
    few = tokens.ndim == 3 and tokens.shape[1] <= MAX_TOKENS  # four axes are those of an image, with more tokens
    module.fused_attn = not (model.training and tokens.device.type == "cpu" and few)
