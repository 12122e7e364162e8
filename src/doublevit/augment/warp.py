"""Affine maps, one for each image, with the arithmetic of Pillow's `Image.transform` and `Image.rotate`."""

import numpy as np
import torch
import torch.nn.functional as F

from doublevit.augment.pixels import BICUBIC, NEAREST, RAISE, fill_outside, truncate


def warp(
    images: torch.Tensor, matrices: np.ndarray, interpolation: int, fill: int, size: tuple[int, int] | None = None
) -> torch.Tensor:
    """Transform each image by its own affine map.

    Args:
        images: uint8 (n, 3, H, W), contiguous.
        matrices: float64 (n, 2, 3): from a pixel of the result to its source, x before y, counted from the upper left
            corner, so that the first pixel has its center at (0.5, 0.5).
        interpolation: NEAREST, BILINEAR or BICUBIC.
        fill: level of pixels from outside the image.
        size: height and width of the result; the images' size if None.
    """
    sides = images.shape[2:]
    x, y = (_sources(matrices[:, axis] * (2 / sides[1 - axis]), size or sides, images.device) for axis in (0, 1))
    pixels = images.float()
    inside = (torch.maximum(x.abs(), y.abs()) < 1)[:, None].view(torch.uint8).neg()  # -1 is 255 in a byte
    x, y = x.float(), y.float()
    if interpolation == BICUBIC:
        total = _bicubic(pixels, x, y).clamp_(0, 255)
    else:
        total = _interpolate(pixels, x, y, "nearest" if interpolation == NEAREST else "bilinear")
    return fill_outside(truncate(total.add_(RAISE)), inside, fill)


def rotate(images: torch.Tensor, degrees: np.ndarray, interpolation: int, fill: int) -> torch.Tensor:
    """Rotate each image about its center by its angle, counter-clockwise."""
    height, width = images.shape[2:]
    return warp(images, rotation(degrees, height, width)[:, :2], interpolation, fill)


def rotation(degrees: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return maps (n, 3, 3) from the pixels of images rotated counter-clockwise about the center to the originals'."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    maps = np.zeros((len(degrees), 3, 3))
    maps[:, 0, 0] = maps[:, 1, 1] = cosine
    maps[:, 0, 1], maps[:, 1, 0] = -sine, sine
    maps[:, 2, 2] = 1
    center = np.array([width / 2, height / 2])
    maps[:, :2, 2] = center - maps[:, :2, :2] @ center
    return maps


def _sources(coefficients: np.ndarray, size: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Return one coordinate of every pixel's source, float64 (n, *size): -1 and 1 are the edges of the image.

    `coefficients` (n, 3) are that coordinate's row of the map, in units of half an image.
    """
    of_x, of_y, constant = np.moveaxis(coefficients, 1, 0)[..., None]
    across = of_x * (np.arange(size[1]) + 0.5) + constant - 1
    down = of_y * (np.arange(size[0]) + 0.5)
    parts = [torch.from_numpy(part).to(device) for part in (across, down)]
    return parts[0][:, None, :] + parts[1][:, :, None]


def _bicubic(pixels: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Interpolate by Keys' cubic with a = -1, as Pillow (torch has -0.75), in four bilinear samplings, not 16 gathers.

    Along one axis, with f between pixels 0 and 1 at fraction d, the cubic is Hermite's:

        (1 - s) f0 + s f1 + d (1 - d) ((1 - d) c0 - d c1),   s = d d (3 - 2 d),   c = next f - last f.

    The first two terms are f, interpolated linearly at s. The others are c, interpolated linearly at d, if every second
    c has its sign flipped. Along two axes there are four such products.
    """
    values = F.pad(pixels, (1, 1, 1, 1), mode="replicate")
    x, smooth_x, weight_x = _cubic_terms(x, values.shape[3])
    y, smooth_y, weight_y = _cubic_terms(y, values.shape[2])
    total = _interpolate(values, smooth_x, smooth_y)
    slopes = _slopes(values, 2)
    total.addcmul_(_interpolate(slopes, smooth_x, y), weight_y)
    total.addcmul_(_interpolate(_slopes(values, 3), x, smooth_y), weight_x)
    return total.addcmul_(_interpolate(_slopes(slopes, 3), x, y), weight_x.mul_(weight_y))


def _cubic_terms(position: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return where to sample slopes and values along an axis of `size` padded pixels, and the slopes' signed weight.

    Input positions have the unpadded edges at -1 and 1, output positions the padded ones.
    """
    linear = position * ((size - 2) / size)
    pixel = (linear * (size / 2)).add_((size - 1) / 2)
    before = pixel.floor()
    fraction = pixel.sub_(before)
    square = fraction * fraction
    half = before * 0.5
    sign = half.sub_(half.floor()).mul_(-4).add_(1)
    weight = (fraction - square).mul_(sign)[:, None]
    smooth = fraction.mul_(-2).add_(3).mul_(square)
    return linear, smooth.add_(before).mul_(2 / size).add_(1 / size - 1), weight


def _slopes(values: torch.Tensor, axis: int) -> torch.Tensor:
    """Return the differences of each pixel's neighbors along `axis`, every other sign flipped; 0 in the padding."""
    slopes, inner = torch.empty_like(values), values.shape[axis] - 2
    torch.sub(values.narrow(axis, 2, inner), values.narrow(axis, 0, inner), out=slopes.narrow(axis, 1, inner))
    slopes.select(axis, 0).zero_()
    slopes.select(axis, -1).zero_()
    slopes.movedim(axis, 0)[1::2].neg_()
    return slopes


def _interpolate(values: torch.Tensor, x: torch.Tensor, y: torch.Tensor, mode: str = "bilinear") -> torch.Tensor:
    """Sample values at x and y, with the edges at -1 and 1; edge pixels are repeated beyond."""
    grid = torch.view_as_real(torch.complex(x, y))  # six times as fast as stacking
    return F.grid_sample(values, grid, mode=mode, padding_mode="border", align_corners=False)
