"""The operations by name, their strengths, and their application to a batch in which each image has its own.

An amount is in the unit of its operation and comes from a scale: timm's for AugMix and RandAugment, torchvision's
"wide" one for TrivialAugment. The functions of a scale take a level in 0..1 and a sign, 1 or -1, float64 (n,) each.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator

import numpy as np
import torch

from doublevit.augment import shifts, tone, warp
from doublevit.augment.draws import choose, signs
from doublevit.augment.pixels import BICUBIC, BILINEAR, put_rows


@dataclasses.dataclass(frozen=True)
class Applied:
    """One operation for each of n images.

    `code` (its index in NAMES, -1 for none), `amount` and `interpolation` (where it interpolates) are arrays (n,);
    `fill` is the level of pixels from outside the image.
    """

    code: np.ndarray
    amount: np.ndarray
    interpolation: np.ndarray
    fill: int


# Each operation's function, and the format of its description.
COLOR_OPERATIONS: dict[str, tuple[Callable[[torch.Tensor, np.ndarray], torch.Tensor], str]] = {
    "autocontrast": (tone.autocontrast, "autocontrast"),
    "equalize": (tone.equalize, "equalize"),
    "invert": (tone.invert, "invert"),
    "posterize": (tone.posterize, "posterize to {:.0f} bits"),
    "solarize": (tone.solarize, "solarize from {:.0f}"),
    "solarize-add": (tone.solarize_add, "solarize-add {:.0f}"),
    "brightness": (tone.brightness, "brightness x {:.2f}"),
    "contrast": (tone.contrast, "contrast x {:.2f}"),
    "color": (tone.color, "color x {:.2f}"),
    "sharpness": (tone.sharpness, "sharpness x {:.2f}"),
    "hue": (tone.hue, "hue {:+.3f}"),
}
GEOMETRIC_OPERATIONS: dict[str, tuple[Callable[..., torch.Tensor], str]] = {
    "rotate": (warp.rotate, "rotate {:+.0f}°"),
    "shear-x": (shifts.shear_x, "shear-x {:+.2f}"),
    "shear-y": (shifts.shear_y, "shear-y {:+.2f}"),
    "translate-x": (shifts.translate_x, "translate-x {:+.0%}"),
    "translate-y": (shifts.translate_y, "translate-y {:+.0%}"),
}
NAMES = (*COLOR_OPERATIONS, *GEOMETRIC_OPERATIONS)
CPU_CHUNK = 2**18  # float32 values that fit into the cache of a processor core: 21 images of 64 x 64


def apply_operations(images: torch.Tensor, applied: Applied, into: torch.Tensor) -> None:
    """Apply each image's operation and write the result to `into`, whose images without an operation stay unchanged.

    Args:
        images: uint8 (m, 3, H, W), contiguous; may be `into` itself.
        applied: the operations of n images.
        into: uint8 (n, 3, H, W), contiguous, n a multiple of m: results of the same image are consecutive.
    """
    copies = len(into) // len(images)
    for chosen, kernel in _kernels(applied):
        for rows in np.array_split(chosen, _pieces(len(chosen), images)):
            index = torch.from_numpy(np.stack([rows, rows // copies])).to(images.device)
            put_rows(into, index[0], kernel(images.index_select(0, index[1]), applied.amount[rows]))


def _kernels(applied: Applied) -> Iterator[tuple[np.ndarray, Callable[[torch.Tensor, np.ndarray], torch.Tensor]]]:
    """Yield each operation that occurs, as the indices of its images and the function to apply to them."""
    for code in np.unique(applied.code[applied.code >= 0]):
        name, chosen = NAMES[code], np.flatnonzero(applied.code == code)
        if name in COLOR_OPERATIONS:
            yield chosen, COLOR_OPERATIONS[name][0]
        else:
            interpolation = applied.interpolation[chosen]
            for kind in np.unique(interpolation):
                kernel = functools.partial(GEOMETRIC_OPERATIONS[name][0], interpolation=int(kind), fill=applied.fill)
                yield chosen[interpolation == kind], kernel


def _pieces(count: int, images: torch.Tensor) -> int:
    """Return the number of chunks to work in: on a CPU each should fit into its cache."""
    return 1 if images.device.type != "cpu" else min(count, -(-count * images[0].numel() // CPU_CHUNK))


def describe_operation(name: str, amount: float) -> str:
    """Describe an operation and its amount."""
    if name.startswith("translate"):
        amount = -amount  # it points to the source; people expect where the image moves
    return (COLOR_OPERATIONS | GEOMETRIC_OPERATIONS)[name][1].format(amount)


Scale = dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]
GRAY, BLACK = 128, 0
PER_OPERATION = 4  # uniform numbers: operation, sign, interpolation, strength


def _away_from_one(level: np.ndarray, sign: np.ndarray) -> np.ndarray:
    return np.maximum(0.1, 1 + 0.9 * level * sign)


def _away_from_one_wide(level: np.ndarray, sign: np.ndarray) -> np.ndarray:
    return 1 + 0.99 * level * sign


def _no_amount(level: np.ndarray, sign: np.ndarray) -> np.ndarray:
    return np.zeros_like(level)


# timm's "increasing" variants. At level 1 its posterize keeps no bit, which Pillow 13 refuses: here it keeps one.
TIMM: Scale = {
    "autocontrast": _no_amount,
    "equalize": _no_amount,
    "invert": _no_amount,
    "rotate": lambda level, sign: 30 * level * sign,
    "posterize": lambda level, sign: np.maximum(1, 4 - np.floor(4 * level)),
    "solarize": lambda level, sign: 256 - np.floor(256 * level),
    "solarize-add": lambda level, sign: np.floor(110 * level),
    "color": _away_from_one,
    "contrast": _away_from_one,
    "brightness": _away_from_one,
    "sharpness": _away_from_one,
    "shear-x": lambda level, sign: 0.3 * level * sign,
    "shear-y": lambda level, sign: 0.3 * level * sign,
    "translate-x": lambda level, sign: 0.45 * level * sign,
    "translate-y": lambda level, sign: 0.45 * level * sign,
}

# TrivialAugment's wide space, with torchvision's numbers; translations reach 32 pixels at any size.
WIDE: Scale = {
    "identity": _no_amount,
    "autocontrast": _no_amount,
    "equalize": _no_amount,
    "rotate": lambda level, sign: 135 * level * sign,
    "posterize": lambda level, sign: 8 - np.round(6 * level),
    "solarize": lambda level, sign: 255 - 255 * level,
    "color": _away_from_one_wide,
    "contrast": _away_from_one_wide,
    "brightness": _away_from_one_wide,
    "sharpness": _away_from_one_wide,
    "shear-x": lambda level, sign: 0.99 * level * sign,
    "shear-y": lambda level, sign: 0.99 * level * sign,
    "translate-x": lambda level, sign: np.trunc(32 * level) * sign,
    "translate-y": lambda level, sign: np.trunc(32 * level) * sign,
}


def choose_operations(draws: np.ndarray, level: np.ndarray, names: tuple[str, ...], scale: Scale, fill: int) -> Applied:
    """Choose an operation for each image.

    Args:
        draws: (n, 3) or wider: operation, sign, interpolation (bilinear or bicubic, as in timm).
        level: strength in 0..1, float64 (n,).
        names: operations to choose from, all equally likely.
        scale: maps levels to amounts.
        fill: level of pixels from outside the image.
    """
    chosen, sign = choose(draws[:, 0], len(names)), signs(draws[:, 1])
    amounts = np.stack([scale[name](level, sign) for name in names])
    codes = np.array([NAMES.index(name) if name in NAMES else -1 for name in names])
    interpolation = np.where(draws[:, 2] < 0.5, BILINEAR, BICUBIC)
    return Applied(codes[chosen], amounts[chosen, np.arange(len(level))], interpolation, fill)


def apply_steps(images: torch.Tensor, steps: list[Applied]) -> torch.Tensor:
    """Apply steps one after the other to a copy of images, uint8 (n, 3, H, W), and return it."""
    images = images.clone(memory_format=torch.contiguous_format)
    for step in steps:
        apply_operations(images, step, images)
    return images


def describe_step(applied: Applied, row: int) -> str:
    """Describe the operation on image `row`; "" if there is none."""
    code = applied.code[row]
    return describe_operation(NAMES[code], float(applied.amount[row])) if code >= 0 else ""
