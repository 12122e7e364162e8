"""What is looked at on a few images before the attacks: whether the model can be attacked at all."""

import numpy as np
import torch
from torch import nn

from doublevit.attacks import checks
from doublevit.attacks.catalogue import parts_of
from doublevit.attacks.checks import Finding
from doublevit.attacks.config import AttackConfig
from doublevit.attacks.foolbox_hyperparameters import Pgd
from doublevit.attacks.hyperparameters import Hyperparameters
from doublevit.attacks.make import make_attack
from doublevit.evaluators.attacks.runner import Target
from doublevit.evaluators.prediction import predict
from doublevit.runs.predictions import Predictions

IMAGES = 32
STRONG = Hyperparameters(pgd=Pgd(steps=10, relative_step=0.25))  # crosses the ball, unlike Foolbox's 10 steps of 1/30


class AttackedModel(nn.Module):
    """Bytes (B, 3, H, W) to logits as attacks see them: as floats, prepared, in float32."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.victim, self.prepare = target.victim, target.prepare

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.victim(self.prepare(images))


def clean_predictions(target: Target, batch_size: int) -> Predictions:
    """Predictions for every image, as attacks see the model."""
    title = "clean, as attacks see it"
    return predict(AttackedModel(target), target.dataset, torch.float32, batch_size, title=title).predictions


def findings_before(target: Target, config: AttackConfig, correct: np.ndarray, clean: Predictions) -> list[Finding]:
    """Named signs of a broken evaluation; `correct` bool (N,): images that are right in an ordinary evaluation."""
    found = [*checks.clean_path(correct, clean.correct(1)), *_found_on_few(target, clean)]
    if all(part.endswith("-eot") for name in config.names for part in parts_of(name)):  # which are for random models
        found = [finding for finding in found if finding.name != "random-output"]
    for name in config.names:
        found += checks.short_steps(name, config.parameters.gradient_steps(name, config.norm))
    return checks.distinct(found)


def _found_on_few(target: Target, clean: Predictions) -> list[Finding]:
    """Checks on images that are right, spread over the data set; on any where none is."""
    right = clean.correct(1)
    indices = np.flatnonzero(right) if right.any() else np.arange(len(right))
    samples = target.samples(indices[np.unique(np.linspace(0, len(indices) - 1, IMAGES).astype(np.int64))])
    strong = make_attack("pgd", target.norm, STRONG)
    return checks.check_model(target.victim, samples, target.norm, strong if right.any() else None)
