"""Auto-PGD: projected gradient ascent with momentum that chooses its own step sizes.

Croce and Hein (2020), "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
attacks", algorithm 1.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import torch

from doublevit.attacks.autoattack import losses
from doublevit.attacks.autoattack.remaining import RemainingSamples, select_samples, where_samples
from doublevit.attacks.balls import norm_of, per_sample, project
from doublevit.attacks.interface import Samples
from doublevit.attacks.victim import Loss, Victim, cross_entropy
from doublevit.errors import UserError, unknown

NORMS = ("linf", "l2")
LOSSES = ("ce", "dlr", "dlr-targeted")
GRADIENT_WEIGHT = 0.75  # of the gradient step (the paper's alpha); the rest repeats the step before
MIN_INCREASES = 0.75  # fraction of an interval's steps that must raise the loss (rho), or the step size is halved
TINY_GRADIENT = 1e-30  # keeps the direction of a gradient finite where the gradient is 0


def checkpoints(steps: int) -> list[int]:
    """Return after which steps the step size may be halved: 22, 41, 57, 70, 80, 87, 93 and 99 of 100.

    The first interval is 22 % of the steps, each further one 3 % shorter, down to 6 %; parts of a step are rounded up.
    """
    steps_at, percent, interval = set(), 22, 22  # whole hundredths: in floating point, 0.57 * 100 is above 57
    while percent <= 100:
        steps_at.add(-(-percent * steps // 100))
        interval = max(interval - 3, 6)
        percent += interval
    return sorted(steps_at)


def direction(gradients: torch.Tensor, norm: str) -> torch.Tensor:
    """Return the step of norm 1 that gains most for each of the gradients (B, ...); 0 where a gradient is 0."""
    if norm == "linf":
        return gradients.sign()
    # Of a confident model gradients are so small that their squares are 0 in float32.
    scaled = gradients / per_sample(norm_of(gradients, "linf").clamp_min(TINY_GRADIENT), gradients)
    return scaled / per_sample(norm_of(scaled, "l2").clamp_min(TINY_GRADIENT), scaled)


@dataclasses.dataclass
class Iterate:
    """Holds images (n, 3, H, W), their losses (n,), the losses' gradients (n, 3, H, W), and `broken` bool (n,)."""

    images: torch.Tensor
    losses: torch.Tensor
    gradients: torch.Tensor
    broken: torch.Tensor

    def replace_where(self, mask: torch.Tensor, other: "Iterate") -> "Iterate":
        """Return the other iterate's samples where `mask` bool (n,), else this one's."""
        names = [field.name for field in dataclasses.fields(self)]
        return Iterate(*(where_samples(mask, getattr(other, name), getattr(self, name)) for name in names))


@dataclasses.dataclass
class ApgdState:
    """Holds the current and the best iterate of each sample that remains, and how its step size is chosen.

    `step_sizes` (n,) are the paper's eta; `increases` (n,) counts the steps since the last checkpoint that raised the
    loss; `checkpoint_losses` (n,) are the best losses at that checkpoint, and `halved` bool (n,) says whether the step
    size was halved there.
    """

    centers: torch.Tensor
    labels: torch.Tensor
    targets: torch.Tensor
    current: Iterate
    best: Iterate
    previous_images: torch.Tensor
    step_sizes: torch.Tensor
    increases: torch.Tensor
    checkpoint_losses: torch.Tensor
    halved: torch.Tensor

    @classmethod
    def start(
        cls, iterate: Iterate, centers: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor, step_size: float
    ) -> "ApgdState":
        """Return the state at a first iterate, with one step size for all samples."""
        initial = iterate.losses
        step_sizes, increases = torch.full_like(initial, step_size), torch.zeros_like(initial)
        halved = torch.zeros_like(initial, dtype=torch.bool)
        return cls(centers, labels, targets, iterate, iterate, iterate.images, step_sizes, increases, initial, halved)

    def step(self, norm: str, epsilon: float, gradient_weight: float) -> torch.Tensor:
        """Return the next images: a gradient step, and the last step again, weighted to a sum of 1."""
        images = self.current.images
        stepped = images + per_sample(self.step_sizes, images) * direction(self.current.gradients, norm)
        stepped = project(stepped, self.centers, norm, epsilon)
        moved = images + gradient_weight * (stepped - images) + (1 - gradient_weight) * (images - self.previous_images)
        return project(moved, self.centers, norm, epsilon)

    def advance(self, iterate: Iterate) -> None:
        """Make the iterate that a step led to the current one, and the best one where it is better."""
        self.increases = self.increases + (iterate.losses > self.current.losses)
        self.previous_images, self.current = self.current.images, iterate
        self.best = self.best.replace_where(iterate.losses > self.best.losses, iterate)

    def adapt_step_sizes(self, interval: int) -> None:
        """At a checkpoint, `interval` steps after the last: halve step sizes, and then go on from the best iterate.

        A step size is halved where too few steps raised the loss (condition 1), or where it was not halved the last
        time and yet no better iterate was found (condition 2).
        """
        stuck = ~self.halved & (self.best.losses <= self.checkpoint_losses)
        halve = (self.increases < MIN_INCREASES * interval) | stuck
        self.step_sizes = torch.where(halve, self.step_sizes / 2, self.step_sizes)
        self.current = self.current.replace_where(halve, self.best)
        self.checkpoint_losses, self.halved = self.best.losses, halve
        self.increases = torch.zeros_like(self.increases)


@dataclasses.dataclass(frozen=True)
class Apgd:
    """Runs Auto-PGD in "linf" or "l2" on a loss: "ce", "dlr", or "dlr-targeted" at the likeliest other classes.

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
        """Return for each ascending epsilon images (B, 3, H, W): what broke a sample, else the last run's best."""
        remaining, results = RemainingSamples(samples), []
        runs = list(itertools.product(enumerate(self._targets(victim, samples)), range(self.restarts)))
        for epsilon in epsilons:
            for (rank, targets), restart in runs:
                if len(remaining) and epsilon > 0:
                    self._run(victim, remaining, targets, epsilon, f"{rank} {restart}")
            results.append(remaining.images.clone())
        return results

    def _targets(self, victim: Victim, samples: Samples) -> Sequence[torch.Tensor]:
        """Return the classes (B,) that each run aims at; for a loss without targets, the labels for a single run."""
        if self.loss != "dlr-targeted" or not len(samples):
            return [samples.labels]
        return list(losses.likely_targets(victim(samples.images), samples.labels, self.targets))

    def _starts(self, samples: Samples, epsilon: float, run: str) -> torch.Tensor:
        """Draw an image of each sample's ball for the run of that name: all over it for Linf, on its border for L2."""
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
        self, victim: Victim, remaining: RemainingSamples, targets: torch.Tensor, epsilon: float, run: str
    ) -> None:
        """Attack all samples that remain once, from one start; those that are broken leave."""
        samples, targets = remaining.select(), targets[remaining.indices]
        starts = self._starts(samples, epsilon, run)
        iterate = self._evaluate(victim, starts, samples.labels, targets, with_gradient=True)
        state = ApgdState.start(iterate, samples.images, samples.labels, targets, step_size=2 * epsilon)
        state = _remove_broken(remaining, state)
        intervals = {end: end - start for start, end in itertools.pairwise([0, *checkpoints(self.steps)])}
        for step in range(1, self.steps + 1):
            if not len(remaining):
                return
            images = state.step(self.norm, epsilon, GRADIENT_WEIGHT if step > 1 else 1)
            # Nothing follows the last step's gradient: a forward pass is enough.
            state.advance(self._evaluate(victim, images, state.labels, state.targets, with_gradient=step < self.steps))
            state = _remove_broken(remaining, state)
            if step in intervals:
                state.adapt_step_sizes(intervals[step])
        remaining.set_images(state.best.images)

    def _evaluate(
        self, victim: Victim, images: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor, with_gradient: bool
    ) -> Iterate:
        """Return the images with losses and gradients, each the mean of `eot` passes; gradients are 0 if not wanted."""
        loss = self._loss(targets)
        total = _pass(victim, images, labels, loss, with_gradient)
        for _ in range(self.eot - 1):
            further = _pass(victim, images, labels, loss, with_gradient)
            total = tuple(before + now for before, now in zip(total, further, strict=True))
        logits, values, gradients = (part / self.eot for part in total)
        return Iterate(images, values, gradients, logits.argmax(dim=1) != labels)

    def _loss(self, targets: torch.Tensor) -> Loss:
        if self.loss == "dlr-targeted":
            return losses.targeted_dlr(targets)
        return cross_entropy if self.loss == "ce" else losses.dlr


def _pass(
    victim: Victim, images: torch.Tensor, labels: torch.Tensor, loss: Loss, with_gradient: bool
) -> tuple[torch.Tensor, ...]:
    if with_gradient:
        return victim.gradient(images, labels, loss)
    logits = victim(images)
    return logits, loss(logits, labels), torch.zeros_like(images)


def _remove_broken(remaining: RemainingSamples, state: ApgdState) -> ApgdState:
    """Let the samples leave that are broken, and return the state of the others."""
    unbroken = remaining.remove_broken(state.current.images, state.current.broken)
    return state if unbroken is None else select_samples(state, unbroken)
