"""Adversarial training: each step's images are moved by PGD, in an Linf ball at their own size, before the step.

Madry et al. (2018), "Towards deep learning models resistant to adversarial attacks". Epsilon rises from 0, since
checkpoints that are not robust otherwise adapt badly to a new task (Ngnawé et al. 2025, arXiv 2509.23325).

The attack is that of the evaluation: the network is in evaluation mode (no dropout; batch norm by running statistics),
logits are the mean of the heads, and gradients reach the pixels through resizing and frozen layers, while no parameter
gets any. The step itself then trains as ever, batch statistics of the attacked images included.
"""

import contextlib
import dataclasses
from collections.abc import Iterator

import torch

from doublevit.attacks.balls import project
from doublevit.attacks.draws import AttackDraws
from doublevit.attacks.victim import Victim, cross_entropy, frozen
from doublevit.device import autocast
from doublevit.models.classifier import Classifier
from doublevit.training.config import TrainConfig
from doublevit.training.training import Training, TrainingBatch

START = "adversarial training"  # the name of the draws of starting points


def epsilon_at(step: int, per_epoch: int, config: TrainConfig) -> float:
    """Return the epsilon of `step` (from 0), in units of the pixel range; it rises linearly over the first epochs."""
    rising = config.rising_epochs * per_epoch
    return config.largest_epsilon * (min(1.0, step / rising) if rising else 1.0)


def attacked(training: Training, batch: TrainingBatch, number: int) -> TrainingBatch:
    """Return the batch of step `number` with its images attacked: float32 (B, 1, 3, H, W) in [0, 1]."""
    epsilon = epsilon_at(number, training.per_epoch, training.config)
    clean = pixels(batch)
    draws = AttackDraws(training.seed, batch.indices.cpu().numpy(), repeat=number)
    start = torch.from_numpy(draws.uniform(START, *clean.shape[1:])).to(clean.device)
    with _evaluation_mode(training.model), frozen(training.model), autocast(clean.device, training.dtype):
        moved = pgd(Victim(training.model), clean, batch.targets, start, epsilon, training.config.attack_steps)
    return dataclasses.replace(batch, images=moved[:, None])


def pgd(
    victim: Victim, images: torch.Tensor, targets: torch.Tensor, start: torch.Tensor, epsilon: float, steps: int
) -> torch.Tensor:
    """Return images (B, 3, H, W) moved in their Linf ball by `steps` signed gradients of the cross-entropy.

    A step is 2.5 epsilon / steps long, as Madry et al. have it, but no longer than the 1.25 epsilon of the single step
    of Wong et al. (2020).

    Args:
        victim: the network in evaluation mode.
        images: float32 (B, 3, H, W) in [0, 1].
        targets: classes int64 (B,), or class probabilities float32 (B, classes).
        start: where in its ball each image begins, (B, 3, H, W), from 0 to 1.
        epsilon: how far a pixel may move.
        steps: how many gradients are followed.
    """
    step = 2.5 * epsilon / max(2, steps)
    moved = project(images + epsilon * (2 * start - 1), images, "linf", epsilon)
    for _ in range(steps if epsilon else 0):
        *_, gradient = victim.gradient(moved, targets, cross_entropy)
        moved = project(moved + step * gradient.sign(), images, "linf", epsilon)
    return moved


@torch.no_grad()
def clean_result(training: Training, batch: TrainingBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean loss of a batch's images as they were before the attack, and the number that are recognized."""
    with _evaluation_mode(training.model), autocast(batch.images.device, training.dtype):
        logits = training.model(batch.images[:, 0]).float()
    return cross_entropy(logits, batch.targets).mean(), (logits.argmax(dim=1) == batch.labels).sum()


def pixels(batch: TrainingBatch) -> torch.Tensor:
    """Return the first views of a batch of uint8 images as float32 (B, 3, H, W) in [0, 1]."""
    return batch.images[:, 0].float() / 255


@contextlib.contextmanager
def _evaluation_mode(model: Classifier) -> Iterator[None]:
    """Put the network in evaluation mode for the block, with input size and attention as in training."""
    attention = model.attention
    narrowed = 1.0 if attention is None else attention.narrowed
    model.eval()
    model.resize.train()
    if attention is not None:
        attention.narrowed = narrowed
    try:
        yield
    finally:
        model.train()
