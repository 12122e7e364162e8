"""Corrupting photos: any number of them, in pieces that stay in the processor's cache."""

import numpy as np

from doublevit.corruptions.config import require_known, table_for
from doublevit.corruptions.draws import Draws
from doublevit.corruptions.registry import CORRUPTIONS
from doublevit.corruptions.textures import Textures, generated
from doublevit.errors import UserError
from doublevit.images import Images

PIECE = 16 * 64 * 64 * 3  # bytes of photos at a time: with what is made of them they stay in a cache
LEAST_SIDE = 16  # of photos; the widest of the small photos' kernels reaches 14 pixels


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
        UserError: there is no such corruption or severity, or the images are of another kind, or too small.
    """
    require_known([name], [severity])
    require_photos(images)
    indices = np.arange(len(images)) if indices is None else np.asarray(indices)
    textures = generated() if textures is None and CORRUPTIONS[name].wants_textures else textures
    step = max(1, PIECE // images[0].size) if len(images) else 1
    out = np.empty_like(images)
    for start in range(0, len(images), step):
        piece = slice(start, start + step)
        draws = Draws(seed, name, severity, indices[piece])
        out[piece] = _corrupt_piece(np.ascontiguousarray(images[piece]), draws, textures)
    return out


def _corrupt_piece(images: np.ndarray, draws: Draws, textures: Textures | None) -> np.ndarray:
    corruption = CORRUPTIONS[draws.corruption]
    constants = table_for(*images.shape[1:3]).constants[draws.corruption][draws.severity - 1]
    beside = {"textures": textures} if corruption.wants_textures else {}
    drawn = corruption.draw(draws, images, constants, **beside)
    return corruption.apply(images, constants, **drawn, **beside)


def require_photos(images: Images) -> None:
    """Raise `UserError` unless these are photos that can be corrupted: uint8 (N, H, W, 3), and not too small."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise UserError(f"corruptions want photos as uint8 (N, H, W, 3), found {images.dtype} {images.shape}")
    if min(images.shape[1:3]) < LEAST_SIDE:
        raise UserError(
            f"photos of {images.shape[2]} x {images.shape[1]} pixels are smaller than the corruptions' kernels:"
            f" expected at least {LEAST_SIDE} x {LEAST_SIDE}"
        )
