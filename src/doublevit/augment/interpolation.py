"""Pillow's interpolations in `Image.transform`."""

from typing import Any

NEAREST, BILINEAR, BICUBIC = range(3)


def cubic_weights(fraction: Any) -> tuple[Any, Any, Any, Any]:
    """Weights of the neighbours at -1, 0, 1 and 2 for a source `fraction` beyond 0: Keys' cubic with a = -1.

    `fraction` is an array or a tensor of any shape, and so are the weights.
    """
    rest = 1 - fraction
    near, far = fraction * rest, fraction * fraction * rest
    return far - near, 1 - fraction * fraction - far, fraction * (1 + near), -far
