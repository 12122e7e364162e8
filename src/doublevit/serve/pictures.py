"""What the page shows of an image: attention, corruptions, attacks, each by the functions that measure them."""

import dataclasses

import numpy as np
import torch

from doublevit.attacks.draws import AttackDraws
from doublevit.attacks.foolbox_hyperparameters import Pgd
from doublevit.attacks.gradients import has_gradients
from doublevit.attacks.hyperparameters import Hyperparameters
from doublevit.attacks.interface import Samples
from doublevit.attacks.make import make_attack
from doublevit.attacks.victim import Victim, frozen
from doublevit.corruptions.apply import corrupt
from doublevit.errors import UserError
from doublevit.evaluators.attacks.gallery import amplified_difference, to_uint8
from doublevit.jobs.model import Model
from doublevit.models.attention_maps import attention_maps, has_maps
from doublevit.report.sheets import overlay
from doublevit.serve.predictor import Answer, best_classes

STEPS, RELATIVE_STEP = 10, 0.25  # of PGD: far enough to cross the ball in four
SEED = 0
TENTHS = range(1, 81)
"""The epsilons that are searched, in tenths of 1/255."""


@dataclasses.dataclass(frozen=True)
class Attacked:
    """An attacked image, uint8 (side, side, 3), the difference amplified, and what the model makes of it.

    The answer is that to the floats of the attack, which uint8 rounds.
    """

    levels: float
    image: np.ndarray
    difference: np.ndarray
    caption: str
    before: Answer
    after: Answer

    @property
    def fooled(self) -> bool:
        """Whether the first class is another now."""
        return self.before.classes[0] != self.after.classes[0]


def attention_overlays(model: Model, pixels: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Lay a model's attention over an image uint8 (side, side, 3): titles and overlays, rollout first.

    Raises:
        UserError: the network has no attention that lies over the image.
    """
    if not has_gradients(model):
        raise UserError(f"{model.info.name} runs as a whole and shows no attention: open the model that it was made of")
    if not has_maps(model.network):
        raise UserError(
            f"{model.info.name} has no attention that can be laid over an image, as ViT, DeiT, PiT and DoubleViT have"
        )
    maps = attention_maps(model.network, _batch(pixels).to(model.device))  # type: ignore[arg-type]  # has_maps says so
    maps.sort(key=lambda each: not each.title.startswith("rollout"))
    return [(each.title, overlay(pixels, each.weights.float().cpu().numpy())) for each in maps]


def corrupted(pixels: np.ndarray, name: str, severity: int) -> np.ndarray:
    """Corrupt an image uint8 (side, side, 3), as `doublevit evaluate` does.

    Raises:
        UserError: the corruption cannot be made at this size.
    """
    (image,) = corrupt(pixels[None], name, severity, SEED)
    return image


def attacked(model: Model, pixels: np.ndarray, levels: float, top: int) -> Attacked:
    """Attack an image uint8 (side, side, 3) by PGD, so that the model leaves its own first class.

    Args:
        model: the model.
        pixels: the image.
        levels: epsilon in Linf, in units of 1/255.
        top: how many classes answers have.

    Raises:
        UserError: the model has no gradients.
    """
    if not has_gradients(model):
        raise UserError(f"{model.info.name} has no gradients, which PGD follows: open the model that it was made of")
    image = (_batch(pixels).float() / 255).to(model.device)
    (before,) = best_classes(model, image, top)
    label = torch.tensor(before.classes[:1], device=model.device)
    pgd = make_attack("pgd", "linf", Hyperparameters(pgd=Pgd(steps=STEPS, relative_step=RELATIVE_STEP)))
    samples = Samples(image, label, AttackDraws(SEED, np.zeros(1, np.int64)))
    with frozen(model):
        (perturbed,) = pgd(Victim(model), samples, [levels / 255])
    (after,) = best_classes(model, perturbed, top)
    difference, caption = amplified_difference(image[0].cpu(), perturbed[0].cpu())
    return Attacked(levels, to_uint8(perturbed[0].cpu()), difference, caption, before, after)


def weakest_attack(model: Model, pixels: np.ndarray, top: int) -> Attacked:
    """Search the smallest epsilon, of tenths of 1/255, at which PGD fools the model; the largest if none does.

    Halving the range takes it for granted that a larger epsilon fools where a smaller one does.
    """
    low, high = TENTHS.start, TENTHS.stop - 1
    best = attacked(model, pixels, high / 10, top)
    while best.fooled and low < high:
        middle = (low + high) // 2
        found = attacked(model, pixels, middle / 10, top)
        if found.fooled:
            best, high = found, middle
        else:
            low = middle + 1
    return best


def _batch(pixels: np.ndarray) -> torch.Tensor:
    """Return an image uint8 (H, W, 3) as (1, 3, H, W)."""
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None]
