"""Auto-PGD: projected gradient ascent with momentum that chooses its own step sizes.

Croce and Hein (2020), "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
attacks", algorithm 1.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import torch

from doublevit.attacks.autoattack import losses
from doublevit.attacks.autoattack.climb import MOMENTUM, Climb, Point, checkpoints, direction
from doublevit.attacks.autoattack.remaining import Remaining, select
from doublevit.attacks.balls import project
from doublevit.attacks.interface import Samples
from doublevit.attacks.victim import Loss, Victim, cross_entropy
from doublevit.errors import UserError, unknown

NORMS = ("linf", "l2")
LOSSES = ("ce", "dlr", "dlr-targeted")


@dataclasses.dataclass(frozen=True)
class Apgd:
    """Auto-PGD in the norm "linf" or "l2" on the loss "ce", "dlr", or "dlr-targeted" at the likeliest other classes.

    `restarts` starts are drawn for each sample (and target). With `eot`, every step is by the mean of that many
    passes, for models that are random. Each epsilon is a run of its own, of the samples that no smaller one felled.

    Raises:
        UserError: there is no such norm or loss, a count is below 1, or, when it is called, there are too few classes.
    """

    norm: str = "linf"
    loss: str = "ce"
    steps: int = 100
    restarts: int = 1
    targets: int = 9
    eot: int = 1

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise unknown("norm of APGD", self.norm, NORMS)
        if self.loss not in LOSSES:
            raise unknown("loss of APGD", self.loss, LOSSES)
        if min(self.steps, self.restarts, self.targets, self.eot) < 1:
            raise UserError(f"expected steps, restarts, targets and eot of 1 or more, found {self}")

    @torch.no_grad()
    def __call__(self, victim: Victim, samples: Samples, epsilons: Sequence[float]) -> list[torch.Tensor]:
        """For each of the ascending epsilons images (B, 3, H, W): what felled a sample, else the last run's best."""
        remaining, found = Remaining(samples), []
        runs = list(itertools.product(enumerate(self._targets(victim, samples)), range(self.restarts)))
        for epsilon in epsilons:
            for (rank, targets), restart in runs:
                if len(remaining) and epsilon > 0:
                    starts = self._starts(remaining.current(), epsilon, f"{rank} {restart}")
                    self._run(victim, remaining, targets, starts, epsilon)
            found.append(remaining.images.clone())
        return found

    def _targets(self, victim: Victim, samples: Samples) -> Sequence[torch.Tensor]:
        """The classes (B,) that each run aims at; for a loss without targets one run, with labels in their place."""
        if self.loss != "dlr-targeted" or not len(samples):
            return [samples.labels]
        return list(losses.likely_targets(victim(samples.images), samples.labels, self.targets))

    def _starts(self, samples: Samples, epsilon: float, run: str) -> torch.Tensor:
        """A random image of each sample's ball: all over it for Linf, on its border for L2."""
        name, images = f"apgd {self.norm} {self.loss} {run}", samples.images
        shape = images.shape[1:]
        drawn = (
            samples.draws.uniform(name, *shape) * 2 - 1 if self.norm == "linf" else samples.draws.normal(name, *shape)
        )
        moves = torch.from_numpy(drawn).to(images)
        if self.norm == "l2":
            moves = direction(moves, "l2")
        return project(images + epsilon * moves, images, self.norm, epsilon)

    def _run(
        self, victim: Victim, remaining: Remaining, targets: torch.Tensor, starts: torch.Tensor, epsilon: float
    ) -> None:
        """One climb of all samples that remain, from `starts`; those that fall leave."""
        places = remaining.places
        centres, labels, targets = remaining.samples.images[places], remaining.samples.labels[places], targets[places]
        point = self._look(victim, starts, labels, targets, last=False)
        climb = _leave(remaining, Climb.at(point, centres, labels, targets, 2 * epsilon))
        marks = checkpoints(self.steps)
        stretches = dict(zip(marks, (mark - before for before, mark in itertools.pairwise([0, *marks])), strict=True))
        for step in range(1, self.steps + 1):
            if not len(remaining):
                return
            images = climb.step(self.norm, epsilon, MOMENTUM if step > 1 else 1)
            climb.arrive(self._look(victim, images, climb.labels, climb.targets, last=step == self.steps))
            climb = _leave(remaining, climb)
            if step in stretches:
                climb.check(stretches[step])
        remaining.put(climb.best.images)

    def _look(
        self, victim: Victim, images: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor, last: bool
    ) -> Point:
        """What is found at images, the mean of `eot` passes; after the `last` nobody asks for a gradient."""
        loss = self._loss(targets)
        total = _look_once(victim, images, labels, loss, last)
        for _ in range(self.eot - 1):
            again = _look_once(victim, images, labels, loss, last)
            total = tuple(before + now for before, now in zip(total, again, strict=True))
        logits, values, gradients = (part / self.eot for part in total)
        return Point(images, values, gradients, logits.argmax(dim=1) != labels)

    def _loss(self, targets: torch.Tensor) -> Loss:
        if self.loss == "dlr-targeted":
            return losses.targeted_dlr(targets)
        return cross_entropy if self.loss == "ce" else losses.dlr


def _look_once(
    victim: Victim, images: torch.Tensor, labels: torch.Tensor, loss: Loss, last: bool
) -> tuple[torch.Tensor, ...]:
    if not last:
        return victim.gradient(images, labels, loss)
    logits = victim(images)
    return logits, loss(logits, labels), torch.zeros_like(images)


def _leave(remaining: Remaining, climb: Climb) -> Climb:
    """The climb of the samples that did not fall; the others leave."""
    left = remaining.drop(climb.now.images, climb.now.fallen)
    return climb if left is None else select(climb, left)
