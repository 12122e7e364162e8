"""The mean corruption error relative to AlexNet's published errors, as papers on ImageNet-C give it."""

from collections.abc import Sequence

import numpy as np

from doublevit.statistics.proportions import Estimate
from doublevit.statistics.resampling import bootstrap

ALEXNET_ERRORS = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
"""AlexNet's top-1 errors on ImageNet-C at 224 pixels, each the mean over severities 1 to 5.

Hendrycks and Dietterich (2019); to these digits in the code of AugMix, google-research/augmix, imagenet.py.
"""


def corruption_errors(errors: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return errors in AlexNet's, each corruption's summed over severities first: (..., C) -> (..., corruptions).

    Args:
        errors: fractions of images in each cell, at the same severities 1 to 5 of every corruption.
        names: the corruption of each cell.
    """
    of_corruption = np.array(list(ALEXNET_ERRORS))[:, None] == np.asarray(names)
    present = of_corruption.any(axis=1)
    means = errors @ (of_corruption / np.maximum(of_corruption.sum(axis=1, keepdims=True), 1)).T
    ratios: np.ndarray = (means / np.array(list(ALEXNET_ERRORS.values())))[..., present]
    return ratios


def alexnet_relative_error(cells: np.ndarray, names: Sequence[str]) -> Estimate:
    """Estimate the mCE of Hendrycks and Dietterich (2019) as a fraction (0.767 for 76.7), with its 95 % interval.

    The interval is for the images of the model; AlexNet's errors, on 50,000 images, stand as they were published.

    Args:
        cells: whether the model recognized each image in each cell, bool (C, N), of the fifteen common corruptions.
        names: the corruption of each cell.

    Raises:
        ValueError: the cells are not five of each of the fifteen corruptions.
    """
    if sorted(names) != sorted(5 * [*ALEXNET_ERRORS]):
        raise ValueError("expected the fifteen common corruptions at five severities, found others")
    return bootstrap([cells], lambda means: corruption_errors(1 - means, names).mean(axis=1))
