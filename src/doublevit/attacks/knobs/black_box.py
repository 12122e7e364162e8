"""The knobs of Foolbox's attacks without gradients. No torch and no Foolbox here, so that `--help` stays quick.

Defaults are those of Foolbox 3.3.4, except where a docstring says what Foolbox's own is.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class HopSkipJump:
    """HopSkipJump: along the boundary, its direction estimated from decisions alone."""

    steps: int = 32
    """Steps along the boundary; Foolbox: 64. 32 cost some 13,000 queries a photo, 64 some 36,000."""
    initial_queries: int = 100
    """Queries in the first step; they grow with the root of the steps."""


@dataclasses.dataclass(frozen=True)
class Boundary:
    """The boundary attack: a random walk along the boundary."""

    steps: int = 5000
    """Steps of the walk, each about one query a photo; Foolbox: 25,000."""
    spherical_step: float = 0.01
    """First step sideways, relative to the distance."""
    source_step: float = 0.01
    """First step towards the photo, relative to the distance."""


@dataclasses.dataclass(frozen=True)
class Noise:
    """Noise of size epsilon, drawn until it fools."""

    repeats: int = 100
    """Draws at most."""


@dataclasses.dataclass(frozen=True)
class SaltAndPepper:
    """Black and white pixels, more and more of them."""

    steps: int = 1000
    """Amounts of noise that are tried, each one query a photo."""


@dataclasses.dataclass(frozen=True)
class BlendedNoise:
    """The photo blended with a picture of noise."""

    directions: int = 1000
    """Pictures of noise that are tried until one is taken for another class."""
    steps: int = 1000
    """Places on the way to it that are tried, each one query a photo."""


@dataclasses.dataclass(frozen=True)
class GaussianBlur:
    """Gaussian blur, stronger and stronger."""

    steps: int = 100
    """Strengths that are tried, each one query a photo; Foolbox: 1000."""
    largest_sigma: float | None = None
    """Standard deviation of the strongest blur, in pixels; if not given, the photo's longer side."""


@dataclasses.dataclass(frozen=True)
class Contrast:
    """Less and less contrast."""

    binary_search_steps: int = 15
    """Steps of the search for the least change that fools."""
    target: float = 0.5
    """Grey without any contrast: 0 is black, 1 white."""


@dataclasses.dataclass(frozen=True)
class Spatial:
    """Shifts and turns of the whole photo."""

    max_translation: float = 3.0
    """Largest shift, in pixels."""
    max_rotation: float = 30.0
    """Largest turn, in degrees."""
    num_translations: int = 5
    """Shifts that are tried along each side."""
    num_rotations: int = 5
    """Turns that are tried."""
    grid_search: bool = True
    """Try all shifts with all turns; otherwise random ones."""
    random_steps: int = 100
    """Random shifts and turns that are tried without grid search."""


@dataclasses.dataclass(frozen=True)
class Squares:
    """The Square attack."""

    queries: int = 5000
    """Predictions for each photo."""
