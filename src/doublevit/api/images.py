"""Images corrupted or attacked, from Python: arrays and tensors in, the same kind out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from doublevit.attacks.catalogue import parts_of
from doublevit.attacks.config import AttackConfig
from doublevit.attacks.draws import AttackDraws
from doublevit.attacks.epsilons import parse_epsilon
from doublevit.attacks.interface import Samples
from doublevit.attacks.make import make_attack
from doublevit.attacks.victim import Victim, frozen
from doublevit.corruptions import require_known
from doublevit.corruptions.apply import CorruptedImages, require_fit
from doublevit.corruptions.textures import generated
from doublevit.device import device_of
from doublevit.errors import UserError


def corrupt(images: Any, name: str, severity: int = 1, seed: int = 0) -> np.ndarray:
    """Corrupt images as ImageNet-C and Tiny-ImageNet-C do.

    Args:
        images: uint8 (N, H, W, 3) or (H, W, 3), or a PIL image; constants are those of the size (up to 64 pixels, or
            larger).
        name: a corruption, such as "fog"; docs/robustness.md names all nineteen.
        severity: 1 (weakest) to 5.
        seed: decides every draw, with name, severity and the image's index.

    Returns:
        uint8 of the same shape.

    Raises:
        UserError: there is no such corruption or severity, or it cannot be made at this size.

    Example:
        >>> import doublevit, numpy
        >>> images = numpy.full((2, 64, 64, 3), 128, numpy.uint8)
        >>> doublevit.corrupt(images, "gaussian_noise", severity=3).shape
        (2, 64, 64, 3)
    """
    require_known((name,), (severity,))
    pixels = np.asarray(images)
    batch = pixels if pixels.ndim == 4 else pixels[None]
    textures = generated()
    require_fit(batch)
    corrupted = CorruptedImages(batch, name, severity, seed, textures)[np.arange(len(batch))]
    return corrupted if pixels.ndim == 4 else corrupted[0]


def attack(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor | Sequence[int],
    name: str = "pgd",
    epsilon: float | str = "1/255",
    norm: str = "linf",
    seed: int = 0,
) -> torch.Tensor:
    """Perturb images so that a model errs on them, within a ball around each.

    Args:
        model: images (B, 3, H, W), float in [0, 1] -> logits; a `Model`, whose preprocessing is inside.
        images: (B, 3, H, W), float in [0, 1] or uint8.
        labels: the true classes, (B,).
        name: an attack, such as "pgd", "fgsm" or "apgd-ce"; `doublevit recipes` lists them.
        epsilon: size of the ball in units of the pixel range, as 0.004 or "1/255".
        norm: "linf", "l2" or "l1".
        seed: decides every draw.

    Returns:
        Float images (B, 3, H, W) in [0, 1], within the ball; where the attack found nothing, they may be as they were.

    Raises:
        UserError: there is no such attack, norm or epsilon.

    Example:
        >>> import doublevit, torch
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
        >>> model = doublevit.wrap(network, mean=(0.5,) * 3, std=(0.5,) * 3, size=8)
        >>> images = torch.rand(4, 3, 8, 8)
        >>> perturbed = doublevit.attack(model, images, [0, 1, 0, 1], "fgsm", epsilon="2/255")
        >>> bool((perturbed - images).abs().max() <= 2 / 255 + 1e-6)
        True
    """
    targets, config = torch.as_tensor(labels), _attack_config(name, norm, epsilon)
    if targets.is_floating_point() or targets.ndim != 1 or (len(targets) and targets.min() < 0):
        raise UserError(f"expected labels as whole numbers from 0, (B,), found {targets.dtype} {tuple(targets.shape)}")
    if len(labels) != len(images) or images.ndim != 4:
        raise UserError(
            f"expected images (B, 3, H, W) and a label for each, found {tuple(images.shape)}, {len(labels)}"
        )
    device = device_of(model)
    pixels = (images.float() / 255 if images.dtype == torch.uint8 else images).to(device)
    samples = Samples(pixels, targets.to(device), AttackDraws(seed, np.arange(len(pixels))))
    run, size = make_attack(name, norm, config.parameters), parse_epsilon(str(epsilon), norm)
    with frozen(model.eval()):
        (perturbed,) = run(Victim(model), samples, [size])
    return perturbed


def _attack_config(name: str, norm: str, epsilon: float | str) -> AttackConfig:
    """Return the options of a single attack.

    Raises:
        UserError: there is no such attack, norm or epsilon, or it is an ensemble.
    """
    config = AttackConfig((name,), norm=norm, epsilons=(str(epsilon),))  # type: ignore[arg-type]  # checked there
    if len(parts_of(name)) > 1:
        raise UserError(f"{name} is several attacks in a row: choose one of {', '.join(parts_of(name))}, or evaluate")
    return config
