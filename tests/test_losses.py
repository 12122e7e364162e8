"""Losses against timm's and closed forms."""

import math

import pytest
import torch
from timm.data.mixup import mixup_target
from timm.loss import JsdCrossEntropy, SoftTargetCrossEntropy

from doublevit.augment.mixing import soft_labels
from doublevit.training.step import classification_loss, jensen_shannon


def test_consistency_is_timms():
    torch.manual_seed(0)
    logits, labels = 3 * torch.randn(8, 3, 10), torch.randint(0, 10, (8,))
    views_first = logits.transpose(0, 1).flatten(0, 1)
    for smoothing in (0.0, 0.1):
        expected = JsdCrossEntropy(num_splits=3, alpha=12, smoothing=smoothing)(views_first, labels)
        ours = classification_loss(logits[None, :, 0], labels, smoothing) + 12 * jensen_shannon(logits[None])
        assert ours.item() == pytest.approx(expected.item(), rel=1e-5)


def test_consistency_of_views_that_agree_is_0_and_of_certain_ones_that_do_not_the_log_of_their_number():
    same = torch.randn(4, 1, 5).expand(-1, 3, -1)
    assert jensen_shannon(same).item() == pytest.approx(0, abs=1e-6)
    certain = 100 * torch.eye(3).expand(4, 3, 3)
    assert jensen_shannon(certain).item() == pytest.approx(math.log(3), rel=1e-5)


def test_soft_targets_are_timms_and_hard_ones_the_same_as_soft():
    torch.manual_seed(0)
    logits, shares = torch.randn(2, 6, 5), torch.rand(6, 5).softmax(1)
    expected = (SoftTargetCrossEntropy()(logits[0], shares) + SoftTargetCrossEntropy()(logits[1], shares)) / 2
    assert classification_loss(logits, shares, 0.0).item() == pytest.approx(expected.item(), rel=1e-5)
    labels = torch.randint(0, 5, (6,))
    soft = torch.nn.functional.one_hot(labels, 5).float()
    for smoothing in (0.0, 0.2):
        hard = classification_loss(logits, labels, smoothing)
        assert hard.item() == pytest.approx(classification_loss(logits, soft, smoothing).item(), rel=1e-5)


def test_mixed_and_smoothed_targets_give_timms_loss():
    """timm blends a batch with itself in reverse, by one fraction, and smooths before that."""
    torch.manual_seed(0)
    logits, labels = torch.randn(1, 6, 5), torch.randint(0, 5, (6,))
    targets = soft_labels(labels, labels.flip(0), torch.full((6,), 0.3), 5)
    expected = SoftTargetCrossEntropy()(logits[0], mixup_target(labels, 5, 0.3, smoothing=0.1))
    assert classification_loss(logits, targets, 0.1).item() == pytest.approx(expected.item(), rel=1e-5)
