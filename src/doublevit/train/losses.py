"""What is made small: cross-entropy, and where there are several views of a photo, their disagreement."""

import math

import torch
import torch.nn.functional as F


def classification_loss(logits: torch.Tensor, targets: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Cross-entropy, averaged over the photos and over the model's heads.

    Args:
        logits: float32 (heads, B, classes).
        targets: classes int64 (B,), or their shares float32 (B, classes).
        smoothing: share of the target that is spread over all classes.
    """
    every = targets.expand(len(logits), *targets.shape).flatten(0, 1)
    return F.cross_entropy(logits.flatten(0, 1), every, label_smoothing=smoothing)


def jensen_shannon(logits: torch.Tensor) -> torch.Tensor:
    """Jensen-Shannon divergence of the predictions for several views, in nats, averaged over all but these.

    The mean over views of KL(view || mean of the views); AugMix (Hendrycks et al. 2020) adds 12 times that.

    Args:
        logits: float32 (..., B, views, classes).
    """
    logs = logits.log_softmax(dim=-1)
    mean = logs.logsumexp(dim=-2, keepdim=True) - math.log(logits.shape[-2])
    return (logs.exp() * (logs - mean)).sum(dim=-1).mean()
