"""Sanity checks before the attacks: whether the model can be attacked at all, mostly on a few images."""

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
from doublevit.progress import bar
from doublevit.runs.predictions import Predictions

CHECKED_IMAGES = 32
STRONG_PGD = Hyperparameters(pgd=Pgd(steps=10, relative_step=0.25))  # these cross the ball; Foolbox's 10 of 1/30 do not


class AttackedModel(nn.Module):
    """A model that maps uint8 images (B, 3, H, W) to logits by the way that attacks take: as floats, in float32."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.victim, self.prepare = target.victim, target.prepare

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.victim(self.prepare(images))


def clean_predictions(target: Target, batch_size: int) -> Predictions:
    """Predict every clean image by the way that attacks take."""
    title = "clean, as attacks see it"
    return predict(AttackedModel(target), target.dataset, torch.float32, batch_size, title=title).predictions


def check_model(target: Target, config: AttackConfig, correct: np.ndarray, clean: Predictions) -> list[Finding]:
    """Return findings about a model before it is attacked.

    `correct` bool (N,): images that an ordinary evaluation gets right; `clean`: predictions of `clean_predictions`.
    """
    findings = [*checks.clean_path(correct, clean.correct(1)), *_check_few_images(target, clean)]
    # Attacks that average over random passes (EOT) are made for models with random output.
    if all(part.endswith("-eot") for name in config.names for part in parts_of(name)):
        findings = [finding for finding in findings if finding.name != "random-output"]
    for name in config.names:
        findings += checks.short_steps(name, config.parameters.gradient_steps(name, config.norm))
    return checks.distinct(findings)


def _check_few_images(target: Target, clean: Predictions) -> list[Finding]:
    """Check some images that the model gets right, spread over the data set, or any if it gets none right."""
    correct = clean.correct(1)
    indices = np.flatnonzero(correct) if correct.any() else np.arange(len(correct))
    samples = target.samples(indices[np.unique(np.linspace(0, len(indices) - 1, CHECKED_IMAGES).astype(np.int64))])
    strong = make_attack("pgd", target.norm, STRONG_PGD)
    with bar("checking the model before attacks", len(samples)) as progress:
        findings = list(checks.check_model(target.victim, samples, target.norm, strong if correct.any() else None))
        progress.advance(len(samples))
    return findings
