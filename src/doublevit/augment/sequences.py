"""RandAugment (Cubuk et al. 2020) and TrivialAugment (Mueller and Hutter 2021): one or two operations on each image."""

import numpy as np
import torch

from doublevit.augment.draws import choose, normal
from doublevit.augment.operations import (
    BLACK,
    GRAY,
    NAMES,
    PER_OPERATION,
    TIMM,
    WIDE,
    Applied,
    apply_steps,
    choose_operations,
    describe_step,
)


class RandAugment:
    """timm's rand-m9-n2-mstd0.5-inc1: two of 15 operations, each with probability 1/2 and magnitude around 9."""

    layers = 2
    bytes_only = True
    columns = layers * (PER_OPERATION + 1)
    names = tuple(TIMM)

    def __call__(self, images: torch.Tensor, draws: np.ndarray) -> torch.Tensor:
        """Augment uint8 (B, 3, H, W) by draws (B, columns): uint8 (B, 3, H, W)."""
        return apply_steps(images, self._layers(draws))

    def describe(self, draws: np.ndarray, size: tuple[int, int]) -> list[str]:
        """Describe what is done to one image."""
        return [line for layer in self._layers(draws) if (line := describe_step(layer, 0))]

    def _layers(self, draws: np.ndarray) -> list[Applied]:
        layers = []
        for part in np.split(draws, self.layers, axis=1):
            level = np.clip(0.9 + 0.05 * normal(part[:, 3]), 0, 1)
            applied = choose_operations(part, level, self.names, TIMM, GRAY)
            applied.code[part[:, 4] >= 0.5] = -1
            layers.append(applied)
        return layers


class TrivialAugment:
    """torchvision's TrivialAugmentWide: one of 14 operations at one of 31 strengths; bilinear instead of nearest."""

    bytes_only = True
    columns = PER_OPERATION - 1
    names = tuple(WIDE)

    def __call__(self, images: torch.Tensor, draws: np.ndarray) -> torch.Tensor:
        """Augment uint8 (B, 3, H, W) by draws (B, columns): uint8 (B, 3, H, W)."""
        return apply_steps(images, [self._operation(draws, *images.shape[2:])])

    def describe(self, draws: np.ndarray, size: tuple[int, int]) -> list[str]:
        """Describe what is done to one image."""
        return [describe_step(self._operation(draws, *size), 0) or "nothing"]

    def _operation(self, draws: np.ndarray, height: int, width: int) -> Applied:
        level = choose(draws[:, 1], 31) / 30
        bilinear = np.zeros_like(draws[:, 0])
        picks = np.stack([draws[:, 0], draws[:, 2], bilinear], axis=1)
        applied = choose_operations(picks, level, self.names, WIDE, BLACK)
        for name, size in (("translate-x", width), ("translate-y", height)):
            applied.amount[applied.code == NAMES.index(name)] /= size  # pixels to a fraction
        return applied
