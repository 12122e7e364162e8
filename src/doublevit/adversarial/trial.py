"""What is looked at on a few photos before the attacks: whether the model can be attacked at all, and in 16 bits."""

import dataclasses
import statistics

import numpy as np
import torch
from torch import nn

from doublevit.adversarial.setting import Setting
from doublevit.attacks import checks
from doublevit.attacks.checks import Finding
from doublevit.attacks.config import AttackConfig
from doublevit.attacks.interface import Attack, Samples
from doublevit.attacks.knobs.parameters import Parameters
from doublevit.attacks.knobs.white_box import Pgd
from doublevit.attacks.make import make
from doublevit.attacks.victim import Victim
from doublevit.evaluate import predict
from doublevit.results import Predictions

PHOTOS = 32
STRONG = Parameters(pgd=Pgd(steps=10, relative_step=0.25))  # crosses the ball, which Foolbox's 10 steps of 1/30 do not


class AttacksWay(nn.Module):
    """Bytes (B, 3, H, W) to logits by the way that attacks take: as floats, prepared, in float32."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.judge, self.prepare = setting.judge, setting.prepare

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.judge(self.prepare(images))


def clean_predictions(setting: Setting, batch_size: int) -> Predictions:
    """What the model says of every photo by the attacks' way."""
    title = "clean, as attacks see it"
    return predict(AttacksWay(setting), setting.dataset, torch.float32, batch_size, title=title).predictions


def findings_before(setting: Setting, config: AttackConfig, usual: np.ndarray, clean: Predictions) -> list[Finding]:
    """Named signs of a broken evaluation; `usual` bool (N,) says which photos are right when evaluated as always."""
    samples, right = _few(setting, clean)
    short = [
        found for name in config.names for found in checks.short_steps(name, config.norm, config.parameters.of(name))
    ]
    found = checks.before(setting.victim, samples, right, setting.norm, make("pgd", setting.norm, STRONG))
    return checks.distinct([*checks.clean_path(usual, clean.hits(1)), *found, *short])


def half_precision_is_as_good(setting: Setting, half: Victim, clean: Predictions, sizes: tuple[float, ...]) -> bool:
    """Whether gradients in 16 bits fell as many of a few photos, to one, as those in 32; float32 decides which fall."""
    samples, right = _few(setting, clean)
    standing, attack = samples.at(right.nonzero()[:, 0]), make("pgd", setting.norm, STRONG)
    epsilon = statistics.median_high([size for size in sizes if size] or [1 / 255])
    fallen = [
        _fallen(dataclasses.replace(setting, victim=victim), standing, attack, epsilon)
        for victim in (setting.judge, half)
    ]
    return fallen[1] >= fallen[0] - 1


def _fallen(setting: Setting, samples: Samples, attack: Attack, epsilon: float) -> int:
    (images,) = attack(setting.victim, samples, [epsilon])
    return int((~setting.answers(dataclasses.replace(samples, images=torch.nan_to_num(images))).hits(1)).sum())


def _few(setting: Setting, clean: Predictions) -> tuple[Samples, torch.Tensor]:
    """Photos spread over the data set, and which of them are right."""
    indices = np.unique(np.linspace(0, len(setting.dataset) - 1, PHOTOS).astype(np.int64))
    return setting.samples(indices), torch.from_numpy(clean.hits(1)[indices]).to(setting.judge.device)
