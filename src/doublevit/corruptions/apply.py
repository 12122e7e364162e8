"""The corruptions by their published names, applied to images at once or on demand."""

import dataclasses
from collections.abc import Callable

import numpy as np

from doublevit.corruptions import blur, digital, noise, weather
from doublevit.corruptions.config import require_known, table_for
from doublevit.corruptions.draws import CorruptionDraws
from doublevit.corruptions.textures import Textures, generated
from doublevit.errors import UserError
from doublevit.images import Images, LazyImages

DrawFunction = Callable[..., dict[str, np.ndarray]]
"""(draws, images, constants[, textures]) -> random keyword arguments for the `ApplyFunction`."""
ApplyFunction = Callable[..., np.ndarray]
"""(images uint8 (N, H, W, 3), constants, **what was drawn) -> uint8 (N, H, W, 3)."""
PIECE = 16 * 64 * 64 * 3  # bytes of images at a time: with intermediate results they fit into the cache
MIN_SIDE = 32  # of images: the widest kernel for small images, of the strongest snow, reaches 28 pixels


def draw_nothing(draws: CorruptionDraws, images: np.ndarray, constants: object) -> dict[str, np.ndarray]:
    """Draw nothing, for corruptions without randomness."""
    return {}


@dataclasses.dataclass(frozen=True)
class CorruptionFunctions:
    """`apply` corrupts images; everything random in it comes from `draw`; both get textures if `wants_textures`."""

    apply: ApplyFunction
    draw: DrawFunction = draw_nothing
    wants_textures: bool = False


CORRUPTIONS: dict[str, CorruptionFunctions] = {
    "gaussian_noise": CorruptionFunctions(noise.gaussian_noise, noise.draw_normal),
    "shot_noise": CorruptionFunctions(noise.shot_noise, noise.draw_counts),
    "impulse_noise": CorruptionFunctions(noise.impulse_noise, noise.draw_impulses),
    "defocus_blur": CorruptionFunctions(blur.defocus_blur),
    "glass_blur": CorruptionFunctions(blur.glass_blur, blur.draw_shifts),
    "motion_blur": CorruptionFunctions(blur.motion_blur, blur.draw_angle),
    "zoom_blur": CorruptionFunctions(blur.zoom_blur),
    "snow": CorruptionFunctions(weather.snow, weather.draw_flakes),
    "frost": CorruptionFunctions(weather.frost, weather.draw_crops, wants_textures=True),
    "fog": CorruptionFunctions(weather.fog, weather.draw_plasma),
    "brightness": CorruptionFunctions(digital.brightness),
    "contrast": CorruptionFunctions(digital.contrast),
    "elastic_transform": CorruptionFunctions(digital.elastic_transform, digital.draw_displacements),
    "pixelate": CorruptionFunctions(digital.pixelate),
    "jpeg_compression": CorruptionFunctions(digital.jpeg_compression),
    "speckle_noise": CorruptionFunctions(noise.speckle_noise, noise.draw_normal),
    "gaussian_blur": CorruptionFunctions(blur.gaussian_blur),
    "spatter": CorruptionFunctions(weather.spatter, weather.draw_liquid),
    "saturate": CorruptionFunctions(digital.saturate),
}


def corrupt(
    images: np.ndarray,
    name: str,
    severity: int,
    seed: int = 0,
    indices: np.ndarray | None = None,
    textures: Textures | None = None,
) -> np.ndarray:
    """Corrupt images, with the constants for their size; the result depends on image, seed and index alone.

    Args:
        images: uint8 (N, H, W, 3).
        name: one of `CORRUPTIONS`.
        severity: 1 (weakest) to 5.
        seed: seed of all random numbers, 0 or more.
        indices: each image's index in its data set, from which its random numbers follow, int (N,); default 0 .. N - 1.
        textures: textures of frost; if not given, generated ones.

    Returns:
        uint8 (N, H, W, 3).

    Raises:
        UserError: the corruption or severity is unknown, or the images are of another dtype or shape, too small, or
            larger than the textures.
        ValueError: the seed or an index is negative.
    """
    require_known([name], [severity])
    if textures is None and CORRUPTIONS[name].wants_textures:
        textures = generated()
    require_fit(images)
    indices = np.arange(len(images)) if indices is None else np.asarray(indices)
    if seed < 0 or (len(indices) and indices.min() < 0):
        raise ValueError(f"expected a seed and indices of 0 or more, found {seed} and {indices.min(initial=0)}")
    step = max(1, PIECE // images[0].size) if len(images) else 1
    out = np.empty_like(images)
    for start in range(0, len(images), step):
        piece = slice(start, start + step)
        draws = CorruptionDraws(seed, name, severity, indices[piece])
        out[piece] = _corrupt_piece(np.ascontiguousarray(images[piece]), draws, textures)
    return out


def require_fit(images: Images) -> None:
    """Raise `UserError` unless these are images uint8 (N, H, W, 3) of a size that all corruptions can work on."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise UserError(f"corruptions want images as uint8 (N, H, W, 3), found {images.dtype} {images.shape}")
    height, width = images.shape[1:3]
    if min(height, width) < MIN_SIDE:
        raise UserError(
            f"images of {width} x {height} pixels are smaller than the corruptions' kernels: expected at least"
            f" {MIN_SIDE} x {MIN_SIDE}"
        )


def _corrupt_piece(images: np.ndarray, draws: CorruptionDraws, textures: Textures | None) -> np.ndarray:
    corruption = CORRUPTIONS[draws.corruption]
    constants = table_for(*images.shape[1:3]).constants[draws.corruption][draws.severity - 1]
    extra = {"textures": textures} if corruption.wants_textures else {}
    drawn = corruption.draw(draws, images, constants, **extra)
    return corruption.apply(images, constants, **drawn, **extra)


@dataclasses.dataclass(frozen=True, eq=False)
class CorruptedImages(LazyImages):
    """`images`, corrupted on indexing.

    Raises:
        UserError: as `corrupt`.
    """

    images: Images
    name: str
    severity: int
    seed: int
    textures: Textures

    def __post_init__(self) -> None:
        require_known([self.name], [self.severity])
        require_fit(self.images)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.images.shape

    def make(self, indices: np.ndarray) -> np.ndarray:
        return corrupt(self.images[indices], self.name, self.severity, self.seed, indices, self.textures)
