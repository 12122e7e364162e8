"""Operations on colors, byte for byte those of Pillow: lookup tables, blends with a degenerate image, and hues.

All take uint8 (n, 3, H, W), contiguous, and an amount per image, float64 (n,) in NumPy, which some ignore. For a blend,
as in ImageEnhance, the amount is a factor: 1 changes nothing, less moves towards the degenerate image, more away.
"""

import numpy as np
import torch

from doublevit.augment.pixels import per_image, truncate


def autocontrast(images: torch.Tensor, _: np.ndarray) -> torch.Tensor:
    """Stretch each channel of each image so that its darkest level becomes 0 and its brightest 255."""
    low, high = (extreme.double()[..., None] for extreme in (images.amin((2, 3)), images.amax((2, 3))))
    # In double precision and in Pillow's order of operations: its `int()` truncates 254.999... to 254.
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
    """Keep the highest `bits` (1..8) of every level."""
    return images & per_image(256 - 2.0 ** (8 - bits), images, torch.uint8)


def solarize(images: torch.Tensor, threshold: np.ndarray) -> torch.Tensor:
    """Invert levels of `threshold` (0..256) and above; 256 inverts none."""
    reached = (images >= per_image(np.minimum(np.ceil(threshold), 255), images, torch.uint8)).view(torch.uint8)
    return images ^ (reached * per_image(np.where(threshold > 255, 0, 255), images, torch.uint8))


def solarize_add(images: torch.Tensor, added: np.ndarray) -> torch.Tensor:
    """Brighten levels below 128 by `added` (0..128), which cannot exceed 255."""
    dark = (images < 128).view(torch.uint8)
    return images + dark * per_image(np.floor(added), images, torch.uint8)


def invert(images: torch.Tensor, _: np.ndarray) -> torch.Tensor:
    """Return the negatives of images."""
    return images ^ 255


def _histograms(images: torch.Tensor) -> torch.Tensor:
    """Count how often each level occurs in each channel of each image, int32 (n, 3, 256)."""
    count, channels = images.shape[:2]
    first = torch.arange(count * channels, dtype=torch.int32, device=images.device) * 256
    bins = images.reshape(count * channels, -1).int() + first[:, None]
    return torch.bincount(bins.flatten(), minlength=count * channels * 256).int().view(count, channels, 256)


def _look_up(images: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Replace every level by its entry in the table of its image and channel, uint8 (n, 3, 256)."""
    return table.gather(2, images.flatten(2).long()).view(images.shape)


def brightness(images: torch.Tensor, factor: np.ndarray) -> torch.Tensor:
    """Blend images with black."""
    return _to_bytes(images.float().mul_(per_image(factor, images, torch.float32)))


def contrast(images: torch.Tensor, factor: np.ndarray) -> torch.Tensor:
    """Blend images with their mean gray level."""
    pixels = images.float()
    height, width = images.shape[2:]
    total = _gray(pixels).sum(3, keepdim=True).sum(2, keepdim=True, dtype=torch.float64)  # rows are exact in float32
    mean = (total / (height * width) + 0.5).floor_().float()
    return _to_bytes(_blend(pixels, mean, factor))


def color(images: torch.Tensor, factor: np.ndarray) -> torch.Tensor:
    """Blend images with their grayscale version: saturation."""
    pixels = images.float()
    return _to_bytes(_blend(pixels, _gray(pixels), factor))


def sharpness(images: torch.Tensor, factor: np.ndarray) -> torch.Tensor:
    """Blend images with their 3 x 3 smoothed version; the border stays unchanged, as in Pillow."""
    height, width = images.shape[2:]
    if min(height, width) < 3:
        return images
    # Each image as one long line, whose neighbors are 1 and `width` away; the border, wrong then, is restored below.
    line = images.flatten(1).float()
    columns = (line[:, : -2 * width] + line[:, 2 * width :]).add_(line[:, width:-width])
    around = (columns[:, :-2] + columns[:, 2:]).add_(columns[:, 1:-1])
    inner = line[:, width + 1 : -width - 1]  # the center is in the sum once, but counts five times
    smooth = around.add_(inner, alpha=4).mul_(1 / 13).add_(0.5).floor_()
    inner.sub_(smooth).mul_(per_image(factor, images, torch.float32)[:, :, 0, 0]).add_(smooth)
    result = _to_bytes(line).view(images.shape)
    for border in ((..., 0, slice(None)), (..., -1, slice(None)), (..., 0), (..., -1)):
        result[border] = images[border]
    return result


def hue(images: torch.Tensor, turn: np.ndarray) -> torch.Tensor:
    """Turn the hue by `turn` of a full circle (-0.5..0.5), in Pillow's 8-bit HSV."""
    hues, saturation, value = _to_hsv(images.float())
    steps = torch.from_numpy(np.trunc(turn * 255)).to(hues).view(-1, 1, 1)
    return _from_hsv(torch.remainder(hues + steps, 256), saturation, value)


def _blend(pixels: torch.Tensor, degenerate: torch.Tensor, factor: np.ndarray) -> torch.Tensor:
    # In the order of Pillow's Image.blend, in float32: multiply, then add.
    return (pixels - degenerate).mul_(per_image(factor, pixels, torch.float32)).add_(degenerate)


def _to_bytes(pixels: torch.Tensor) -> torch.Tensor:
    return truncate(pixels.clamp_(0, 255))


def _gray(pixels: torch.Tensor) -> torch.Tensor:
    """Return the luma as Pillow's convert("L") rounds it, float32 (n, 1, H, W); exact, since sums stay below 2**24."""
    red, green, blue = pixels.split(1, dim=1)
    weighted = (red * 19595).add_(green, alpha=38470).add_(blue, alpha=7471)
    return weighted.add_(0x8000).mul_(2.0**-16).floor_()


def _to_hsv(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return hue, saturation and value of levels (n, 3, H, W): integers 0..255 as float32 (n, H, W) each.

    Division is in float32, addition and truncation in float64, as in Pillow: else a hue of 14.9999 becomes 15.
    """
    value, least = pixels.amax(1), pixels.amin(1)
    span = value - least
    red, green, blue = ((value[:, None] - pixels) / span.clamp(min=1)[:, None]).double().unbind(1)
    sixth = torch.where(pixels[:, 1] == value, 2 + red - blue, 4 + green - red)
    sixth = torch.where(pixels[:, 0] == value, blue - green, sixth).float()
    turn = torch.remainder(sixth.double() / 6 + 1, 1).float()
    saturation = span / value.clamp(min=1)
    hues, saturation = (part.double().mul_(255).floor_().float() for part in (turn, saturation))
    return torch.where(span > 0, hues, 0), saturation, value


def _from_hsv(hues: torch.Tensor, saturation: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return uint8 (n, 3, H, W), the inverse of `_to_hsv`."""
    position = hues * (6 / 255)
    sextant = position.floor()
    fraction, saturation = position - sextant, saturation / 255
    parts = [1 - saturation, 1 - saturation * fraction, 1 - saturation * (1 - fraction)]
    low, falling, rising = ((value * part).add(0.5).floor() for part in parts)
    choices = torch.stack([value, falling, low, low, rising, value])  # red in sextant 0, 1, ...
    # Green runs through the same values four sextants on, blue two.
    turns = [(sextant.long() + offset) % 6 for offset in (0, 4, 2)]
    channels = [choices.gather(0, turn[None])[0] for turn in turns]
    return truncate(torch.stack(channels, dim=1))
