"""Random crops and flips: whole pixels, moved by copying memory."""

import numpy as np
import torch

from doublevit.augment.config import crop_padding
from doublevit.augment.draws import choose
from doublevit.errors import UserError


class Crop:
    """Pad with black by 8/224 of the sides, crop at random, and mirror half of the images.

    Args:
        flip: whether images are mirrored at all.
        size: side of the crop in pixels; the image's size if None.
    """

    bytes_only = False

    def __init__(self, *, flip: bool, size: int | None = None) -> None:
        self.flip, self.size = flip, size
        self.columns = 3 if flip else 2

    def __call__(self, images: torch.Tensor, draws: np.ndarray) -> torch.Tensor:
        """Augment (B, 3, H, W) of any dtype by draws (B, columns): (B, 3, size or H, size or W)."""
        top, left, size = self.window(draws, images.shape[2:])
        cropped = crop(images, top, left, size)
        return _mirror(cropped, draws[:, 2]) if self.flip else cropped

    def window(self, draws: np.ndarray, size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
        """Return the first row and column of each crop, int64 (n,), negative in the padding, and its height and width.

        Raises:
            UserError: the crop is larger than the padded images.
        """
        height, width = (self.size or length for length in size)
        if any(part > side + 2 * crop_padding(side) for part, side in zip((height, width), size, strict=True)):
            raise UserError(f"a crop of {height} x {width} pixels does not fit images of {size[0]} x {size[1]}")
        top, left = (
            choose(draw, side + 2 * crop_padding(side) - part + 1) - crop_padding(side)
            for draw, side, part in zip(draws.T, size, (height, width), strict=False)
        )
        return top, left, (height, width)

    def describe(self, draws: np.ndarray, size: tuple[int, int]) -> list[str]:
        """Describe what is done to one image."""
        top, left, _ = self.window(draws, size)
        flip = ", mirrored" if self.flip and draws[0, 2] < 0.5 else ""
        return [f"crop at x {left[0]:+d}, y {top[0]:+d}{flip}"]


class Flip:
    """Mirrors half of the images."""

    bytes_only = False
    columns = 1

    def __call__(self, images: torch.Tensor, draws: np.ndarray) -> torch.Tensor:
        """Augment (B, 3, H, W) of any dtype by draws (B, 1)."""
        return _mirror(images.clone(memory_format=torch.contiguous_format), draws[:, 0])

    def describe(self, draws: np.ndarray, size: tuple[int, int]) -> list[str]:
        """Describe what is done to one image."""
        return ["mirrored"] if draws[0, 0] < 0.5 else []


def _mirror(images: torch.Tensor, draws: np.ndarray) -> torch.Tensor:
    """Mirror the images whose draw (n,) is below 0.5, in place."""
    mirrored = torch.from_numpy(np.flatnonzero(draws < 0.5)).to(images.device)
    images[mirrored] = images.index_select(0, mirrored).flip(3)
    return images


def crop(images: torch.Tensor, top: np.ndarray, left: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """Return the window of `size` at (top, left) of each image, contiguous, and black outside the image."""
    count, channels, height, width = images.shape
    before = [max(0, -int(start.min())) for start in (top, left)]
    ends = zip((top, left), size, (height, width), strict=True)
    after = [max(0, int(start.max()) + part - side) for start, part, side in ends]
    padded = images.new_zeros((count, channels, before[0] + height + after[0], before[1] + width + after[1]))
    padded[:, :, before[0] : before[0] + height, before[1] : before[1] + width] = images
    planes = np.arange(count * channels).reshape(count, channels, 1) * padded.shape[2]
    rows = planes + (top + before[0])[:, None, None] + np.arange(size[0])
    starts = torch.from_numpy((rows * padded.shape[3] + (left + before[1])[:, None, None]).ravel()).to(images.device)
    # A view in which a row starts at every pixel: selecting rows copies memory without computing an index per pixel.
    pieces = padded.view(-1).as_strided((padded.numel() - size[1] + 1, size[1]), (1, 1))
    return pieces.index_select(0, starts).view(count, channels, *size)
