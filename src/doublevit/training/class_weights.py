"""Weights of classes in the loss, for training images of which some classes have few."""

import numpy as np
import torch

from doublevit.data.dataset import Dataset
from doublevit.data.sampling import require_every_class
from doublevit.training.config import TrainConfig


def class_weights(config: TrainConfig, train: Dataset) -> torch.Tensor | None:
    """Return the weight of each class, float32 (classes,), with mean 1 over the training images; None for no weights.

    Raises:
        UserError: a class has no training image.
    """
    if config.class_weights == "none":
        return None
    require_every_class(train, f"`train.class_weights={config.class_weights}`")
    counts = np.bincount(train.labels, minlength=len(train.class_ids))
    if config.class_weights == "balanced":
        return torch.from_numpy(balanced(counts)).float()
    return torch.from_numpy(effective(counts, config.class_weights_beta)).float()


def balanced(counts: np.ndarray) -> np.ndarray:
    """Return n / (classes x images of the class), as scikit-learn's "balanced", float64 (classes,), of int (classes,).

    Its mean over all n images is 1.
    """
    return counts.sum() / (len(counts) * counts)


def effective(counts: np.ndarray, beta: float) -> np.ndarray:
    """Return weights by the effective number of images, (1 - beta^n) / (1 - beta), of each class (Cui et al. 2019).

    They are the inverse of it, scaled so that their mean over all images is 1; Cui et al. scale to a mean of 1 over
    classes. With `beta` 0 all are 1; as it nears 1 they near `balanced`.

    Args:
        counts: images of each class, int (classes,).
        beta: in 0..1, less than 1.
    """
    inverse = (1 - beta) / -np.expm1(counts * np.log(beta)) if beta else np.ones(len(counts))
    return inverse * (counts.sum() / (counts * inverse).sum())


def image_weights(targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the weight of each image, float32 (B,), of its class (B,) or its fractions of classes (B, classes)."""
    return weights[targets] if targets.ndim == 1 else targets @ weights


def describe(weights: torch.Tensor | None, kind: str) -> str:
    """Return a line that says what the weights are; "" for none."""
    if weights is None:
        return ""
    return f"class weights, {kind}: {weights.min():.3g} to {weights.max():.3g}, mean 1 over the training images\n"
