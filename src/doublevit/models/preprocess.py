"""A model's first layers: resizing of images of any size, and normalization, as the network was trained."""

import functools

import torch
import torch.nn.functional as F
from torch import nn


class Resize(nn.Module):
    """Resize to a square as Pillow does: (B, 3, H, W) -> (B, 3, size, size), uint8 or float in [0, 1].

    Floats are resized differentiably, by two matrix products with Pillow's weights (those of
    `torch.nn.functional.interpolate(antialias=True)`). Like Pillow, and unlike torch, it clips to [0, 1] after each of
    the two passes; where it does, the gradient is truly zero. Nothing is rounded.

    uint8 stays uint8 on the CPU, where torch has Pillow's arithmetic, rounding included, at many times the speed
    (bicubic: within 2 levels of Pillow, equal on 99 % of values); elsewhere it becomes float.

    In training mode, images get `training_size` instead, if it is given.
    """

    def __init__(self, size: int, interpolation: str) -> None:
        super().__init__()
        self.size = size
        self.mode = "bilinear" if interpolation == "bilinear" else "bicubic"
        self.training_size: int | None = None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.to_side(images, (self.training and self.training_size) or self.size)

    def to_side(self, images: torch.Tensor, side: int) -> torch.Tensor:
        """Resize to (B, 3, side, side), as described above."""
        # Full precision even under autocast: half a level of 255 needs 9 bits, and bfloat16 has 8.
        with torch.autocast(images.device.type, enabled=False):
            if images.dtype == torch.uint8 and images.device.type == "cpu":
                return self._resize_bytes(images, side)
            images = images.float() / 255 if images.dtype == torch.uint8 else images.float()
            return self._resize_axis(self._resize_axis(images, -1, side), -2, side)  # Pillow's order

    def _resize_bytes(self, images: torch.Tensor, side: int) -> torch.Tensor:
        if images.shape[-2:] == (side, side):
            return images
        images = images.contiguous(memory_format=torch.channels_last)  # the fast case of torch's kernel
        return F.interpolate(images, size=(side, side), mode=self.mode, antialias=True)

    def _resize_axis(self, images: torch.Tensor, dimension: int, side: int) -> torch.Tensor:
        if images.shape[dimension] == side:
            return images
        weights = resize_weights(images.shape[dimension], side, self.mode, images.device)
        return (weights @ images if dimension == -2 else images @ weights.T).clamp(0, 1)

    def extra_repr(self) -> str:
        return f"size={self.size}, mode={self.mode}"


@functools.lru_cache(maxsize=32)
def resize_weights(old: int, new: int, mode: str, device: torch.device) -> torch.Tensor:
    """Return the matrix (new, old), float32, that resizes a column of `old` pixels; each row sums to 1."""
    # The cached tensor may be made in inference mode, but a later training step must be able to use it.
    with torch.inference_mode(False), torch.no_grad():
        identity = torch.eye(old)[None, None]
        return F.interpolate(identity, size=(new, old), mode=mode, antialias=True)[0, 0].to(device)


class Normalize(nn.Module):
    """(images - mean) / std with the checkpoint's constants: (B, 3, H, W), float in [0, 1] or uint8 -> float."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        # Not part of the state dict, so that weight files stay exchangeable with timm's.
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.dtype == torch.uint8:  # in place, since touching fresh memory is slow
            return images.float().mul_(1 / (255 * self.std)).sub_(self.mean / self.std)
        return (images - self.mean) / self.std
