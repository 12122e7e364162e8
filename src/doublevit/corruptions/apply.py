"""Every corruption by its published name, and corrupting images: all at once, or when they are looked at."""

import dataclasses
from collections.abc import Callable

import numpy as np

from doublevit.corruptions import blur, digital, elastic, noise, spatter, weather
from doublevit.corruptions.config import require_known, table_for
from doublevit.corruptions.draws import CorruptionDraws
from doublevit.corruptions.textures import Textures, generated
from doublevit.corruptions.weather import require_room
from doublevit.errors import UserError
from doublevit.images import Images, MadeOnDemand

DrawFunction = Callable[..., dict[str, np.ndarray]]
"""(draws, images, constants) -> what `apply` takes by name; with textures, where there are any."""
ApplyFunction = Callable[..., np.ndarray]
"""(images uint8 (N, H, W, 3), constants, what was drawn by name) -> uint8 (N, H, W, 3)."""
PIECE = 16 * 64 * 64 * 3  # bytes of images at a time: with what is made of them they stay in a cache
LEAST_SIDE = 32  # of images: the widest of the small images' kernels, of snow at its strongest, reaches 28 pixels


def draw_nothing(draws: CorruptionDraws, images: np.ndarray, constants: object) -> dict[str, np.ndarray]:
    """For a corruption that leaves nothing to chance."""
    return {}


@dataclasses.dataclass(frozen=True)
class CorruptionFunctions:
    """`apply` makes the pictures; all that is random about them comes from `draw`; both may want frost textures."""

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
    "elastic_transform": CorruptionFunctions(elastic.elastic_transform, elastic.draw_displacements),
    "pixelate": CorruptionFunctions(digital.pixelate),
    "jpeg_compression": CorruptionFunctions(digital.jpeg_compression),
    "speckle_noise": CorruptionFunctions(noise.speckle_noise, noise.draw_normal),
    "gaussian_blur": CorruptionFunctions(blur.gaussian_blur),
    "spatter": CorruptionFunctions(spatter.spatter, spatter.draw_liquid),
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
    """A corruption of images, with the constants for their size; the same picture for the same (seed, index) always.

    Args:
        images: uint8 (N, H, W, 3).
        name: one of `CORRUPTIONS`.
        severity: 1 (weakest) to 5.
        seed: of every random number, 0 or more.
        indices: what each image's random numbers are drawn from, int (N,), 0 or more; if not given, its place.
        textures: for frost; if not given, generated ones.

    Returns:
        uint8 (N, H, W, 3).

    Raises:
        UserError: there is no such corruption or severity, or the images are of another kind, too small, or larger
            than the textures.
        ValueError: the seed or an index is negative.
    """
    require_known([name], [severity])
    if textures is None and CORRUPTIONS[name].wants_textures:
        textures = generated()
    require_fit(images, name, textures)
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


def require_fit(images: Images, name: str, textures: Textures | None) -> None:
    """Raise `UserError` unless these are images uint8 (N, H, W, 3) of a size that the corruption can be made of."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise UserError(f"corruptions want images as uint8 (N, H, W, 3), found {images.dtype} {images.shape}")
    height, width = images.shape[1:3]
    if min(height, width) < LEAST_SIDE:
        raise UserError(
            f"images of {width} x {height} pixels are smaller than the corruptions' kernels: expected at least"
            f" {LEAST_SIDE} x {LEAST_SIDE}"
        )
    if textures is not None and CORRUPTIONS[name].wants_textures:
        require_room(textures, table_for(height, width).constants[name][0][-1], height, width)


def _corrupt_piece(images: np.ndarray, draws: CorruptionDraws, textures: Textures | None) -> np.ndarray:
    corruption = CORRUPTIONS[draws.corruption]
    constants = table_for(*images.shape[1:3]).constants[draws.corruption][draws.severity - 1]
    beside = {"textures": textures} if corruption.wants_textures else {}
    drawn = corruption.draw(draws, images, constants, **beside)
    return corruption.apply(images, constants, **drawn, **beside)


@dataclasses.dataclass(frozen=True, eq=False)
class CorruptedImages(MadeOnDemand):
    """`images`, corrupted.

    Raises:
        UserError: there is no such corruption or severity, or the images are of another kind, too small, or too large.
    """

    images: Images
    name: str
    severity: int
    seed: int
    textures: Textures

    def __post_init__(self) -> None:
        require_known([self.name], [self.severity])
        require_fit(self.images, self.name, self.textures)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.images.shape

    def make(self, indices: np.ndarray) -> np.ndarray:
        return corrupt(self.images[indices], self.name, self.severity, self.seed, indices, self.textures)
