"""FAB: the fast adaptive boundary attack, which looks for the nearest image that is classified otherwise.

Croce and Hein (2019), "Minimally distorted adversarial examples with a fast adaptive boundary attack", algorithm 1,
in the targeted form of AutoAttack (2020): one run for each of the likeliest other classes.
"""

import dataclasses
from collections.abc import Sequence

import torch

from doublevit.attacks.autoattack.losses import likely_targets, margin, towards
from doublevit.attacks.autoattack.remaining import choose
from doublevit.attacks.balls import distance, project, size, spread
from doublevit.attacks.interface import Samples
from doublevit.attacks.victim import Victim
from doublevit.errors import UserError, unknown

NORMS = ("linf", "l2")
TINY = 1e-12
ROUNDS = 50  # of Newton's method; a handful does
EXACT = 1e-6  # relative: about what float32 can tell
TINY_GRADIENT = 1e-30


@dataclasses.dataclass
class Nearest:
    """The nearest image so far that is classified otherwise, for each sample (B, 3, H, W), and its distance (B,).

    Where there is none, the clean image and infinity.
    """

    images: torch.Tensor
    distances: torch.Tensor

    def offer(self, indices: torch.Tensor, images: torch.Tensor, distances: torch.Tensor) -> None:
        """Take the images (n, 3, H, W) of the samples `indices` that are nearer; a distance of infinity never is."""
        nearer = distances < self.distances[indices]
        self.images[indices[nearer]] = images[nearer]
        self.distances[indices[nearer]] = distances[nearer]


@dataclasses.dataclass(frozen=True)
class Fab:
    """Targeted FAB in the norm "linf" or "l2".

    Args:
        norm: "linf" or "l2".
        steps: for each target.
        targets: how many of the likeliest other classes are aimed at.
        alpha_max: the most that a step is drawn back towards the clean image.
        eta: by how much a step goes beyond the boundary, as the model's linear approximation has it.
        beta: what is kept of the distance after each success.
        search_steps: between the clean image and the nearest one, at the end.

    Raises:
        UserError: there is no such norm, or, when it is called, there is only one class.
    """

    norm: str = "linf"
    steps: int = 100
    targets: int = 9
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9
    search_steps: int = 3

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise unknown("norm of FAB", self.norm, NORMS)
        if min(self.steps, self.targets) < 1:
            raise UserError(f"expected steps and targets of 1 or more, found {self}")

    @torch.no_grad()
    def __call__(self, victim: Victim, samples: Samples, epsilons: Sequence[float]) -> list[torch.Tensor]:
        """For each epsilon images (B, 3, H, W), all from one run: the nearest, moved into the ball where farther.

        A sample that is broken within the smallest epsilon above 0 goes no further.
        """
        enough = min((epsilon for epsilon in epsilons if epsilon > 0), default=torch.inf)
        before = self._descend(victim, samples, enough)
        after = self._search(victim, samples, before)
        results = []
        for epsilon in epsilons:
            # What the search returns lies on the very boundary, where rounding decides: it serves only who needs it.
            images = torch.where(spread(before.distances, before.images) <= epsilon, before.images, after.images)
            results.append(project(images, samples.images, self.norm, epsilon))
        return results

    @torch.no_grad()
    def nearest(self, victim: Victim, samples: Samples) -> Nearest:
        """The nearest image of each sample that is classified otherwise, and how far it is."""
        return self._search(victim, samples, self._descend(victim, samples, 0))

    def _descend(self, victim: Victim, samples: Samples, enough: float) -> Nearest:
        """The nearest images of all targets; samples with one within the distance `enough` take no further part."""
        nearest = Nearest(samples.images.clone(), torch.full_like(samples.images[:, 0, 0, 0], torch.inf))
        if enough == torch.inf or not len(samples):
            return nearest
        for targets in likely_targets(victim(samples.images), samples.labels, self.targets):
            self._aim(victim, samples, targets, nearest, enough)
        return nearest

    def _aim(self, victim: Victim, samples: Samples, targets: torch.Tensor, nearest: Nearest, enough: float) -> None:
        """One run towards the targets (B,)."""
        images = samples.images.clone()
        for _ in range(self.steps):
            indices = (nearest.distances > enough).nonzero().squeeze(1)
            if not len(indices):
                return
            centers, labels = samples.images[indices], samples.labels[indices]
            moved = self._step(victim, images[indices], centers, labels, targets[indices])
            broken = victim(moved).argmax(dim=1) != labels
            distances = distance(moved, centers, self.norm).masked_fill(~broken, torch.inf)
            nearest.offer(indices, moved, distances)
            remainder = spread(torch.where(broken, self.beta, 1.0), moved)
            images[indices] = centers + remainder * (moved - centers)

    def _step(
        self, victim: Victim, images: torch.Tensor, centers: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """Go beyond the linearised model's boundary: from the image and, to a small fraction, from the clean image."""
        _, gaps, normals = victim.gradient(images, labels, towards(targets))
        towards_center = (normals * (centers - images)).flatten(1).sum(dim=1)
        step = to_hyperplane(images, normals, -gaps, self.norm)
        center_step = to_hyperplane(centers, normals, -gaps - towards_center, self.norm)
        near, far = size(step, self.norm), size(center_step, self.norm)
        alpha = spread((near / (near + far).clamp_min(TINY)).clamp_max(self.alpha_max), images)
        return ((1 - alpha) * (images + self.eta * step) + alpha * (centers + self.eta * center_step)).clamp(0, 1)

    def _search(self, victim: Victim, samples: Samples, before: Nearest) -> Nearest:
        """Nearer images between these and the clean ones: again and again where a linear margin would be 0."""
        indices = before.distances.isfinite().nonzero().squeeze(1)
        nearest = Nearest(before.images.clone(), before.distances.clone())
        if not len(indices) or not self.search_steps:
            return nearest
        labels, inner, outer = samples.labels[indices], samples.images[indices], before.images[indices]
        inside, outside = margin(victim(inner), labels), margin(victim(outer), labels)
        for _ in range(self.search_steps):
            middle = outer + spread(outside / (outside - inside).clamp_min(TINY), outer) * (inner - outer)
            gaps = margin(victim(middle), labels)
            beyond = gaps > 0
            inner, outer = choose(beyond, inner, middle), choose(beyond, middle, outer)
            inside, outside = torch.where(beyond, inside, gaps), torch.where(beyond, gaps, outside)
        nearest.offer(indices, outer, distance(outer, samples.images[indices], self.norm))
        return nearest


def to_hyperplane(images: torch.Tensor, normals: torch.Tensor, gaps: torch.Tensor, norm: str) -> torch.Tensor:
    """The smallest moves (B, ...) with <normal, move> = gap that keep images in the box.

    Every pixel moves by its rate (1 for Linf, |normal| for L2) times a length common to all, until it meets the
    border. Where the box ends before the hyperplane, the move goes as far as the box does.

    Args:
        images: (B, ...) in [0, 1].
        normals: (B, ...); an image whose normal is all 0 stays.
        gaps: (B,), of either sign.
        norm: "linf" or "l2".
    """
    largest = size(normals, "linf").clamp_min(TINY_GRADIENT)  # squares of small gradients are 0 in float32
    signs = (normals * spread(gaps.sign(), images)).sign()
    weights = (normals / spread(largest, images)).abs()
    rates = torch.ones_like(weights) if norm == "linf" else weights
    room = torch.where(signs > 0, 1 - images, images)
    lengths = _lengths(weights.flatten(1), rates.flatten(1), room.flatten(1), gaps.abs() / largest)
    return signs * torch.minimum(spread(lengths, images) * rates, room)


def _lengths(weights: torch.Tensor, rates: torch.Tensor, room: torch.Tensor, gaps: torch.Tensor) -> torch.Tensor:
    """The length at which the sum of weight * min(length * rate, room) is the gap, (B,).

    The sum is concave in the length and made of straight pieces: Newton's method from 0 climbs and never overshoots.
    """
    lengths = torch.zeros_like(gaps)
    for _ in range(ROUNDS):
        reach = lengths.unsqueeze(1) * rates
        slopes = (weights * rates * (reach < room)).sum(dim=1)
        missing = gaps - (weights * torch.minimum(reach, room)).sum(dim=1)
        go_on = (slopes > 0) & (missing > EXACT * gaps)
        if not go_on.any():
            break
        lengths = torch.where(go_on, lengths + missing / slopes, lengths)
    return lengths
