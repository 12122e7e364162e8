"""A model's first layer: pixels in [0, 1] of any size to what the network was trained on. Differentiable."""

import functools

import torch
import torch.nn.functional as F
from torch import nn


class Resize(nn.Module):
    """Resize to a square, antialiased, as two matrix products: float (B, 3, H, W) -> (B, 3, size, size).

    The matrices hold the weights of `torch.nn.functional.interpolate(antialias=True)`, which are Pillow's; multiplying
    by them is several times as fast as applying them pixel by pixel, and as exact. Like Pillow, and unlike torch, it
    clips to [0, 1] after each of the two passes: where it does, the gradient is truly zero. Nothing is rounded.
    """

    def __init__(self, size: int, interpolation: str) -> None:
        super().__init__()
        self.size = size
        self.interpolation = interpolation

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # Full precision even under autocast: half of a level of 255 is 9 bits, and bfloat16 has 8.
        with torch.autocast(images.device.type, enabled=False):
            images = images.float()
            for dimension in (-1, -2):  # Pillow's order
                if images.shape[dimension] != self.size:
                    images = self._along(images, dimension)
        return images

    def _along(self, images: torch.Tensor, dimension: int) -> torch.Tensor:
        weights = resize_weights(images.shape[dimension], self.size, self.interpolation, images.device)
        return (weights @ images if dimension == -2 else images @ weights.T).clamp(0, 1)

    def extra_repr(self) -> str:
        return f"size={self.size}, interpolation={self.interpolation}"


@functools.lru_cache(maxsize=32)
def resize_weights(old: int, new: int, interpolation: str, device: torch.device) -> torch.Tensor:
    """The float32 (new, old) matrix that resizes a column of `old` pixels; each row sums to 1."""
    mode = "bilinear" if interpolation == "bilinear" else "bicubic"
    # Ordinary tensors even when first asked for in inference mode: a later training step must be able to use them.
    with torch.inference_mode(False), torch.no_grad():
        identity = torch.eye(old)[None, None]
        return F.interpolate(identity, size=(new, old), mode=mode, antialias=True)[0, 0].to(device)


class Normalise(nn.Module):
    """(images - mean) / std with the checkpoint's own constants: (B, 3, H, W) -> (B, 3, H, W)."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        # Part of the network's definition, not of its weights: so weight files stay exchangeable with timm's.
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images - self.mean) / self.std
