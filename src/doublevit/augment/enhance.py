"""Operations that blend an image with a degenerate of itself, as Pillow's ImageEnhance does, and the turning of hues.

All take uint8 (n, 3, H, W), contiguous, and an amount per image, float64 (n,) in NumPy: a factor, of which 1 changes
nothing.
"""

import numpy as np
import torch

from doublevit.augment.levels import cut_off, per_image


def brightness(images: torch.Tensor, factor: np.ndarray) -> torch.Tensor:
    """Away from or towards black."""
    return _to_bytes(images.float().mul_(per_image(factor, images, torch.float32)))


def contrast(images: torch.Tensor, factor: np.ndarray) -> torch.Tensor:
    """Away from or towards the image's mean grey."""
    pixels = images.float()
    height, width = images.shape[2:]
    total = _grey(pixels).sum(3, keepdim=True).sum(2, keepdim=True, dtype=torch.float64)  # rows are exact in float32
    mean = (total / (height * width) + 0.5).floor_().float()
    return _to_bytes(_blend(pixels, mean, factor))


def color(images: torch.Tensor, factor: np.ndarray) -> torch.Tensor:
    """Away from or towards the grey image: saturation."""
    pixels = images.float()
    return _to_bytes(_blend(pixels, _grey(pixels), factor))


def sharpness(images: torch.Tensor, factor: np.ndarray) -> torch.Tensor:
    """Away from or towards the image smoothed over 3 x 3 pixels; Pillow leaves the border as it is."""
    height, width = images.shape[2:]
    if min(height, width) < 3:
        return images
    # Each image as one long line, whose neighbours are 1 and `width` away: what this makes of the border is undone.
    line = images.flatten(1).float()
    columns = (line[:, : -2 * width] + line[:, 2 * width :]).add_(line[:, width:-width])
    around = (columns[:, :-2] + columns[:, 2:]).add_(
        columns[:, 1:-1]
    )  # the centre is in it once, and counts five times
    inner = line[:, width + 1 : -width - 1]
    smooth = around.add_(inner, alpha=4).mul_(1 / 13).add_(0.5).floor_()
    inner.sub_(smooth).mul_(per_image(factor, images, torch.float32)[:, :, 0, 0]).add_(smooth)
    result = _to_bytes(line).view(images.shape)
    for border in ((..., 0, slice(None)), (..., -1, slice(None)), (..., 0), (..., -1)):
        result[border] = images[border]
    return result


def hue(images: torch.Tensor, turn: np.ndarray) -> torch.Tensor:
    """Turn the hue by `turn` of a full circle (-0.5..0.5), in Pillow's HSV of bytes."""
    hues, saturation, value = _to_hsv(images.float())
    steps = torch.from_numpy(np.trunc(turn * 255)).to(hues).view(-1, 1, 1)
    return _from_hsv(torch.remainder(hues + steps, 256), saturation, value)


def _blend(pixels: torch.Tensor, degenerate: torch.Tensor, factor: np.ndarray) -> torch.Tensor:
    # As Pillow's Image.blend: in float32, multiplied and then added.
    return (pixels - degenerate).mul_(per_image(factor, pixels, torch.float32)).add_(degenerate)


def _to_bytes(pixels: torch.Tensor) -> torch.Tensor:
    return cut_off(pixels.clamp_(0, 255))


def _grey(pixels: torch.Tensor) -> torch.Tensor:
    """Luma as Pillow's convert("L") rounds it, float32 (n, 1, H, W); exact, since sums stay below 2**24."""
    red, green, blue = pixels.split(1, dim=1)
    weighted = (red * 19595).add_(green, alpha=38470).add_(blue, alpha=7471)
    return weighted.add_(0x8000).mul_(2.0**-16).floor_()


def _to_hsv(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hue, saturation and value of (n, 3, H, W) levels: each float32 (n, H, W) with whole numbers 0..255.

    Divided in float32, added and cut off in float64, as in Pillow: else a hue of 14.9999 becomes 15.
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
    """The way back, to uint8 (n, 3, H, W)."""
    position = hues * (6 / 255)
    sextant = position.floor()
    fraction, saturation = position - sextant, saturation / 255
    parts = [1 - saturation, 1 - saturation * fraction, 1 - saturation * (1 - fraction)]
    low, falling, rising = ((value * part).add(0.5).floor() for part in parts)
    choices = torch.stack([value, falling, low, low, rising, value])  # red in sextant 0, 1, ...
    # Green runs through the same values four sextants on, blue two.
    turns = [(sextant.long() + offset) % 6 for offset in (0, 4, 2)]
    channels = [choices.gather(0, turn[None])[0] for turn in turns]
    return cut_off(torch.stack(channels, dim=1))
