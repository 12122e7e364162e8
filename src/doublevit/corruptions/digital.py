"""Digital corruptions: contrast, pixelation, JPEG, and brightness and saturation in HSV."""

import functools
import io

import numpy as np
import simplejpeg
from PIL import Image

from doublevit.corruptions.config import Constants
from doublevit.corruptions.levels import UNIT, to_levels, to_unit

SECTORS = ("vtp", "qvp", "pvt", "pqv", "tpv", "vpq")
"""Which of the four mixtures p, q, t and v red, green and blue are, in each sixth of the hue circle."""


def contrast(images: np.ndarray, constants: Constants) -> np.ndarray:
    """Move every value towards the mean of its image and channel."""
    (kept,) = constants
    count, height, width, _ = images.shape
    values = to_unit(images)
    means = np.einsum("nhwc->nc", values) / (height * width)  # sums in the published order, to the last bit
    rows, means = values.reshape(count, height, -1), np.tile(means, width)[:, None]
    rows -= means
    rows *= kept
    rows += means
    return to_levels(values)


def pixelate(images: np.ndarray, constants: Constants) -> np.ndarray:
    """Shrink and enlarge images by Pillow's box filter."""
    (kept,) = constants
    height, width = images.shape[1:3]
    small = int(width * kept), int(height * kept)
    box = Image.Resampling.BOX
    coarse = (Image.fromarray(image).resize(small, box).resize((width, height), box) for image in images)
    return np.stack([np.asarray(image) for image in coarse])


def jpeg_compression(images: np.ndarray, constants: Constants) -> np.ndarray:
    """Encode images as JPEG and decode them."""
    quality = int(constants[0])
    return np.stack([simplejpeg.decode_jpeg(to_jpeg(image, quality), "RGB") for image in images])


def to_jpeg(image: np.ndarray, quality: int) -> bytes:
    """Encode an image by Pillow: simplejpeg has only a faster cosine transform, which gives other pixels."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return file.getvalue()


def brightness(images: np.ndarray, constants: Constants) -> np.ndarray:
    """Raise the value of HSV, which scales all channels of a pixel by the same factor."""
    strongest = np.maximum(np.maximum(images[..., 0], images[..., 1]), images[..., 2])
    cell = np.multiply(strongest[..., None], 256, dtype=np.uint16) + images
    return _brightness_table(*constants).take(cell)


@functools.lru_cache(maxsize=8)
def _brightness_table(raised: float) -> np.ndarray:
    """Return new levels, uint8 (256, 256), by the levels of a pixel's strongest channel and of the channel itself."""
    strongest = np.maximum(UNIT, UNIT[1])[:, None]  # avoids division by 0
    fraction = np.where(UNIT[:, None] > 0, UNIT / strongest, 1)  # black becomes gray
    return to_levels(np.clip(UNIT[:, None] + raised, 0, 1) * fraction)


def saturate(images: np.ndarray, constants: Constants) -> np.ndarray:
    """Scale and shift the saturation of HSV; a shift makes gray, whose hue counts as 0, red."""
    factor, shift = constants
    hue, saturation, value = _to_hsv(to_unit(images))
    return to_levels(_from_hsv(hue, np.clip(saturation * factor + shift, 0, 1), value))


def _to_hsv(colors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hue (0..6), saturation and value (0..1) of RGB (..., 3), in scikit-image's order of operations."""
    red, green, blue = np.moveaxis(colors, -1, 0)
    value = np.maximum(np.maximum(red, green), blue)
    range_ = value - np.minimum(np.minimum(red, green), blue)
    divisor = np.where(range_ > 0, range_, 1)
    hue = np.where(green == value, 2 + (blue - red) / divisor, (green - blue) / divisor)
    hue = np.where(blue == value, 4 + (red - green) / divisor, hue)
    hue = np.where(range_ > 0, hue / 6 % 1 * 6, 0)
    return hue, range_ / np.where(value > 0, value, 1), value


def _from_hsv(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    sector = np.floor(hue)
    rest = hue - sector
    mixtures = {
        "p": value * (1 - saturation),
        "q": value * (1 - rest * saturation),
        "t": value * (1 - (1 - rest) * saturation),
        "v": value,
    }
    which = sector.astype(np.uint8) % 6
    return np.stack([np.choose(which, [mixtures[s[color]] for s in SECTORS]) for color in range(3)], axis=-1)
