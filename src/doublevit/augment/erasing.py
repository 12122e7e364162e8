"""Random erasing (Zhong et al. 2020), as timm's RandomErasing with one box of noise for each pixel ("pixel")."""

import functools

import numpy as np
import torch

from doublevit.augment.boxes import COLUMNS, draw_boxes
from doublevit.augment.draws import normal

AREAS = 0.02, 1 / 3  # least and greatest area, as a fraction of the image's
LEAST_RATIO = 0.3  # of one side to the other
# timm puts standard normal noise into normalized images; before normalization that has ImageNet's mean and deviation.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Erasing:
    """Overwrites a box of a fraction `probability` of the images with normal noise, clipped to 0..255.

    The box is smaller than the image on both sides; where none of ten tries is, nothing is erased. The noise is a hash
    of an image's draws and the pixel's place in the box.
    """

    bytes_only = True
    columns = 1 + COLUMNS + 1  # whether, box, noise

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, images: torch.Tensor, draws: np.ndarray) -> torch.Tensor:
        """Augment uint8 (B, 3, H, W) by draws (B, columns): uint8 (B, 3, H, W)."""
        boxes, result = self.boxes(draws, (images.shape[2], images.shape[3])), images.clone()
        for index in np.flatnonzero(boxes[:, 2]).tolist():
            top, left, height, width = boxes[index].tolist()
            noise = torch.from_numpy(_noise(draws[index, -1:], height, width))
            result[index, :, top : top + height, left : left + width] = noise.to(images.device)
        return result

    def boxes(self, draws: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Turn draws (n, columns) into boxes of images of `size`, height and width.

        Returns:
            Top, left, height and width in pixels, int64 (n, 4); all zeros where nothing is erased.
        """
        boxes = draw_boxes(draws[:, 1:-1], size, AREAS, LEAST_RATIO, (size[0] - 1, size[1] - 1))
        return np.where(draws[:, :1] < self.probability, boxes, 0)

    def describe(self, draws: np.ndarray, size: tuple[int, int]) -> list[str]:
        """Describe what is done to one image."""
        top, left, height, width = self.boxes(draws, size)[0].tolist()
        return [f"erased {width} x {height} at x {left}, y {top}"] if height else []


def _noise(seed: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the noise of a draw, float32 (1,): uint8 (3, height, width)."""
    words = np.arange(3 * height * width, dtype=np.uint32) + seed.view(np.uint32) * np.uint32(0x9E3779B9)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):  # the finalizer of MurmurHash3
        words ^= words >> np.uint32(shift)
        words *= np.uint32(factor)
    channels = (words >> np.uint32(16)).reshape(3, -1)
    return np.take_along_axis(_levels(), channels, axis=1).reshape(3, height, width)


@functools.cache
def _levels() -> np.ndarray:
    """Return the quantiles of the noise of each channel, uint8 (3, 65536)."""
    quantiles = normal((np.arange(1 << 16) + 0.5) / (1 << 16))
    levels = 255 * (np.array(MEAN)[:, None] + np.array(DEVIATION)[:, None] * quantiles)
    return np.rint(levels.clip(0, 255)).astype(np.uint8)
