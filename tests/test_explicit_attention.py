"""Explicit attention in training: the same numbers as torch's fused kernel, and only where it is meant to be."""

import copy

import pytest
import torch
import torch.nn.functional as F
from timm.layers.attention2d import Attention2d
from torch.overrides import TorchFunctionMode

from doublevit.models import ModelConfig
from doublevit.models.classifier import Classifier, build
from doublevit.models.explicit_attention import prefer_explicit


class Fused(TorchFunctionMode):
    """Counts calls of torch's fused kernel."""

    calls = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.calls += func is F.scaled_dot_product_attention
        return func(*args, **(kwargs or {}))


def made(image_size: int = 32) -> Classifier:
    torch.manual_seed(0)
    config = ModelConfig(
        "vit-digits-4", weights="none", head="paper-single", freeze="all-but-3-blocks", image_size=image_size
    )
    model = build(config, list("abc"))
    model.heads.eval()  # no dropout
    prefer_explicit(model)
    return model


def calls(model: Classifier, images: torch.Tensor) -> int:
    with Fused() as fused:
        model(images)
    return fused.calls


def test_logits_and_gradients_are_those_of_the_fused_kernel():
    explicit, images = made(), torch.rand(4, 3, 32, 32)
    fused = copy.deepcopy(explicit).eval()
    explicit.train().heads.eval()
    logits, expected = explicit(images), fused(images)
    assert torch.allclose(logits, expected, atol=1e-5)
    assert not torch.equal(logits, expected)  # it is another formula
    for output in (logits, expected):
        output.square().sum().backward()
    for (name, ours), theirs in zip(explicit.named_parameters(), fused.parameters(), strict=True):
        if ours.requires_grad:
            assert torch.allclose(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6), name


@pytest.mark.parametrize(
    ("training", "image_size", "expected"),
    [(True, 32, 0), (False, 32, 6), (True, 64, 6)],
    ids=["training", "evaluation", "257 tokens"],
)
def test_frozen_blocks_too_but_not_in_evaluation_nor_where_scores_would_fill_the_memory(training, image_size, expected):
    model = made(image_size)
    for mode in (not training, training):  # the other mode before leaves nothing behind
        model.train(mode)
        found = calls(model, torch.rand(2, 3, 32, 32))
    assert found == expected
    assert calls(copy.deepcopy(model).eval(), torch.rand(2, 3, 32, 32)) == 6  # of a copy, whose mode is its own


def test_attention_over_an_image_has_more_tokens_than_rows():
    """Of timm's networks that mix convolution and attention: (B, C, H, W), here 400 tokens."""
    model = torch.nn.Sequential(Attention2d(8, num_heads=2)).train()
    prefer_explicit(model)
    assert calls(model, torch.rand(1, 8, 20, 20)) == 1
