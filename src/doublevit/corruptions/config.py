"""The corruptions, and the published constants of each severity, for small images and for large ones.

Source: Hendrycks and Dietterich, *Benchmarking Neural Network Robustness to Common Corruptions and Perturbations*
(2019), and the generators in github.com/hendrycks/robustness, ImageNet-C/create_c.
"""

import dataclasses
from collections.abc import Iterable, Mapping

from doublevit.errors import UserError, unknown

SEVERITIES = (1, 2, 3, 4, 5)
VERSION = 1
"""Version of the corrupted images: a change that alters them raises it, so that old results are not reused."""
Constants = tuple[float, ...]
"""Constants of a corruption at one severity; its function names them."""

COMMON = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip
"""The fifteen corruptions to report."""
VALIDATION = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
"""The other four, to tune on, so that nothing is tuned on what is reported."""
PAPER = ("impulse_noise", "snow", "motion_blur", "elastic_transform", "jpeg_compression")
"""The five of *Cross Vision Transformers and Sparse Attention for the Tiny ImageNet Challenge*."""


@dataclasses.dataclass(frozen=True)
class SeverityTable:
    """The constants of every corruption, at severity 1 to 5, for images of one size."""

    name: str
    constants: Mapping[str, tuple[Constants, ...]]


TINY = SeverityTable(
    "tiny",
    {
        # standard deviation, of values in 0..1
        "gaussian_noise": ((0.04,), (0.08,), (0.12,), (0.15,), (0.18,)),
        # photons at full white
        "shot_noise": ((250,), (100,), (50,), (30,), (15,)),
        # fraction of values
        "impulse_noise": ((0.01,), (0.02,), (0.05,), (0.08,), (0.14,)),
        # radius, standard deviation of the edge's smoothing
        "defocus_blur": ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)),
        # standard deviation, farthest shift, iterations
        "glass_blur": ((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)),
        # radius, standard deviation
        "motion_blur": ((10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)),
        # end and step of the zoom factors
        "zoom_blur": ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        # mean, standard deviation, zoom and threshold of the flakes; radius and deviation of motion; fraction kept
        "snow": (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.8),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.8),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.65),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.6),
        ),
        # fraction of the image, fraction of the texture, scale of the texture
        "frost": ((1, 0.3, 0.3), (0.9, 0.4, 0.3), (0.8, 0.45, 0.3), (0.75, 0.5, 0.3), (0.7, 0.55, 0.3)),
        # strength, decay of the height differences
        "fog": ((0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)),
        # added to the value of HSV
        "brightness": ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,)),
        # fraction of the contrast kept
        "contrast": ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,)),
        # largest displacement, its smoothing, largest shift of the corners; all in pixels
        "elastic_transform": (
            (0, 0, 64 * 0.08),
            (64 * 0.05, 64 * 0.3, 64 * 0.06),
            (64 * 0.1, 64 * 0.08, 64 * 0.06),
            (64 * 0.1, 64 * 0.03, 64 * 0.03),
            (64 * 0.16, 64 * 0.03, 64 * 0.02),
        ),
        # fraction of the side kept
        "pixelate": ((0.9,), (0.8,), (0.7,), (0.6,), (0.5,)),
        # quality
        "jpeg_compression": ((65,), (58,), (50,), (40,), (25,)),
        # standard deviation, as a fraction of each value
        "speckle_noise": ((0.15,), (0.2,), (0.25,), (0.3,), (0.35,)),
        # standard deviation
        "gaussian_blur": ((0.5,), (0.75,), (1,), (1.25,), (1.5,)),
        # mean, standard deviation, smoothing, threshold of the liquid; strength, or smoothing of mud; whether mud
        "spatter": (
            (0.62, 0.1, 0.7, 0.7, 0.6, 0),
            (0.65, 0.1, 0.8, 0.7, 0.6, 0),
            (0.65, 0.3, 1, 0.69, 0.6, 0),
            (0.65, 0.1, 0.7, 0.68, 0.6, 1),
            (0.65, 0.1, 0.5, 0.67, 0.6, 1),
        ),
        # factor and summand of the saturation of HSV
        "saturate": ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (30, 0.2)),
    },
)
"""The constants of Tiny ImageNet-C, for images of 64 pixels."""

IMAGENET = SeverityTable(
    "imagenet",
    {
        "gaussian_noise": ((0.08,), (0.12,), (0.18,), (0.26,), (0.38,)),
        "shot_noise": ((60,), (25,), (12,), (5,), (3,)),
        "impulse_noise": ((0.03,), (0.06,), (0.09,), (0.17,), (0.27,)),
        "defocus_blur": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        "glass_blur": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        "motion_blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        "zoom_blur": ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        "snow": (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        "frost": ((1, 0.4, 1), (0.8, 0.6, 1), (0.7, 0.7, 1), (0.65, 0.7, 1), (0.6, 0.75, 1)),
        "fog": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        "brightness": ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,)),
        "contrast": ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,)),
        # The published constants are multiples of 244, a slip for 224 that all implementations keep.
        "elastic_transform": (
            (244 * 2, 244 * 0.7, 244 * 0.1),
            (244 * 2, 244 * 0.08, 244 * 0.2),
            (244 * 0.05, 244 * 0.01, 244 * 0.02),
            (244 * 0.07, 244 * 0.01, 244 * 0.02),
            (244 * 0.12, 244 * 0.01, 244 * 0.02),
        ),
        "pixelate": ((0.6,), (0.5,), (0.4,), (0.3,), (0.25,)),
        "jpeg_compression": ((25,), (18,), (15,), (10,), (7,)),
        "speckle_noise": ((0.15,), (0.2,), (0.35,), (0.45,), (0.6,)),
        "gaussian_blur": ((1,), (2,), (3,), (4,), (6,)),
        "spatter": (
            (0.65, 0.3, 4, 0.69, 0.6, 0),
            (0.65, 0.3, 3, 0.68, 0.6, 0),
            (0.65, 0.3, 2, 0.68, 0.5, 0),
            (0.65, 0.3, 1, 0.65, 1.5, 1),
            (0.67, 0.4, 1, 0.65, 1.5, 1),
        ),
        "saturate": ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    },
)
"""The constants of ImageNet-C, for images of 224 pixels."""

LARGE = 128  # shorter side from which images get the constants for 224 pixels


def table_for(height: int, width: int) -> SeverityTable:
    """Return the constants for images of a size: TINY if the shorter side is below 128 pixels, else IMAGENET."""
    return IMAGENET if min(height, width) >= LARGE else TINY


def require_known(names: Iterable[str], severities: Iterable[int]) -> None:
    """Raise `UserError` unless all these corruptions and severities exist."""
    for name in names:
        if name not in TINY.constants:
            raise unknown("corruption", name, TINY.constants)
    for severity in severities:
        if severity not in SEVERITIES:
            raise UserError(f"severity: expected 1 (weakest) to 5, found {severity}")
