"""Mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019): images and labels blended in pairs.

An image's partner is any image of the data set, augmented by that image's own draws, so neither depends on the batch.
"""

import numpy as np
import torch
import torch.nn.functional as F

from doublevit.augment.draws import band, beta, choose


class Mixing:
    """Mixup with Beta(mixup, mixup), CutMix with Beta(cutmix, cutmix), or for each image one of the two; 0 is off."""

    columns = 5  # partner, which of the two, fraction, row, column

    def __init__(self, mixup: float, cutmix: float) -> None:
        self.mixup, self.cutmix = mixup, cutmix

    def partners(self, draws: np.ndarray, count: int) -> np.ndarray:
        """Return the index of each image's partner among `count`, int64 (n,)."""
        return choose(draws[:, 0], count)

    def __call__(
        self, images: torch.Tensor, others: torch.Tensor, draws: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Blend images and others, uint8 (B, 3, H, W); return them with the fraction of `images`, float32 (B,)."""
        cut = draws[:, 1] < 0.5 if self.mixup and self.cutmix else np.full(len(draws), bool(self.cutmix))
        fraction = np.empty(len(draws))
        for chosen, alpha in ((cut, self.cutmix), (~cut, self.mixup)):
            if chosen.any():
                fraction[chosen] = beta(draws[chosen, 2], alpha)
        boxes = _boxes(np.where(cut, fraction, 1), draws[:, 3:], images.shape[2:])
        fraction = np.where(cut, 1 - boxes.mean(axis=(1, 2)), fraction)
        mask = torch.from_numpy(boxes.astype(np.uint8) * 255)[:, None].to(images.device)
        blend = torch.from_numpy(np.where(cut, 1, fraction).astype(np.float32)).to(images.device).view(-1, 1, 1, 1)
        mixed = (images.float() - others.float()).mul_(blend).add_(others).add_(0.5).to(torch.uint8)
        return (mixed & ~mask) | (others & mask), torch.from_numpy(fraction.astype(np.float32)).to(images.device)


def soft_labels(labels: torch.Tensor, others: torch.Tensor, fraction: torch.Tensor, classes: int) -> torch.Tensor:
    """Blend the one-hot `labels` and `others` (B,) with weights `fraction` and 1 - fraction: float32 (B, classes)."""
    target, partner = (F.one_hot(part, classes).float() for part in (labels, others))
    return torch.lerp(partner, target, fraction[:, None])


def _boxes(fraction: np.ndarray, draws: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Mark the partner's rectangle, bool (n, H, W): it has an area of 1 - fraction, but may lie partly outside."""
    axes = zip(draws.T, size, strict=True)
    rows, columns = (band(draw, side, (np.sqrt(1 - fraction) * side).astype(int)) for draw, side in axes)
    return rows[:, :, None] & columns[:, None, :]
