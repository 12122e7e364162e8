"""Corrupting photos: any number of them, in pieces that stay in the processor's cache."""

import numpy as np

from doublevit.corruptions.config import require_known, table_for
from doublevit.corruptions.draws import Draws
from doublevit.corruptions.frost import require_room
from doublevit.corruptions.registry import CORRUPTIONS
from doublevit.corruptions.textures import Textures, generated
from doublevit.errors import UserError
from doublevit.images import Images

PIECE = 16 * 64 * 64 * 3  # bytes of photos at a time: with what is made of them they stay in a cache
LEAST_SIDE = 32  # of photos: the widest of the small photos' kernels, of snow at its strongest, reaches 28 pixels


def corrupt(
    images: np.ndarray,
    name: str,
    severity: int,
    seed: int = 0,
    indices: np.ndarray | None = None,
    textures: Textures | None = None,
) -> np.ndarray:
    """A corruption of photos, with the constants for their size; the same picture for the same (seed, index) always.

    Args:
        images: uint8 (N, H, W, 3).
        name: one of `CORRUPTIONS`.
        severity: 1 (weakest) to 5.
        seed: of every random number, 0 or more.
        indices: what each photo's random numbers are drawn from, int (N,), 0 or more; if not given, its place.
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
        draws = Draws(seed, name, severity, indices[piece])
        out[piece] = _corrupt_piece(np.ascontiguousarray(images[piece]), draws, textures)
    return out


def require_fit(images: Images, name: str, textures: Textures | None) -> None:
    """Raise `UserError` unless these are photos uint8 (N, H, W, 3) of a size that the corruption can be made of."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise UserError(f"corruptions want photos as uint8 (N, H, W, 3), found {images.dtype} {images.shape}")
    height, width = images.shape[1:3]
    if min(height, width) < LEAST_SIDE:
        raise UserError(
            f"photos of {width} x {height} pixels are smaller than the corruptions' kernels: expected at least"
            f" {LEAST_SIDE} x {LEAST_SIDE}"
        )
    if textures is not None and CORRUPTIONS[name].wants_textures:
        require_room(textures, table_for(height, width).constants[name][0][-1], height, width)


def _corrupt_piece(images: np.ndarray, draws: Draws, textures: Textures | None) -> np.ndarray:
    corruption = CORRUPTIONS[draws.corruption]
    constants = table_for(*images.shape[1:3]).constants[draws.corruption][draws.severity - 1]
    beside = {"textures": textures} if corruption.wants_textures else {}
    drawn = corruption.draw(draws, images, constants, **beside)
    return corruption.apply(images, constants, **drawn, **beside)
