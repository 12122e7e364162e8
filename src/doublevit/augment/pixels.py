"""What operations on images of bytes share: rounding, filling and Pillow's interpolations, each in its fastest form."""

from typing import Any

import numpy as np
import torch

# Pillow cuts off what is behind the point, in float64. In float32 a weighted sum of equal levels can end just below
# that level, and would lose it: so sums are raised by a little first. Of true fractions, which are spread evenly, that
# lifts as small a fraction over a whole number.
RAISE = 5e-4
NEAREST, BILINEAR, BICUBIC = range(3)


def to_bytes(images: torch.Tensor) -> torch.Tensor:
    """Images as uint8, rounded where they are floats in [0, 1]."""
    return images if images.dtype == torch.uint8 else (images * 255).round_().to(torch.uint8)


def cut_off(pixels: torch.Tensor) -> torch.Tensor:
    """Floats in 0..255 to uint8 without what is behind the point; by way of int16, two and a half times as fast."""
    return pixels.to(torch.int16).to(torch.uint8)


def per_image(values: np.ndarray, images: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A number for each image, (n, 1, 1, 1), on the images' device."""
    return torch.from_numpy(values).to(images.device, dtype).view(-1, 1, 1, 1)


def fill_outside(images: torch.Tensor, inside: torch.Tensor, fill: int) -> torch.Tensor:
    """Put the fill level where `inside`, uint8, is 0 and not 255; on bits, since `where` is slow on bytes."""
    return images.bitwise_and_(inside).bitwise_or_(~inside & fill)


def put_rows(images: torch.Tensor, index: torch.Tensor, rows: torch.Tensor) -> None:
    """`images[index] = rows`, as 64-bit words where they fit: seven times as fast as bytes."""
    images, rows = images.flatten(1), rows.flatten(1)
    if images.shape[1] % 8 == 0:
        images, rows = images.view(torch.int64), rows.view(torch.int64)
    images.index_copy_(0, index, rows)


def cubic_weights(fraction: Any) -> tuple[Any, Any, Any, Any]:
    """Weights of the neighbors at -1, 0, 1 and 2 for a source `fraction` beyond 0: Keys' cubic with a = -1.

    `fraction` is an array or a tensor of any shape, and so are the weights.
    """
    rest = 1 - fraction
    near, far = fraction * rest, fraction * fraction * rest
    return far - near, 1 - fraction * fraction - far, fraction * (1 + near), -far
