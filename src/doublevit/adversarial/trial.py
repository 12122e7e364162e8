"""What is looked at on a few photos before the attacks: whether the model can be attacked at all."""

import numpy as np
import torch
from torch import nn

from doublevit.adversarial.setting import Setting
from doublevit.attacks import checks
from doublevit.attacks.checks import Finding
from doublevit.attacks.config import AttackConfig, parts_of
from doublevit.attacks.knobs.parameters import Parameters
from doublevit.attacks.knobs.white_box import Pgd
from doublevit.attacks.make import make
from doublevit.evaluate import predict
from doublevit.results import Predictions

PHOTOS = 32
STRONG = Parameters(pgd=Pgd(steps=10, relative_step=0.25))  # crosses the ball, which Foolbox's 10 steps of 1/30 do not


class AttacksWay(nn.Module):
    """Bytes (B, 3, H, W) to logits by the way that attacks take: as floats, prepared, in float32."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.victim, self.prepare = setting.victim, setting.prepare

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.victim(self.prepare(images))


def clean_predictions(setting: Setting, batch_size: int) -> Predictions:
    """What the model says of every photo by the attacks' way."""
    title = "clean, as attacks see it"
    return predict(AttacksWay(setting), setting.dataset, torch.float32, batch_size, title=title).predictions


def findings_before(setting: Setting, config: AttackConfig, usual: np.ndarray, clean: Predictions) -> list[Finding]:
    """Named signs of a broken evaluation; `usual` bool (N,) says which photos are right when evaluated as always."""
    found = [*checks.clean_path(usual, clean.hits(1)), *_found_on_few(setting, clean)]
    if all(part.endswith("-eot") for name in config.names for part in parts_of(name)):  # which are for random models
        found = [finding for finding in found if finding.name != "random-output"]
    for name in config.names:
        found += checks.short_steps(name, config.parameters.steps_of(name, config.norm))
    return checks.distinct(found)


def _found_on_few(setting: Setting, clean: Predictions) -> list[Finding]:
    """On photos that are right, spread over the data set; on any where none is."""
    right = clean.hits(1)
    places = np.flatnonzero(right) if right.any() else np.arange(len(right))
    samples = setting.samples(places[np.unique(np.linspace(0, len(places) - 1, PHOTOS).astype(np.int64))])
    strong = make("pgd", setting.norm, STRONG)
    return checks.before(setting.victim, samples, setting.norm, strong if right.any() else None)
