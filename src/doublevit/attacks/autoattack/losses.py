"""What attacks make large: margins, and the difference of logits ratio, which no scaling of the logits changes.

Croce and Hein (2020), "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
attacks", section 4. Each loss takes logits (B, classes) and labels (B,) and gives a number per sample, (B,).
"""

import torch

from doublevit.attacks.victim import Loss
from doublevit.errors import UserError

TINY = 1e-12  # keeps a ratio finite where logits are equal


def require_classes(logits: torch.Tensor, min_classes: int, name: str) -> None:
    """Raise `UserError` where logits (B, classes) are of fewer classes than the loss called `name` is defined for."""
    if logits.shape[1] < min_classes:
        raise UserError(
            f"{name} needs at least {min_classes} classes, found {logits.shape[1]}; attack with cross-entropy (ce)"
        )


def margin(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return by how much the best other class beats the label: negative where the model is right.

    Raises:
        UserError: there are fewer than 2 classes.
    """
    require_classes(logits, 2, "the margin")
    others = logits.scatter(1, labels.unsqueeze(1), -torch.inf)
    return others.max(dim=1).values - _logit_of(logits, labels)


def dlr(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the margin over the difference of the highest and the third highest logit: -1 to 1.

    Raises:
        UserError: there are fewer than 3 classes.
    """
    require_classes(logits, 3, "the DLR loss")
    highest = logits.topk(3, dim=1).values
    return margin(logits, labels) / (highest[:, 0] - highest[:, 2] + TINY)


def targeted_margin(targets: torch.Tensor) -> Loss:
    """Return the loss that is the logit of the target minus that of the label; `targets` int64 (B,)."""

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return _logit_of(logits, targets) - _logit_of(logits, labels)

    return loss


def targeted_dlr(targets: torch.Tensor) -> Loss:
    """Return the targeted margin over the highest logit's difference to the mean of the third and fourth.

    The loss raises `UserError` where there are fewer than 4 classes.
    """

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        require_classes(logits, 4, "the targeted DLR loss")
        highest = logits.topk(4, dim=1).values
        scale = highest[:, 0] - (highest[:, 2] + highest[:, 3]) / 2
        return targeted_margin(targets)(logits, labels) / (scale + TINY)

    return loss


def likely_targets(logits: torch.Tensor, labels: torch.Tensor, count: int) -> torch.Tensor:
    """Return the `count` most likely classes of each sample that are not the label, or all there are, (count, B)."""
    others = logits.scatter(1, labels.unsqueeze(1), -torch.inf)
    return others.topk(min(count, logits.shape[1] - 1), dim=1).indices.T


def _logit_of(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    return logits.gather(1, classes.unsqueeze(1)).squeeze(1)
