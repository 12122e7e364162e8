"""Several operations on each image, one after the other: RandAugment and TrivialAugment, and the chains of AugMix."""

import numpy as np
import torch

from doublevit.augment import magnitudes
from doublevit.augment.draws import choose, normal, signs
from doublevit.augment.interpolation import BICUBIC, BILINEAR
from doublevit.augment.magnitudes import Scale
from doublevit.augment.operations import NAMES, Applied, apply_operations, in_words

GREY, BLACK = 128, 0
PER_OPERATION = 4  # uniform numbers: which operation, which way, which interpolation, how strong


def choose_operations(draws: np.ndarray, level: np.ndarray, names: tuple[str, ...], scale: Scale, fill: int) -> Applied:
    """An operation for each image.

    Args:
        draws: (n, 3): which operation, which way, which interpolation (as timm, bilinear or bicubic).
        level: how strong, 0..1, float64 (n,).
        names: what to choose from, all equally likely.
        scale: from level to amount.
        fill: level of what comes from outside.
    """
    chosen, sign = choose(draws[:, 0], len(names)), signs(draws[:, 1])
    amounts = np.stack([scale[name](level, sign) for name in names])
    codes = np.array([NAMES.index(name) if name in NAMES else -1 for name in names])
    interpolation = np.where(draws[:, 2] < 0.5, BILINEAR, BICUBIC)
    return Applied(codes[chosen], amounts[chosen, np.arange(len(level))], interpolation, fill)


def in_turn(images: torch.Tensor, steps: list[Applied]) -> torch.Tensor:
    """What the steps make of images uint8 (n, 3, H, W), which stay as they are."""
    images = images.clone(memory_format=torch.contiguous_format)
    for step in steps:
        apply_operations(images, step, images)
    return images


def words(applied: Applied, row: int) -> str:
    """What is done to image `row`, in words; empty if nothing."""
    code = applied.code[row]
    return in_words(NAMES[code], float(applied.amount[row])) if code >= 0 else ""


class RandAugment:
    """timm's rand-m9-n2-mstd0.5-inc1: two operations of 15, each done every other time, with a magnitude of about 9."""

    layers = 2
    bytes_only = True
    columns = layers * (PER_OPERATION + 1)
    names = tuple(magnitudes.TIMM)

    def __call__(self, images: torch.Tensor, draws: np.ndarray) -> torch.Tensor:
        """Bytes (B, 3, H, W) to the same."""
        return in_turn(images, self._layers(draws))

    def lines(self, draws: np.ndarray, size: tuple[int, int]) -> list[str]:
        """What is done to one image, in words."""
        return [line for layer in self._layers(draws) if (line := words(layer, 0))]

    def _layers(self, draws: np.ndarray) -> list[Applied]:
        layers = []
        for part in np.split(draws, self.layers, axis=1):
            level = np.clip(0.9 + 0.05 * normal(part[:, 3]), 0, 1)
            applied = choose_operations(part, level, self.names, magnitudes.TIMM, GREY)
            applied.code[part[:, 4] >= 0.5] = -1
            layers.append(applied)
        return layers


class TrivialAugment:
    """torchvision's TrivialAugmentWide: one of 14 operations, in one of 31 strengths; bilinear, not nearest."""

    bytes_only = True
    columns = PER_OPERATION - 1
    names = tuple(magnitudes.WIDE)

    def __call__(self, images: torch.Tensor, draws: np.ndarray) -> torch.Tensor:
        """Bytes (B, 3, H, W) to the same."""
        return in_turn(images, [self._operation(draws, *images.shape[2:])])

    def lines(self, draws: np.ndarray, size: tuple[int, int]) -> list[str]:
        """What is done to one image, in words."""
        return [words(self._operation(draws, *size), 0) or "nothing"]

    def _operation(self, draws: np.ndarray, height: int, width: int) -> Applied:
        level = choose(draws[:, 1], 31) / 30
        bilinear = np.zeros_like(draws[:, 0])
        picks = np.stack([draws[:, 0], draws[:, 2], bilinear], axis=1)
        applied = choose_operations(picks, level, self.names, magnitudes.WIDE, BLACK)
        for name, size in (("translate-x", width), ("translate-y", height)):
            applied.amount[applied.code == NAMES.index(name)] /= size  # from pixels
        return applied
