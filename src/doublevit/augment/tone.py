"""Operations on levels, byte for byte those of Pillow's ImageOps: each is a table of 256 entries, or as good as one.

All take uint8 (n, 3, H, W), contiguous, and where there is one an amount per image, float64 (n,) in NumPy.
"""

import numpy as np
import torch

from doublevit.augment.levels import per_image


def autocontrast(images: torch.Tensor, _: np.ndarray) -> torch.Tensor:
    """Stretch each channel of each image so that its darkest level becomes 0 and its brightest 255."""
    low, high = (extreme.double()[..., None] for extreme in (images.amin((2, 3)), images.amax((2, 3))))
    # In double precision and in Pillow's order of operations: its `int()` cuts 254.999... down to 254.
    scale = torch.full_like(low, 255).div_((high - low).clamp_(min=1))  # `255 / x` would multiply by a reciprocal
    levels = torch.arange(256, dtype=torch.float64, device=images.device)
    stretched = (levels * scale + -low * scale).clamp(0, 255)
    return _look_up(images, torch.where(high > low, stretched, levels).to(torch.uint8))


def equalize(images: torch.Tensor, _: np.ndarray) -> torch.Tensor:
    """Flatten the histogram of each channel of each image."""
    counts = _histograms(images)
    brightest = images.amax((2, 3))[..., None].long()
    up_to = counts.cumsum(-1, dtype=torch.int32)
    step = (up_to[..., -1:] - counts.gather(-1, brightest)) // 255
    below = up_to - counts
    levels = torch.arange(256, dtype=torch.int32, device=images.device)
    flat = ((step // 2 + below) // step.clamp(min=1)).clamp(max=255)
    return _look_up(images, torch.where(step > 0, flat, levels).to(torch.uint8))


def posterize(images: torch.Tensor, bits: np.ndarray) -> torch.Tensor:
    """Keep the first `bits` (1..8) of every level."""
    return images & per_image(256 - 2.0 ** (8 - bits), images, torch.uint8)


def solarize(images: torch.Tensor, threshold: np.ndarray) -> torch.Tensor:
    """Invert levels from `threshold` (0..256) on; 256 inverts none."""
    reached = (images >= per_image(np.minimum(np.ceil(threshold), 255), images, torch.uint8)).view(torch.uint8)
    return images ^ (reached * per_image(np.where(threshold > 255, 0, 255), images, torch.uint8))


def solarize_add(images: torch.Tensor, added: np.ndarray) -> torch.Tensor:
    """Brighten levels below 128 by `added` (0..128), which cannot take them beyond 255."""
    dark = (images < 128).view(torch.uint8)
    return images + dark * per_image(np.floor(added), images, torch.uint8)


def invert(images: torch.Tensor, _: np.ndarray) -> torch.Tensor:
    """The negative."""
    return images ^ 255


def _histograms(images: torch.Tensor) -> torch.Tensor:
    """How often each level comes in each channel of each image, int32 (n, 3, 256)."""
    count, channels = images.shape[:2]
    first = torch.arange(count * channels, dtype=torch.int32, device=images.device) * 256
    bins = images.reshape(count * channels, -1).int() + first[:, None]
    return torch.bincount(bins.flatten(), minlength=count * channels * 256).int().view(count, channels, 256)


def _look_up(images: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Every level replaced by its entry in its image's and channel's table, uint8 (n, 3, 256)."""
    return table.gather(2, images.flatten(2).long()).view(images.shape)
