"""The paper's first augmentation: crop, both flips and rotation as one affine map, color jitter, and Cutout."""

import numpy as np
import torch

from doublevit.augment.crops import Crop
from doublevit.augment.draws import band
from doublevit.augment.operations import BLACK, GRAY, NAMES, Applied, apply_steps, describe_step
from doublevit.augment.pixels import BILINEAR
from doublevit.augment.warp import rotation, warp

DEGREES = 15.0  # largest rotation either way
FACTOR = 0.4  # brightness, contrast and saturation are multiplied by 1 - FACTOR to 1 + FACTOR
HUE = 0.1  # largest turn of the hue either way, as a fraction of a full circle


class Placement:
    """Random crop, horizontal and vertical flip, and rotation by up to 15 degrees, composed and interpolated once.

    Without the crop if it is not `padded`: the images are random crops already.
    """

    bytes_only = True
    columns = 5

    def __init__(self, size: int | None = None, *, padded: bool = True) -> None:
        self.crop = Crop(flip=False, size=size) if padded else None

    def __call__(self, images: torch.Tensor, draws: np.ndarray) -> torch.Tensor:
        """Augment uint8 (B, 3, H, W) by draws (B, columns): uint8 (B, 3, size or H, size or W)."""
        maps, size = self.maps(draws, images.shape[2:])
        return warp(images.contiguous(), maps[:, :2], BILINEAR, BLACK, size)

    def maps(self, draws: np.ndarray, size: tuple[int, ...]) -> tuple[np.ndarray, tuple[int, int]]:
        """Return maps from the results' pixels to the images', float64 (n, 3, 3), and the results' size."""
        top, left, (height, width) = self.crop.window(draws, size) if self.crop else (0, 0, size)
        flips = np.tile(np.eye(3), (len(draws), 1, 1))
        for axis, side in ((0, width), (1, height)):
            mirrored = draws[:, 2 + axis] < 0.5
            flips[mirrored, axis, axis], flips[mirrored, axis, 2] = -1, side
        crops = np.tile(np.eye(3), (len(draws), 1, 1))
        crops[:, 0, 2], crops[:, 1, 2] = left, top
        return crops @ flips @ rotation(_between(draws[:, 4], DEGREES), height, width), (height, width)

    def describe(self, draws: np.ndarray, size: tuple[int, int]) -> list[str]:
        """Describe what is done to one image."""
        flips = [name for name, draw in zip(("mirrored", "upside down"), draws[0, 2:4], strict=True) if draw < 0.5]
        turned = f"rotate {_between(draws[0, 4], DEGREES):+.0f}°"
        moved = self.crop.describe(draws, size) if self.crop else []
        return [", ".join([*moved, *flips, turned])]


class ColorJitter:
    """torchvision's ColorJitter(0.4, 0.4, 0.4, 0.1): brightness, contrast, saturation and hue in a random order."""

    bytes_only = True
    names = ("brightness", "contrast", "color", "hue")
    columns = 8

    def __call__(self, images: torch.Tensor, draws: np.ndarray) -> torch.Tensor:
        """Augment uint8 (B, 3, H, W) by draws (B, columns): uint8 (B, 3, H, W)."""
        return apply_steps(images, self._steps(draws))

    def describe(self, draws: np.ndarray, size: tuple[int, int]) -> list[str]:
        """Describe what is done to one image."""
        return [", ".join(describe_step(step, 0) for step in self._steps(draws))]

    def _steps(self, draws: np.ndarray) -> list[Applied]:
        order = draws[:, :4].argsort(axis=1)
        amounts = np.concatenate([1 + _between(draws[:, 4:7], FACTOR), _between(draws[:, 7:], HUE)], axis=1)
        codes = np.array([NAMES.index(name) for name in self.names])
        return [
            Applied(codes[which], np.take_along_axis(amounts, which[:, None], axis=1)[:, 0], np.zeros(len(which)), GRAY)
            for which in order.T
        ]


class Cutout:
    """Cutout (DeVries and Taylor 2017): a gray square, a quarter of the side wide, which may lie partly outside."""

    bytes_only = True
    columns = 2
    fraction = 0.25  # of the paper for CIFAR-100, its data set with many classes

    def __call__(self, images: torch.Tensor, draws: np.ndarray) -> torch.Tensor:
        """Augment uint8 (B, 3, H, W) by draws (B, columns): uint8 (B, 3, H, W)."""
        sides = zip(draws.T, images.shape[2:], strict=True)
        rows, columns = (band(draw, side, np.array([max(1, round(self.fraction * side))])) for draw, side in sides)
        inside = rows[:, None, :, None] & columns[:, None, None, :]
        mask = torch.from_numpy(inside.astype(np.uint8) * 255).to(images.device)
        return (images & ~mask) | (mask & GRAY)

    def describe(self, draws: np.ndarray, size: tuple[int, int]) -> list[str]:
        """Describe what is done to one image."""
        return ["Cutout"]


def _between(draw: np.ndarray, limit: float) -> np.ndarray:
    """Map uniform numbers in 0..1 to -limit..limit, float64."""
    return limit * (2 * draw.astype(np.float64) - 1)
