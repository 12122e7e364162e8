"""Where Auto-PGD is with each sample, and how it steps: algorithm 1 of Croce and Hein (2020)."""

import dataclasses

import torch

from doublevit.attacks.autoattack.remaining import choose
from doublevit.attacks.balls import project, size, spread

MOMENTUM = 0.75  # the share of the gradient step; the rest repeats the step before
RISES = 0.75  # of the steps between two checkpoints must raise the loss, or the step size is halved
TINY = 1e-30  # of gradients: what is smaller is none


def checkpoints(steps: int) -> list[int]:
    """After which steps the step size may be halved: 22, 41, 57, 70, 80, 87, 93 and 99 of 100.

    The first stretch is 22 % of the steps, each further one 3 % shorter, down to 6 %; parts of a step are rounded up.
    """
    found, place, stretch = set(), 22, 22  # whole hundredths: in floating point, 0.57 * 100 is above 57
    while place <= 100:
        found.add(-(-place * steps // 100))
        stretch = max(stretch - 3, 6)
        place += stretch
    return sorted(found)


def direction(gradients: torch.Tensor, norm: str) -> torch.Tensor:
    """The step of size 1 that gains most, for gradients (B, ...); none where a gradient is 0."""
    if norm == "linf":
        return gradients.sign()
    # Of a confident model gradients are so small that their squares are 0 in float32.
    scaled = gradients / spread(size(gradients, "linf").clamp_min(TINY), gradients)
    return scaled / spread(size(scaled, "l2").clamp_min(TINY), scaled)


@dataclasses.dataclass
class Point:
    """Images (n, 3, H, W), their losses (n,), the losses' gradients (n, 3, H, W), and which fell, bool (n,)."""

    images: torch.Tensor
    losses: torch.Tensor
    gradients: torch.Tensor
    fallen: torch.Tensor

    def unless(self, mask: torch.Tensor, other: "Point") -> "Point":
        """The other point's samples where `mask` bool (n,), else this one's."""
        names = [field.name for field in dataclasses.fields(self)]
        return Point(*(choose(mask, getattr(other, name), getattr(self, name)) for name in names))


@dataclasses.dataclass
class Climb:
    """Of each sample that remains: where it is, was before and was best, and how the steps went.

    `strides` (n,) are the step sizes; `rises` (n,) counts the steps since the last checkpoint that raised the loss;
    `checked` (n,) is the best loss at that checkpoint, and `halved` (n,) whether the step size was halved there.
    """

    centres: torch.Tensor
    labels: torch.Tensor
    targets: torch.Tensor
    now: Point
    best: Point
    before: torch.Tensor
    strides: torch.Tensor
    rises: torch.Tensor
    checked: torch.Tensor
    halved: torch.Tensor

    @classmethod
    def at(
        cls, point: Point, centres: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor, stride: float
    ) -> "Climb":
        """A climb that begins at a point, with one step size for all."""
        losses = point.losses
        strides, rises = torch.full_like(losses, stride), torch.zeros_like(losses)
        never = torch.zeros_like(losses, dtype=torch.bool)
        return cls(centres, labels, targets, point, point, point.images, strides, rises, losses, never)

    def step(self, norm: str, epsilon: float, share: float) -> torch.Tensor:
        """The next images: along the gradient, and for what `share` leaves of 1 once more the way of the last step."""
        images = self.now.images
        stepped = images + spread(self.strides, images) * direction(self.now.gradients, norm)
        stepped = project(stepped, self.centres, norm, epsilon)
        moved = images + share * (stepped - images) + (1 - share) * (images - self.before)
        return project(moved, self.centres, norm, epsilon)

    def arrive(self, point: Point) -> None:
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
