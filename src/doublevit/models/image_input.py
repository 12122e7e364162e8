"""What brings an image of any size to a network, as tensor operations: what Pillow does, inside an exported model."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from doublevit.geometry import Geometry

CUBIC = -0.5  # Pillow's parameter of the bicubic kernel
PILLOW_BITS = 22  # after the binary point, of Pillow's weights
Layout = Literal["nchw", "nhwc"]


class ImageInput(nn.Module):
    """Images uint8 (N, 3, H, W), or (N, H, W, 3) with the layout "nhwc" -> float (N, 3, S, S) in [0, 1].

    The geometry makes squares of its own side, which are then resized to S, `image_size`, if that is another.

    It does what `Model.prepare` does with Pillow and `models.preprocess.Resize` with torch, rounding included: levels
    differ by at most one, where a sum lies next to a half. H and W may be symbols of an export: the weights of both
    passes are computed from them, and only for the pixels that the crop keeps.
    """

    second: torch.Tensor | None
    fill: torch.Tensor

    def __init__(self, geometry: Geometry, image_size: int, layout: Layout = "nchw") -> None:
        super().__init__()
        self.geometry = geometry
        self.layout = layout
        resizes = geometry.side != image_size
        weights = byte_weights(geometry.side, image_size, geometry.interpolation) if resizes else None
        self.register_buffer("second", weights, persistent=False)
        self.register_buffer("fill", torch.tensor(geometry.fill).float()[:, None, None], persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        levels = (images.permute(0, 3, 1, 2) if self.layout == "nhwc" else images).float()
        rows, columns = resize_weights(levels.shape[2], levels.shape[3], self.geometry)
        levels = resample(levels, rows, columns)
        if self.geometry.fit == "pad":  # where no pixel has a weight there is a border
            levels = torch.where((rows.sum(dim=1)[:, None] > 0.5) & (columns.sum(dim=1) > 0.5), levels, self.fill)
        if self.second is not None:
            levels = resample(levels, self.second, self.second)
        return levels / 255


def resample(levels: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Resize levels 0 .. 255 (N, C, H, W) by weights (h, H) and (w, W), rounded after each pass: columns first."""
    return _rounded(rows @ _rounded(levels @ columns.T))


def _rounded(levels: torch.Tensor) -> torch.Tensor:
    return (levels + 0.5).floor().clamp(0, 255)


def resize_weights(height: int, width: int, geometry: Geometry) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights float32 (side, height) and (side, width), by which Pillow resizes, and the crop keeps.

    They are 0 for pixels of a border.
    """
    old_height, old_width = (torch.scalar_tensor(value, dtype=torch.float64) for value in (height, width))
    new_height, new_width = _resized(old_height, old_width, geometry)
    return (
        _axis_weights(height, old_height, new_height, geometry),
        _axis_weights(width, old_width, new_width, geometry),
    )


def _resized(height: torch.Tensor, width: torch.Tensor, geometry: Geometry) -> tuple[torch.Tensor, torch.Tensor]:
    """Return height and width of the whole image, resized, as doublevit.geometry does.

    Everything is float64, as Python's own numbers are, in the same order of operations.
    """
    side, one = (torch.scalar_tensor(value, dtype=torch.float64) for value in (geometry.side, 1))
    target = torch.scalar_tensor(geometry.resized, dtype=torch.float64)
    if geometry.fit == "squash":
        return target, target
    if geometry.fit == "pad":
        ratio = torch.maximum(height / target, width / target)
        return torch.maximum(one, (height / ratio).round()), torch.maximum(one, (width / ratio).round())
    if geometry.fit == "older":
        scale = side / torch.minimum(height, width)
        return torch.maximum(side, (height * scale).round()), torch.maximum(side, (width * scale).round())
    return (
        torch.where(height <= width, target, (target * height / width).floor()),
        torch.where(width <= height, target, (target * width / height).floor()),
    )


def _start(length: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Return the first row or column of the square in a resized image; negative where there is a border."""
    half = (length - geometry.side) / 2
    if geometry.fit == "older":
        return half.floor()
    return torch.where(half < 0, half.ceil(), half.round())


def _axis_weights(old: int, length: torch.Tensor, new: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Return Pillow's weights (side, old), float32, of the pixels that are kept of an axis resized to `new`."""
    scale = length / new
    stretch = torch.maximum(scale, torch.ones_like(scale))  # the kernel is as wide as a new pixel: antialiasing
    pixels = torch.arange(geometry.side, dtype=torch.float64) + _start(new, geometry)
    places = torch.arange(old, dtype=torch.float64) + 0.5
    distances = (places[None] - (pixels[:, None] + 0.5) * scale) / stretch
    weights = _kernel(distances.abs(), "bicubic" if geometry.fit == "older" else geometry.interpolation)
    if geometry.fit == "pad":
        inside = ((pixels >= 0) & (pixels < new))[:, None]
        weights = torch.where(inside, weights, torch.zeros_like(weights))
        total = torch.where(inside, weights.sum(dim=1, keepdim=True), torch.ones_like(scale))
    else:
        total = weights.sum(dim=1, keepdim=True)
    return _fixed_point(weights / total, PILLOW_BITS).float()


def _fixed_point(weights: torch.Tensor, bits: int) -> torch.Tensor:
    """Round weights to multiples of 2 ** -bits, halves away from zero."""
    levels = (weights.abs() * 2**bits + 0.5).floor() / 2**bits
    return torch.where(weights < 0, -levels, levels)


def _kernel(distance: torch.Tensor, mode: str) -> torch.Tensor:
    """Return the bicubic kernel (Keys 1981) or the triangle at distances from its center, in new pixels."""
    if mode == "bilinear":
        return (1 - distance).clamp(min=0)
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance * distance + 1
    far = (((distance - 5) * distance + 8) * distance - 4) * CUBIC
    return torch.where(distance < 1, near, torch.where(distance < 2, far, torch.zeros_like(distance)))


def byte_weights(old: int, new: int, mode: str) -> torch.Tensor:
    """Return the weights (new, old), float32, by which torch resizes bytes on the CPU.

    torch rounds them to as many bits as the largest of them leaves 16-bit integers (UpSampleKernel.cpp).
    """
    identity = torch.eye(old, dtype=torch.float64)[None, None]
    weights = F.interpolate(identity, (new, old), mode=mode, antialias=True)[0, 0]
    largest, bits = weights.max().item(), 0
    while bits < PILLOW_BITS and 0.5 + largest * 2 ** (bits + 1) < 2**15:
        bits += 1
    return _fixed_point(weights, bits).float()
