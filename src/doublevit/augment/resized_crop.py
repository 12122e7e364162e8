"""Random resized crop (Szegedy et al. 2015), with the distribution of torchvision's and timm's.

Only the box is drawn here: images are cut and resized where they are gathered (`doublevit.regions`), since of a file
only what the box shows has to be decoded at full detail.
"""

import numpy as np

from doublevit.augment.boxes import COLUMNS, draw_boxes

LEAST_RATIO = 3 / 4  # of width to height; the greatest is 4 / 3


class ResizedCrop:
    """Draws boxes with an area of at least the fraction `scale` of the image's and sides of 3 : 4 to 4 : 3.

    Where none of ten tries fits, it is the largest centered box with such sides.
    """

    columns = COLUMNS

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def boxes(self, draws: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Turn draws (n, columns) into boxes of images of `size`, height and width.

        Returns:
            Top, left, height and width in pixels, int64 (n, 4).
        """
        boxes = draw_boxes(draws, size, (self.scale, 1.0), LEAST_RATIO, size)
        return np.where(boxes[:, 2:3] > 0, boxes, _centered(*size))

    def describe(self, draws: np.ndarray, size: tuple[int, int]) -> list[str]:
        """Describe what is done to one image."""
        top, left, height, width = self.boxes(draws, size)[0].tolist()
        return [f"crop of {width} x {height} at x {left}, y {top}"]


def _centered(height: int, width: int) -> list[int]:
    tall, wide = min(height, round(width / LEAST_RATIO)), min(width, round(height / LEAST_RATIO))
    return [(height - tall) // 2, (width - wide) // 2, tall, wide]
