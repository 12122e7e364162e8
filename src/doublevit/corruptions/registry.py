"""Every corruption by its published name: what it draws, and what it does."""

import dataclasses
from collections.abc import Callable

import numpy as np

from doublevit.corruptions import blur, colour, digital, elastic, fog, frost, glass, motion, noise, snow, spatter
from doublevit.corruptions.draws import Draws

DrawFunction = Callable[..., dict[str, np.ndarray]]
"""(draws, images, constants) -> what `apply` takes by name; with textures, where there are any."""
ApplyFunction = Callable[..., np.ndarray]
"""(images uint8 (N, H, W, 3), constants, what was drawn by name) -> uint8 (N, H, W, 3)."""


def nothing(draws: Draws, images: np.ndarray, constants: object) -> dict[str, np.ndarray]:
    """For a corruption that leaves nothing to chance."""
    return {}


@dataclasses.dataclass(frozen=True)
class Corruption:
    """`apply` makes the pictures; all that is random about them comes from `draw`; both may want frost textures."""

    apply: ApplyFunction
    draw: DrawFunction = nothing
    wants_textures: bool = False


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": Corruption(noise.gaussian_noise, noise.draw_normal),
    "shot_noise": Corruption(noise.shot_noise, noise.draw_counts),
    "impulse_noise": Corruption(noise.impulse_noise, noise.draw_impulses),
    "defocus_blur": Corruption(blur.defocus_blur),
    "glass_blur": Corruption(glass.glass_blur, glass.draw_shifts),
    "motion_blur": Corruption(motion.motion_blur, motion.draw_angle),
    "zoom_blur": Corruption(blur.zoom_blur),
    "snow": Corruption(snow.snow, snow.draw_flakes),
    "frost": Corruption(frost.frost, frost.draw_crops, wants_textures=True),
    "fog": Corruption(fog.fog, fog.draw_plasma),
    "brightness": Corruption(colour.brightness),
    "contrast": Corruption(digital.contrast),
    "elastic_transform": Corruption(elastic.elastic_transform, elastic.draw_displacements),
    "pixelate": Corruption(digital.pixelate),
    "jpeg_compression": Corruption(digital.jpeg_compression),
    "speckle_noise": Corruption(noise.speckle_noise, noise.draw_normal),
    "gaussian_blur": Corruption(blur.gaussian_blur),
    "spatter": Corruption(spatter.spatter, spatter.draw_liquid),
    "saturate": Corruption(colour.saturate),
}
