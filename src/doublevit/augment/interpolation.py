"""Pillow's interpolation in `Image.transform`: weights of neighbours, rounding, and what comes from outside."""

from typing import Any

import torch

NEAREST, BILINEAR, BICUBIC = range(3)


def cubic_weights(fraction: Any) -> tuple[Any, Any, Any, Any]:
    """Weights of the neighbours at -1, 0, 1 and 2 for a source `fraction` beyond 0: Keys' cubic with a = -1.

    `fraction` is an array or a tensor of any shape, and so are the weights.
    """
    rest = 1 - fraction
    near, far = fraction * rest, fraction * fraction * rest
    return far - near, 1 - fraction * fraction - far, fraction * (1 + near), -far


def fill_outside(total: torch.Tensor, inside: torch.Tensor, fill: int) -> torch.Tensor:
    """Sums in 0..255 to bytes; the fill level where `inside` is 0 and not 255. On bits: `where` is slow on bytes."""
    return total.to(torch.uint8).bitwise_and_(inside).bitwise_or_(~inside & fill)
