"""What stays the same while a model is attacked, and one batch of an attack."""

import dataclasses
import time
from collections.abc import Callable

import numpy as np
import torch

from doublevit.adversarial.plan import Stage
from doublevit.adversarial.standing import Outcome
from doublevit.attacks.balls import require_inside
from doublevit.attacks.config import ATTACKS, AttackConfig
from doublevit.attacks.draws import Draws
from doublevit.attacks.interface import Attack, Samples
from doublevit.attacks.victim import Victim, require_pixels
from doublevit.data.batches import gather
from doublevit.data.dataset import Dataset
from doublevit.evaluate import ranking
from doublevit.models.classifier import Classifier
from doublevit.results import Predictions


@dataclasses.dataclass(frozen=True)
class Setting:
    """A model under attack.

    `prepare` makes bytes (B, 3, H, W) the floats in [0, 1] that epsilon applies to, at the photos' own resolution or at
    the network's. `seed` decides every draw.
    """

    victim: Victim
    dataset: Dataset
    prepare: Callable[[torch.Tensor], torch.Tensor]
    norm: str
    seed: int

    def samples(self, indices: np.ndarray, repeat: int = 0) -> Samples:
        """Photos as an attack gets them."""
        batch = gather(self.dataset, indices).to(self.victim.device)
        images = self.prepare(batch.images)
        require_pixels(images)
        return Samples(images, batch.labels, Draws(self.seed, indices, repeat))

    def answers(self, samples: Samples) -> tuple[Predictions, int]:
        """What the model says of images; of how many no finite numbers: that counts as any class but the right one."""
        logits = self.victim.predict(samples.images)
        finite = torch.isfinite(logits).all(dim=1, keepdim=True)
        wrong = torch.zeros_like(logits).scatter(1, samples.labels[:, None], -1)
        logits = torch.where(finite, logits, wrong)
        said = Predictions(samples.labels.cpu().numpy(), *ranking(logits, samples.labels))
        return said, int((~finite).sum())


def make_setting(model: Classifier, dataset: Dataset, config: AttackConfig, seed: int) -> Setting:
    """A model as attacks see it."""
    victim = Victim(model)

    def prepare(images: torch.Tensor) -> torch.Tensor:
        pixels = images.float() / 255
        return model.resize(pixels) if config.space == "input" else pixels

    return Setting(victim, dataset, prepare, config.norm, seed)


def attack_batch(
    setting: Setting, attack: Attack, turn: tuple[Stage, int], indices: np.ndarray, clean: Predictions
) -> tuple[Outcome, torch.Tensor]:
    """Attack some samples that stand; also the images with which they fell, or the last that were tried.

    A fresh prediction on each image decides, after a look whether it is in the ball (if it has one) and in the box.
    `turn` is the stage and which of its repetitions; `clean`, what was predicted for every photo of the data set.
    """
    stage, repeat = turn
    start, samples = time.perf_counter(), setting.samples(indices, repeat)
    norm = setting.norm if ATTACKS[stage.attack].norms else None
    worst, damaged = samples.images.clone(), 0
    fell, answers = np.full(len(samples), np.inf), clean.at(indices)
    for epsilon, moved in zip(stage.epsilons, attack(setting.victim, samples, stage.epsilons), strict=True):
        images, broken = require_valid(moved, samples.images, norm, epsilon)
        places = np.flatnonzero(np.isinf(fell))  # what has fallen stays as it fell
        some = torch.from_numpy(places).to(images.device)
        worst[some] = images[some]
        said, silent = setting.answers(dataclasses.replace(samples.at(some), images=images[some]))
        damaged = max(damaged, broken + silent)
        answers.put(places, said)
        fell[places[~said.hits(1)]] = epsilon
    return Outcome(indices, fell, answers, damaged, round(time.perf_counter() - start, 3)), worst


def require_valid(
    images: torch.Tensor, photos: torch.Tensor, norm: str | None, epsilon: float
) -> tuple[torch.Tensor, int]:
    """What an attack made of photos, and how many came back as no image: gradients that are not finite make these.

    They are taken for the photos. Raises `OutsideError` where an image is outside the ball (if it has one) or the box.
    """
    whole = torch.isfinite(images).flatten(1).all(dim=1)
    images = torch.where(whole.view(-1, 1, 1, 1), images, photos)
    require_inside(images, photos, norm, epsilon)
    return images, int((~whole).sum())
