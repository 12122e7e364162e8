"""Digital corruptions: contrast, pixelation, JPEG, brightness and saturation in HSV, and the elastic transform."""

import functools
import io

import numpy as np
import simplejpeg
from PIL import Image
from scipy import ndimage

from doublevit.corruptions.config import Constants
from doublevit.corruptions.draws import CorruptionDraws, to_range
from doublevit.corruptions.levels import UNIT, clip_levels, to_levels, to_unit

SECTORS = ("vtp", "qvp", "pvt", "pqv", "tpv", "vpq")
"""Which of the four mixtures p, q, t and v red, green and blue are, in each sixth of the hue circle."""
MARGIN = 1e-4  # levels; added before truncation, since float32 may fall just short of an integer


def contrast(images: np.ndarray, constants: Constants) -> np.ndarray:
    """Move every value towards the mean of its image and channel."""
    (factor,) = constants
    count, height, width, _ = images.shape
    values = to_unit(images)
    means = np.einsum("nhwc->nc", values) / (height * width)  # sums in the published order, to the last bit
    rows, means = values.reshape(count, height, -1), np.tile(means, width)[:, None]
    rows -= means
    rows *= factor
    rows += means
    return to_levels(values)


def pixelate(images: np.ndarray, constants: Constants) -> np.ndarray:
    """Shrink and enlarge images by Pillow's box filter."""
    (fraction,) = constants
    height, width = images.shape[1:3]
    small = int(width * fraction), int(height * fraction)
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


def draw_displacements(draws: CorruptionDraws, images: np.ndarray, constants: Constants) -> dict[str, np.ndarray]:
    """Draw `corners`, shifts in pixels, float32 (N, 3, 2), and unsmoothed `dx` and `dy` in -1..1, float32 (N, H, W)."""
    farthest, size = constants[2], images[0, ..., 0].size
    words = draws.words(6 + 2 * size)
    fields = to_range(words[:, 6:], -1, 1).reshape(len(images), 2, *images.shape[1:3])
    corners = to_range(words[:, :6], -farthest, farthest).reshape(len(images), 3, 2)
    return {"corners": corners, "dx": fields[:, 0], "dy": fields[:, 1]}


def elastic_transform(
    images: np.ndarray, constants: Constants, corners: np.ndarray, dx: np.ndarray, dy: np.ndarray
) -> np.ndarray:
    """Distort images as if they were printed on rubber."""
    farthest, deviation, _ = constants
    height, width = images.shape[1:3]
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
    rows, columns = _before_affine(corners, height, width)
    planes = _sample(planes, _mirror(rows, height), _mirror(columns, width))
    if farthest:
        down, across = (_smoothing(side, deviation) for side in (height, width))
        columns = down @ dx @ across.T * np.float32(farthest) + np.arange(width, dtype=np.float32)
        rows = down @ dy @ across.T * np.float32(farthest) + np.arange(height, dtype=np.float32)[:, None]
        planes = _sample(planes, _mirror_edge(rows, height), _mirror_edge(columns, width))
    planes += np.float32(MARGIN)
    return clip_levels(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)))


def _before_affine(corners: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each pixel's source before three points moved by `corners`: rows and columns, float32 (N, H, W)."""
    # The published generator, made for square images, swaps height and width here.
    middle, reach = np.array([width // 2, height // 2]), min(height, width) // 3
    points = middle + reach * np.array([[1.0, 1], [1, -1], [-1, -1]])
    moved = np.concatenate([points + corners, np.ones((len(corners), 3, 1))], axis=2)
    inverse = np.linalg.solve(moved, np.broadcast_to(points, corners.shape))
    by_column = (inverse[:, 0, :, None] * np.arange(width)).astype(np.float32)
    by_row = (inverse[:, 1, :, None] * np.arange(height) + inverse[:, 2, :, None]).astype(np.float32)
    columns, rows = (by_row[:, axis, :, None] + by_column[:, axis, None] for axis in (0, 1))
    return rows, columns


@functools.lru_cache(maxsize=8)
def _smoothing(side: int, deviation: float) -> np.ndarray:
    """Return the matrix that smooths one axis, truncated at three deviations, edges mirrored: float32 (side, side)."""
    return ndimage.gaussian_filter1d(np.eye(side, dtype=np.float32), deviation, axis=0, mode="reflect", truncate=3)


def _mirror(positions: np.ndarray, side: int) -> np.ndarray:
    """Mirror positions into 0..side - 1 at the centers of the outermost pixels (OpenCV's reflect 101), in place."""
    return _fold(positions, np.float32(side - 1))


def _mirror_edge(positions: np.ndarray, side: int) -> np.ndarray:
    """Mirror positions into 0..side - 1 at the outer edges of the outermost pixels (scipy's reflect), in place."""
    positions += np.float32(0.5)
    folded = _fold(positions, np.float32(side))
    folded -= np.float32(0.5)
    return np.clip(folded, 0, side - 1, out=folded)


def _fold(positions: np.ndarray, last: np.float32) -> np.ndarray:
    """Mirror positions into 0..last, as often as necessary, in place."""
    np.abs(positions, out=positions)
    if positions.max(initial=0) > 2 * last:  # rare, and the remainder is slow
        np.fmod(positions, 2 * last, out=positions)
    positions -= last
    np.abs(positions, out=positions)
    return np.subtract(last, positions, out=positions)


def _sample(planes: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sample planes (N, channels, H, W) at positions (N, H, W) inside them, bilinearly."""
    count, channels, height, width = planes.shape
    top, left = np.minimum(rows, height - 2).astype(np.intp), np.minimum(columns, width - 2).astype(np.intp)
    below, right = rows - top.astype(np.float32), columns - left.astype(np.float32)
    top *= width
    top += left
    top += np.arange(count)[:, None, None] * (channels * height * width)
    flat, sampled = planes.reshape(-1), np.empty_like(planes)
    for channel in range(channels):
        a, b, c, d = (flat[channel * height * width + offset :].take(top) for offset in (0, 1, width, width + 1))
        sampled[:, channel] = _between(_between(a, b, right), _between(c, d, right), below)
    return sampled


def _between(first: np.ndarray, second: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """Interpolate from `first` (at 0) to `second` (at 1), which is overwritten."""
    second -= first
    second *= fraction
    second += first
    return second
