"""Auto-PGD: projected gradient ascent with momentum that chooses its own step sizes.

Croce and Hein (2020), "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
attacks", algorithm 1.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import torch

from doublevit.attacks.autoattack import losses
from doublevit.attacks.autoattack.remaining import Remaining, choose, select
from doublevit.attacks.balls import project, size, spread
from doublevit.attacks.interface import Samples
from doublevit.attacks.victim import Loss, Victim, cross_entropy
from doublevit.errors import UserError, unknown

NORMS = ("linf", "l2")
LOSSES = ("ce", "dlr", "dlr-targeted")
MOMENTUM = 0.75  # the weight of the gradient step; the rest repeats the step before
RISES = 0.75  # of the steps between two checkpoints must raise the loss, or the step size is halved
TINY = 1e-30  # of gradients: what is smaller is none


def checkpoints(steps: int) -> list[int]:
    """After which steps the step size may be halved: 22, 41, 57, 70, 80, 87, 93 and 99 of 100.

    The first stretch is 22 % of the steps, each further one 3 % shorter, down to 6 %; parts of a step are rounded up.
    """
    steps_at, percent, stretch = set(), 22, 22  # whole hundredths: in floating point, 0.57 * 100 is above 57
    while percent <= 100:
        steps_at.add(-(-percent * steps // 100))
        stretch = max(stretch - 3, 6)
        percent += stretch
    return sorted(steps_at)


def direction(gradients: torch.Tensor, norm: str) -> torch.Tensor:
    """The step of size 1 that gains most, for gradients (B, ...); none where a gradient is 0."""
    if norm == "linf":
        return gradients.sign()
    # Of a confident model gradients are so small that their squares are 0 in float32.
    scaled = gradients / spread(size(gradients, "linf").clamp_min(TINY), gradients)
    return scaled / spread(size(scaled, "l2").clamp_min(TINY), scaled)


@dataclasses.dataclass
class ClimbPoint:
    """Images (n, 3, H, W), their losses (n,), the losses' gradients (n, 3, H, W), and which are broken, bool (n,)."""

    images: torch.Tensor
    losses: torch.Tensor
    gradients: torch.Tensor
    broken: torch.Tensor

    def unless(self, mask: torch.Tensor, other: "ClimbPoint") -> "ClimbPoint":
        """The other point's samples where `mask` bool (n,), else this point's."""
        names = [field.name for field in dataclasses.fields(self)]
        return ClimbPoint(*(choose(mask, getattr(other, name), getattr(self, name)) for name in names))


@dataclasses.dataclass
class Climb:
    """Where each sample that remains is, was before and was best, and how the steps went.

    `strides` (n,) are the step sizes; `rises` (n,) counts the steps since the last checkpoint that raised the loss;
    `checked` (n,) is the best loss at that checkpoint, and `halved` (n,) whether the step size was halved there.
    """

    centers: torch.Tensor
    labels: torch.Tensor
    targets: torch.Tensor
    now: ClimbPoint
    best: ClimbPoint
    before: torch.Tensor
    strides: torch.Tensor
    rises: torch.Tensor
    checked: torch.Tensor
    halved: torch.Tensor

    @classmethod
    def at(
        cls, point: ClimbPoint, centers: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor, stride: float
    ) -> "Climb":
        """A climb that begins at a point, with one step size for all."""
        losses = point.losses
        strides, rises = torch.full_like(losses, stride), torch.zeros_like(losses)
        never = torch.zeros_like(losses, dtype=torch.bool)
        return cls(centers, labels, targets, point, point, point.images, strides, rises, losses, never)

    def step(self, norm: str, epsilon: float, fraction: float) -> torch.Tensor:
        """The next images: `fraction` of a step along the gradient, and 1 - `fraction` of the last step again."""
        images = self.now.images
        stepped = images + spread(self.strides, images) * direction(self.now.gradients, norm)
        stepped = project(stepped, self.centers, norm, epsilon)
        moved = images + fraction * (stepped - images) + (1 - fraction) * (images - self.before)
        return project(moved, self.centers, norm, epsilon)

    def arrive(self, point: ClimbPoint) -> None:
        """Be at the point that a step led to."""
        self.rises = self.rises + (point.losses > self.now.losses)
        self.before, self.now = self.now.images, point
        self.best = self.best.unless(point.losses > self.best.losses, point)

    def check(self, stretch: int) -> None:
        """At a checkpoint, `stretch` steps after the last: halve step sizes, and then go on from the best point.

        A step size is halved where too few steps raised the loss (condition 1), or where it was not halved the last
        time and yet no better point was found (condition 2).
        """
        stuck = ~self.halved & (self.best.losses <= self.checked)
        halve = (self.rises < RISES * stretch) | stuck
        self.strides = torch.where(halve, self.strides / 2, self.strides)
        self.now = self.now.unless(halve, self.best)
        self.checked, self.halved = self.best.losses, halve
        self.rises = torch.zeros_like(self.rises)


@dataclasses.dataclass(frozen=True)
class Apgd:
    """Auto-PGD in the norm "linf" or "l2" on the loss "ce", "dlr", or "dlr-targeted" at the likeliest other classes.

    `restarts` starts are drawn for each sample (and target). With `eot`, every step is by the mean of that many
    passes, for models that are random. Each epsilon is a run of its own, of the samples that no smaller one broke.

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
        """For each of the ascending epsilons images (B, 3, H, W): what broke a sample, else the last run's best."""
        remaining, results = Remaining(samples), []
        runs = list(itertools.product(enumerate(self._targets(victim, samples)), range(self.restarts)))
        for epsilon in epsilons:
            for (rank, targets), restart in runs:
                if len(remaining) and epsilon > 0:
                    starts = self._starts(remaining.current(), epsilon, f"{rank} {restart}")
                    self._run(victim, remaining, targets, starts, epsilon)
            results.append(remaining.images.clone())
        return results

    def _targets(self, victim: Victim, samples: Samples) -> Sequence[torch.Tensor]:
        """The classes (B,) that each run aims at; for a loss without targets one run, with the labels instead."""
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
        """One climb of all samples that remain, from `starts`; those that are broken leave."""
        indices = remaining.indices
        centers, labels, targets = (
            remaining.samples.images[indices],
            remaining.samples.labels[indices],
            targets[indices],
        )
        point = self._look(victim, starts, labels, targets, last=False)
        climb = _leave(remaining, Climb.at(point, centers, labels, targets, 2 * epsilon))
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
    ) -> ClimbPoint:
        """Loss and gradient at images, the mean of `eot` passes; after the `last` step no gradient is needed."""
        loss = self._loss(targets)
        total = _look_once(victim, images, labels, loss, last)
        for _ in range(self.eot - 1):
            again = _look_once(victim, images, labels, loss, last)
            total = tuple(before + now for before, now in zip(total, again, strict=True))
        logits, values, gradients = (part / self.eot for part in total)
        return ClimbPoint(images, values, gradients, logits.argmax(dim=1) != labels)

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
    """The climb of the samples that are not broken; the others leave."""
    left = remaining.drop(climb.now.images, climb.now.broken)
    return climb if left is None else select(climb, left)
