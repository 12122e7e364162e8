"""What brings an image of any size to a network, as tensor operations: what Pillow does, inside an exported model."""

import dataclasses
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

CUBIC = -0.5  # Pillow's parameter of the bicubic kernel
PILLOW_BITS = 22  # after the binary point, of Pillow's weights
Layout = Literal["nchw", "nhwc"]


@dataclasses.dataclass(frozen=True)
class Geometry:
    """How an image is brought to a network: the fields of `ModelInfo` that say so."""

    side: int
    crop: float | None
    squash: bool
    interpolation: str
    image_size: int


class ImageInput(nn.Module):
    """Images uint8 (N, 3, H, W), or (N, H, W, 3) with the layout "nhwc" -> float (N, 3, S, S) in [0, 1].

    It does what `Model.prepare` does with Pillow and `models.preprocess.Resize` with torch, rounding included: levels
    differ by at most one, where a sum lies next to a half. H and W may be symbols of an export: the weights of both
    passes are computed from them, and only for the pixels that the crop keeps.
    """

    second: torch.Tensor | None

    def __init__(self, geometry: Geometry, layout: Layout = "nchw") -> None:
        super().__init__()
        self.geometry = geometry
        self.layout = layout
        fixed = geometry.side != geometry.image_size
        weights = byte_weights(geometry.side, geometry.image_size, geometry.interpolation) if fixed else None
        self.register_buffer("second", weights, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        levels = (images.permute(0, 3, 1, 2) if self.layout == "nhwc" else images).float()
        rows, columns = resize_weights(levels.shape[2], levels.shape[3], self.geometry)
        levels = resample(levels, rows, columns)
        if self.second is not None:
            levels = resample(levels, self.second, self.second)
        return levels / 255


def resample(levels: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Resize levels 0 .. 255 (N, C, H, W) by weights (h, H) and (w, W), rounded after each pass: columns first."""
    return _rounded(rows @ _rounded(levels @ columns.T))


def _rounded(levels: torch.Tensor) -> torch.Tensor:
    return (levels + 0.5).floor().clamp(0, 255)


def resize_weights(height: int, width: int, geometry: Geometry) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights float32 (side, height) and (side, width), by which Pillow resizes, and the crop keeps."""
    old_height, old_width = (torch.scalar_tensor(value, dtype=torch.float64) for value in (height, width))
    new_height, new_width, top, left = _target(old_height, old_width, geometry)
    stored = not geometry.squash and geometry.crop is None  # by `resize_and_crop`, which is always bicubic
    mode = "bicubic" if stored else geometry.interpolation
    rows = _axis_weights(height, old_height / new_height, top, geometry.side, mode)
    return rows, _axis_weights(width, old_width / new_width, left, geometry.side, mode)


def _target(height: torch.Tensor, width: torch.Tensor, geometry: Geometry) -> tuple[torch.Tensor, ...]:
    """Return the size to resize to, and where the crop of `side` pixels begins, as data/decode.py does.

    Everything is float64, as Python's own numbers are, in the same order of operations.
    """
    side = torch.scalar_tensor(geometry.side, dtype=torch.float64)
    zero = torch.zeros_like(side)
    if geometry.squash:
        return side, side, zero, zero
    shortest = torch.minimum(height, width)
    if geometry.crop is None:
        scale = side / shortest
        new_height, new_width = (torch.maximum(side, (each * scale).round()) for each in (height, width))
        return new_height, new_width, ((new_height - side) / 2).floor(), ((new_width - side) / 2).floor()
    shorter = torch.scalar_tensor(int(geometry.side / geometry.crop), dtype=torch.float64)
    new_width = torch.where(width <= height, shorter, (shorter * width / height).floor())
    new_height = torch.where(height <= width, shorter, (shorter * height / width).floor())
    return new_height, new_width, ((new_height - side) / 2).round(), ((new_width - side) / 2).round()


def _axis_weights(old: int, scale: torch.Tensor, first: torch.Tensor, count: int, mode: str) -> torch.Tensor:
    """Return Pillow's weights (count, old), float32, of the pixels `first` .. `first` + count - 1 of a resized axis."""
    stretch = torch.maximum(scale, torch.ones_like(scale))  # the kernel is as wide as a new pixel: antialiasing
    centers = (torch.arange(count, dtype=torch.float64) + first + 0.5) * scale
    places = torch.arange(old, dtype=torch.float64) + 0.5
    weights = _kernel(((places[None] - centers[:, None]) / stretch).abs(), mode)
    return _fixed_point(weights / weights.sum(dim=1, keepdim=True), PILLOW_BITS).float()


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
