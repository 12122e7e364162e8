"""Pillow's operations by our names, through timm's and torchvision's functions: what ours are compared with."""

import numpy as np
import timm.data.auto_augment as timm
import torch
import torchvision.transforms.functional as torchvision
from PIL import Image

from doublevit.augment import shifts, tone, warp
from doublevit.augment.operations import NAMES, Applied
from doublevit.augment.pixels import BICUBIC, BILINEAR, NEAREST

FILL = (128, 128, 128)

PILLOW = {NEAREST: Image.Resampling.NEAREST, BILINEAR: Image.Resampling.BILINEAR, BICUBIC: Image.Resampling.BICUBIC}
DRAW = np.random.default_rng(0)
BITS, LEVEL = DRAW.integers(1, 9, 200), np.concatenate([[0, 1, 255, 256], DRAW.integers(0, 257, 196)])
FACTOR, TURN = np.concatenate([[0, 1], DRAW.uniform(0.1, 1.9, 198)]), DRAW.uniform(-0.5, 0.5, 200)
EXACT = {
    "autocontrast": (tone.autocontrast, timm.auto_contrast, np.zeros(200)),
    "equalize": (tone.equalize, timm.equalize, np.zeros(200)),
    "invert": (tone.invert, timm.invert, np.zeros(200)),
    "posterize": (tone.posterize, timm.posterize, BITS),
    "solarize": (tone.solarize, timm.solarize, LEVEL),
    "solarize-add": (tone.solarize_add, timm.solarize_add, LEVEL // 2),
    "brightness": (tone.brightness, timm.brightness, FACTOR),
    "contrast": (tone.contrast, timm.contrast, FACTOR),
    "color": (tone.color, timm.color, FACTOR),
    "sharpness": (tone.sharpness, timm.sharpness, FACTOR),
    "hue": (tone.hue, torchvision.adjust_hue, TURN),
}
CLOSE = {
    "rotate": (warp.rotate, timm.rotate, DRAW.uniform(-180, 180, 200)),
    "shear-x": (shifts.shear_x, timm.shear_x, DRAW.uniform(-0.99, 0.99, 200)),
    "shear-y": (shifts.shear_y, timm.shear_y, DRAW.uniform(-0.99, 0.99, 200)),
    "translate-x": (shifts.translate_x, timm.translate_x_rel, DRAW.uniform(-1.2, 1.2, 200)),
    "translate-y": (shifts.translate_y, timm.translate_y_rel, DRAW.uniform(-1.2, 1.2, 200)),
}


def as_tensor(images: list[Image.Image]) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2).contiguous()


def argument(name: str, amount: float) -> list[float]:
    """As timm's function wants it."""
    if name in ("autocontrast", "equalize", "invert"):
        return []
    return [int(amount) if name.startswith(("posterize", "solarize")) else float(amount)]


def differences(ours: torch.Tensor, theirs: list[Image.Image]) -> np.ndarray:
    return np.abs(ours.numpy().astype(int) - as_tensor(theirs).numpy())


def done_by_pillow(image: Image.Image, steps: list[Applied], row: int) -> Image.Image:
    """The image after each step's operation of that row."""
    for step in steps:
        if step.code[row] >= 0:
            name, amount = NAMES[step.code[row]], step.amount[row]
            if name in EXACT:
                image = EXACT[name][1](image, *argument(name, amount))
            else:
                how = {"resample": PILLOW[int(step.interpolation[row])], "fillcolor": FILL}
                image = CLOSE[name][1](image, amount, **how)
    return image
