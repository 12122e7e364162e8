"""The operations by name, and the doing of them where each image has its own."""

import dataclasses
import functools
from collections.abc import Callable, Iterator

import numpy as np
import torch

from doublevit.augment import enhance, geometry, tone
from doublevit.augment.levels import put_rows


@dataclasses.dataclass(frozen=True)
class Applied:
    """One operation for each of n images.

    `code`: its name's place in NAMES, -1 for none; `amount`; `interpolation`, where it has one: each an array (n,).
    `fill`: level of what comes from outside.
    """

    code: np.ndarray
    amount: np.ndarray
    interpolation: np.ndarray
    fill: int


# Each with how it is written on a contact sheet.
LEVELS: dict[str, tuple[Callable[[torch.Tensor, np.ndarray], torch.Tensor], str]] = {
    "autocontrast": (tone.autocontrast, "autocontrast"),
    "equalize": (tone.equalize, "equalize"),
    "invert": (tone.invert, "invert"),
    "posterize": (tone.posterize, "posterize to {:.0f} bits"),
    "solarize": (tone.solarize, "solarize from {:.0f}"),
    "solarize-add": (tone.solarize_add, "solarize-add {:.0f}"),
    "brightness": (enhance.brightness, "brightness x {:.2f}"),
    "contrast": (enhance.contrast, "contrast x {:.2f}"),
    "color": (enhance.color, "color x {:.2f}"),
    "sharpness": (enhance.sharpness, "sharpness x {:.2f}"),
    "hue": (enhance.hue, "hue {:+.3f}"),
}
PLACES: dict[str, tuple[Callable[..., torch.Tensor], str]] = {
    "rotate": (geometry.rotate, "rotate {:+.0f}°"),
    "shear-x": (geometry.shear_x, "shear-x {:+.2f}"),
    "shear-y": (geometry.shear_y, "shear-y {:+.2f}"),
    "translate-x": (geometry.translate_x, "translate-x {:+.0%}"),
    "translate-y": (geometry.translate_y, "translate-y {:+.0%}"),
}
NAMES = (*LEVELS, *PLACES)
CACHED = 2**18  # values of float32 that stay in the cache of a processor core: 21 photos of 64 x 64


def apply_operations(images: torch.Tensor, applied: Applied, into: torch.Tensor) -> None:
    """Write what its operation makes of each image to `into`, where images without one are left alone.

    Args:
        images: uint8 (m, 3, H, W), contiguous; may be `into` itself.
        applied: the operations of n images.
        into: uint8 (n, 3, H, W), contiguous. Where n is several times m, each image is followed by its copies.
    """
    copies = len(into) // len(images)
    for chosen, kernel in _kernels(applied):
        for rows in np.array_split(chosen, _pieces(len(chosen), images)):
            index = torch.from_numpy(np.stack([rows, rows // copies])).to(images.device)
            put_rows(into, index[0], kernel(images.index_select(0, index[1]), applied.amount[rows]))


def _kernels(applied: Applied) -> Iterator[tuple[np.ndarray, Callable[[torch.Tensor, np.ndarray], torch.Tensor]]]:
    """The operations that occur, each with the rows that have it."""
    for code in np.unique(applied.code[applied.code >= 0]):
        name, chosen = NAMES[code], np.flatnonzero(applied.code == code)
        if name in LEVELS:
            yield chosen, LEVELS[name][0]
        else:
            interpolation = applied.interpolation[chosen]
            for kind in np.unique(interpolation):
                kernel = functools.partial(PLACES[name][0], interpolation=int(kind), fill=applied.fill)
                yield chosen[interpolation == kind], kernel


def _pieces(count: int, images: torch.Tensor) -> int:
    """How many parts to work in: on a CPU small ones, that stay in its cache."""
    return 1 if images.device.type != "cpu" else min(count, -(-count * images[0].numel() // CACHED))


def in_words(name: str, amount: float) -> str:
    """The operation and how much of it."""
    if name.startswith("translate"):
        amount = -amount  # it says where the source lies; people say where the photo goes
    return (LEVELS | PLACES)[name][1].format(amount)
