"""The paper's first trials: crop, both flips and a rotation as one affine map, color jitter, and Cutout."""

import numpy as np
import torch

from doublevit.augment.crops import Crop
from doublevit.augment.draws import band
from doublevit.augment.operations import BLACK, GRAY, NAMES, Applied, in_turn, words
from doublevit.augment.pixels import BILINEAR
from doublevit.augment.warp import rotation, warp

DEGREES = 15.0  # rotations reach this far either way
FACTOR = 0.4  # brightness, contrast and saturation are multiplied by up to 1 plus or minus this
HUE = 0.1  # of a full circle, either way


class Placement:
    """Random crop, horizontal and vertical flip, rotation by up to 15 degrees: one map, interpolated once."""

    bytes_only = True
    columns = 5

    def __init__(self, size: int | None = None) -> None:
        self.crop = Crop(flip=False, size=size)

    def __call__(self, images: torch.Tensor, draws: np.ndarray) -> torch.Tensor:
        """Bytes (B, 3, H, W) to (B, 3, size or H, size or W)."""
        maps, size = self.maps(draws, images.shape[2:])
        return warp(images.contiguous(), maps[:, :2], BILINEAR, BLACK, size)

    def maps(self, draws: np.ndarray, size: tuple[int, ...]) -> tuple[np.ndarray, tuple[int, int]]:
        """From the pixels of the results to those of the images, float64 (n, 3, 3), and the results' size."""
        top, left, (height, width) = self.crop.window(draws, size)
        flips = np.tile(np.eye(3), (len(draws), 1, 1))
        for axis, side in ((0, width), (1, height)):
            mirrored = draws[:, 2 + axis] < 0.5
            flips[mirrored, axis, axis], flips[mirrored, axis, 2] = -1, side
        crops = np.tile(np.eye(3), (len(draws), 1, 1))
        crops[:, 0, 2], crops[:, 1, 2] = left, top
        return crops @ flips @ rotation(_between(draws[:, 4], DEGREES), height, width), (height, width)

    def lines(self, draws: np.ndarray, size: tuple[int, int]) -> list[str]:
        """What is done to one image, in words."""
        flips = [name for name, draw in zip(("mirrored", "upside down"), draws[0, 2:4], strict=True) if draw < 0.5]
        turned = f"rotate {_between(draws[0, 4], DEGREES):+.0f}°"
        return [", ".join([*self.crop.lines(draws, size), *flips, turned])]


class ColorJitter:
    """torchvision's ColorJitter(0.4, 0.4, 0.4, 0.1): brightness, contrast, saturation and hue in a random order."""

    bytes_only = True
    names = ("brightness", "contrast", "color", "hue")
    columns = 8

    def __call__(self, images: torch.Tensor, draws: np.ndarray) -> torch.Tensor:
        """Bytes (B, 3, H, W) to the same."""
        return in_turn(images, self._steps(draws))

    def lines(self, draws: np.ndarray, size: tuple[int, int]) -> list[str]:
        """What is done to one image, in words."""
        return [", ".join(words(step, 0) for step in self._steps(draws))]

    def _steps(self, draws: np.ndarray) -> list[Applied]:
        order = draws[:, :4].argsort(axis=1)
        amounts = np.concatenate([1 + _between(draws[:, 4:7], FACTOR), _between(draws[:, 7:], HUE)], axis=1)
        codes = np.array([NAMES.index(name) for name in self.names])
        return [
            Applied(codes[which], np.take_along_axis(amounts, which[:, None], axis=1)[:, 0], np.zeros(len(which)), GRAY)
            for which in order.T
        ]


class Cutout:
    """Cutout (DeVries and Taylor 2017): a gray square of a quarter of the side, partly outside at times."""

    bytes_only = True
    columns = 2
    fraction = 0.25  # theirs for CIFAR-100, the data set with many classes

    def __call__(self, images: torch.Tensor, draws: np.ndarray) -> torch.Tensor:
        """Bytes (B, 3, H, W) to the same."""
        sides = zip(draws.T, images.shape[2:], strict=True)
        rows, columns = (band(draw, side, np.array([max(1, round(self.fraction * side))])) for draw, side in sides)
        inside = rows[:, None, :, None] & columns[:, None, None, :]
        mask = torch.from_numpy(inside.astype(np.uint8) * 255).to(images.device)
        return (images & ~mask) | (mask & GRAY)

    def lines(self, draws: np.ndarray, size: tuple[int, int]) -> list[str]:
        """What is done to one image, in words."""
        return ["Cutout"]


def _between(draw: np.ndarray, limit: float) -> np.ndarray:
    """Uniform in -limit..limit."""
    return limit * (2 * draw.astype(np.float64) - 1)
