"""Regions of images, cut out and resized: what a random resized crop shows."""

import numpy as np
import torch
import torch.nn.functional as F

from doublevit.images import Regions


def resize_regions(images: np.ndarray, regions: Regions) -> np.ndarray:
    """Cut a region out of each image, uint8 (n, H, W, 3), and resize it: uint8 (n, side, side, 3).

    As torchvision's `resized_crop` of a Pillow image, to within a level but for few values: nothing outside the region
    is looked at.
    """
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    resized = np.empty((len(images), regions.side, regions.side, 3), np.uint8)
    into = torch.from_numpy(resized).permute(0, 3, 1, 2)
    for index, (top, left, height, width) in enumerate(regions.boxes.tolist()):
        part = pixels[index : index + 1, :, top : top + height, left : left + width]
        into[index] = _resized(part, (regions.side, regions.side), regions.interpolation)[0]
    return resized


def resize(image: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """Resize an image, uint8 (H, W, 3), to height and width `size`; one of that size already is copied."""
    if image.shape[:2] == size:
        return image.copy()
    writable = image if image.flags.writeable else image.copy()  # as torch wants it
    # The axis is added by torch, whose strides say "channels last" then; NumPy's, 0, would not.
    pixels = torch.from_numpy(writable)[None].permute(0, 3, 1, 2)
    return _resized(pixels, size, interpolation)[0].permute(1, 2, 0).numpy()


def _resized(pixels: torch.Tensor, size: tuple[int, int], interpolation: str) -> torch.Tensor:
    """Resize (n, 3, H, W) in memory as (n, H, W, 3), the fast case of torch's kernel, which has Pillow's weights."""
    if pixels.shape[2:] == size:
        return pixels
    return F.interpolate(pixels, size=size, mode=interpolation, antialias=True)
