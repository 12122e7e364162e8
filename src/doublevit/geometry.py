"""How an image of any size becomes a square: cut, squashed or padded, exactly as timm's evaluation transform does."""

import math
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from PIL import Image

from doublevit.image_files import BadImage

INTERPOLATIONS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
MAX_RESIZED = 1 << 24  # pixels of a resized image; of a larger one, only the middle is made
MAX_SIDE = 4096  # pixels
REACH = 2  # pixels, of the larger of both sizes, that an interpolation looks to either side
SIDE = 224  # pixels, where no network says another

Size = tuple[int, int]
"""Height and width in pixels."""


class Window(NamedTuple):
    """What is shown of an image: it is resized to (height, width), then the square of `side` at (top, left) is cut.

    Where the square is not all within the resized image there is a border.
    """

    height: int
    width: int
    top: int
    left: int
    side: int
    interpolation: str

    @property
    def is_inside(self) -> bool:
        """Whether there is no border."""
        bottom, right = self.top + self.side, self.left + self.side
        return min(self.top, self.left) >= 0 and bottom <= self.height and right <= self.width


class Geometry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How an image of any size is brought to the square of `side` pixels.

    `fit` is "crop" (the shorter side becomes `side / crop` pixels, then the center is cut), "squash" (both sides do),
    "pad" (the longer side does, with borders of the color `fill`), or "older" (crop, as runs did before they had a
    geometry: sizes are rounded to the nearest pixel instead of down).
    """

    side: int
    fit: Literal["crop", "squash", "pad", "older"] = "crop"
    crop: float = 1.0
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    fill: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        if not (1 <= self.side <= MAX_SIDE and 0.05 <= self.crop <= 1):
            raise ValueError(f"expected a side of 1 to {MAX_SIDE}, and crop of 0.05 to 1")
        if not all(0 <= value <= 255 for value in self.fill):
            raise ValueError("expected a fill of 0 to 255")

    @property
    def resized(self) -> int:
        """What the side that `fit` names becomes before the center is cut, in pixels."""
        return math.floor(self.side / self.crop)


def to_square(image: np.ndarray, geometry: Geometry, margin: int = 0) -> np.ndarray:
    """Bring an image uint8 (H, W, 3) to uint8 (S, S, 3), S being the geometry's side and `margin` more on each side.

    It is timm's and torchvision's evaluation transform to the bit; but of an image so long that, resized, it would have
    more than `MAX_RESIZED` pixels, only the middle is made, which may differ by two levels in a few values.

    Raises:
        BadImage: it is too narrow to be resized.
    """
    window = window_of(image.shape[0], image.shape[1], margin, geometry=geometry)
    try:
        if window.height * window.width > MAX_RESIZED:
            resized, (top, left) = _middle(image, window)
        else:
            resized, (top, left) = _whole(image, window), (0, 0)
        square = Image.new("RGB", (window.side, window.side), geometry.fill)
        square.paste(resized, (left - window.left, top - window.top))
        return np.asarray(square)
    except (ValueError, MemoryError) as error:
        raise BadImage(str(error) or "too narrow") from error


def window_of(height: int, width: int, margin: int = 0, *, geometry: Geometry) -> Window:
    """Return what is shown of an image of this height and width, with `margin` pixels more on each side."""
    size = _resized((height, width), geometry)
    top, left = (_start(length, geometry) - margin for length in size)
    interpolation = "bicubic" if geometry.fit == "older" else geometry.interpolation
    return Window(*size, top, left, geometry.side + 2 * margin, interpolation)


def _resized(size: tuple[int, ...], geometry: Geometry) -> Size:
    """Return height and width of the whole image, resized."""
    height, width = size
    target, shorter = geometry.resized, min(height, width)
    if geometry.fit == "squash":
        return target, target
    if geometry.fit == "pad":
        ratio = max(height / target, width / target)
        return max(1, round(height / ratio)), max(1, round(width / ratio))
    if geometry.fit == "older":
        scale = geometry.side / shorter
        return max(geometry.side, round(height * scale)), max(geometry.side, round(width * scale))
    return (
        target if height <= width else int(target * height / width),
        target if width <= height else int(target * width / height),
    )


def _start(length: int, geometry: Geometry) -> int:
    """Return the first row or column of the square in a resized image; negative where there is a border."""
    rest = length - geometry.side
    if rest < 0:
        return -(-rest // 2)
    return rest // 2 if geometry.fit == "older" else round(rest / 2)


def _whole(image: np.ndarray, window: Window) -> Image.Image:
    return Image.fromarray(image).resize((window.width, window.height), INTERPOLATIONS[window.interpolation])


def _middle(image: np.ndarray, window: Window) -> tuple[Image.Image, Size]:
    """Resize only what the window shows, cut from the image before; return it with its row and column in the whole."""
    start = max(0, window.top), max(0, window.left)
    end = min(window.height, window.top + window.side), min(window.width, window.left + window.side)
    scales = [image.shape[0] / window.height, image.shape[1] / window.width]
    boxes = [(first * scale, last * scale) for first, last, scale in zip(start, end, scales, strict=True)]
    reach = [math.ceil(REACH * max(1, scale)) + 1 for scale in scales]
    low = [max(0, math.floor(box[0]) - more) for box, more in zip(boxes, reach, strict=True)]
    high = [math.ceil(box[1]) + more for box, more in zip(boxes, reach, strict=True)]
    (top, bottom), (left, right) = boxes
    part = Image.fromarray(np.ascontiguousarray(image[low[0] : high[0], low[1] : high[1]]))
    box = (left - low[1], top - low[0], min(part.width, right - low[1]), min(part.height, bottom - low[0]))
    size = end[1] - start[1], end[0] - start[0]
    return part.resize(size, INTERPOLATIONS[window.interpolation], box), start
