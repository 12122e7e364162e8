"""FAB: the fast adaptive boundary attack, which looks for the nearest image that is classified otherwise.

Croce and Hein (2019), "Minimally distorted adversarial examples with a fast adaptive boundary attack", algorithm 1,
in the targeted form of AutoAttack (2020): one run for each of the likeliest other classes.
"""

import dataclasses
from collections.abc import Sequence

import torch

from doublevit.attacks.autoattack.losses import likely_targets, margin, targeted_margin
from doublevit.attacks.autoattack.remaining import where_samples
from doublevit.attacks.balls import distance, norm_of, per_sample, project
from doublevit.attacks.interface import Samples
from doublevit.attacks.victim import Victim
from doublevit.errors import UserError, unknown

NORMS = ("linf", "l2")
TINY = 1e-12  # keeps ratios of distances and of margins finite
TINY_GRADIENT = 1e-30  # keeps finite what is divided by the largest gradient
NEWTON_STEPS = 50  # at most; a handful does
NEWTON_TOLERANCE = 1e-6  # relative: about what float32 can tell


@dataclasses.dataclass
class NearestImages:
    """Holds the nearest image so far that is classified otherwise, for each sample (B, 3, H, W), and its distance (B,).

    Where there is none, these are the clean image and infinity.
    """

    images: torch.Tensor
    distances: torch.Tensor

    def update(self, indices: torch.Tensor, images: torch.Tensor, distances: torch.Tensor) -> None:
        """Take those of the images (n, 3, H, W) of the samples `indices` that are nearer; infinity never is."""
        nearer = distances < self.distances[indices]
        self.images[indices[nearer]] = images[nearer]
        self.distances[indices[nearer]] = distances[nearer]


@dataclasses.dataclass(frozen=True)
class Fab:
    """Runs targeted FAB in the norm "linf" or "l2".

    Args:
        norm: "linf" or "l2".
        steps: gradient steps for each target.
        targets: how many of the likeliest other classes are aimed at.
        alpha_max: the largest weight of the step from the clean image, against the one from the current image.
        eta: the factor by which a step goes beyond the boundary of the linearized model.
        beta: the fraction of the distance that is kept after each success.
        search_steps: steps of the final search between the clean image and the nearest one.

    Raises:
        UserError: there is no such norm, a count is below 1, or, when it is called, there is only one class.
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
        """Return for each epsilon images (B, 3, H, W), all from one run: the nearest, projected where they are farther.

        A sample that is broken within the smallest epsilon above 0 goes no further.
        """
        smallest = min((epsilon for epsilon in epsilons if epsilon > 0), default=torch.inf)
        nearest = self._run(victim, samples, smallest)
        refined = self._final_search(victim, samples, nearest)
        results = []
        for epsilon in epsilons:
            # A refined image lies on the very boundary, where rounding decides: it is taken only where it is needed.
            images = where_samples(nearest.distances <= epsilon, nearest.images, refined.images)
            results.append(project(images, samples.images, self.norm, epsilon))
        return results

    @torch.no_grad()
    def find_nearest(self, victim: Victim, samples: Samples) -> NearestImages:
        """Find the nearest image of each sample that is classified otherwise, and how far it is."""
        return self._final_search(victim, samples, self._run(victim, samples, 0))

    def _run(self, victim: Victim, samples: Samples, near_enough: float) -> NearestImages:
        """Run towards all targets; samples with an image within the distance `near_enough` take no further part."""
        nearest = NearestImages(samples.images.clone(), torch.full_like(samples.images[:, 0, 0, 0], torch.inf))
        if near_enough == torch.inf or not len(samples):
            return nearest
        for targets in likely_targets(victim(samples.images), samples.labels, self.targets):
            self._run_target(victim, samples, targets, nearest, near_enough)
        return nearest

    def _run_target(
        self, victim: Victim, samples: Samples, targets: torch.Tensor, nearest: NearestImages, near_enough: float
    ) -> None:
        """Run towards one target for each sample, `targets` (B,), and update `nearest`."""
        images = samples.images.clone()
        for _ in range(self.steps):
            indices = (nearest.distances > near_enough).nonzero().squeeze(1)
            if not len(indices):
                return
            centers, labels = samples.images[indices], samples.labels[indices]
            moved = self._step(victim, images[indices], centers, labels, targets[indices])
            broken = victim(moved).argmax(dim=1) != labels
            distances = distance(moved, centers, self.norm).masked_fill(~broken, torch.inf)
            nearest.update(indices, moved, distances)
            scale = per_sample(torch.where(broken, self.beta, 1.0), moved)
            images[indices] = centers + scale * (moved - centers)

    def _step(
        self, victim: Victim, images: torch.Tensor, centers: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """Go beyond the linearized model's boundary: from the image and, to a small fraction, from the clean image."""
        _, margins, normals = victim.gradient(images, labels, targeted_margin(targets))
        towards_center = (normals * (centers - images)).flatten(1).sum(dim=1)
        step = moves_to_hyperplane(images, normals, -margins, self.norm)
        center_step = moves_to_hyperplane(centers, normals, -margins - towards_center, self.norm)
        near, far = norm_of(step, self.norm), norm_of(center_step, self.norm)
        alpha = per_sample((near / (near + far).clamp_min(TINY)).clamp_max(self.alpha_max), images)
        return ((1 - alpha) * (images + self.eta * step) + alpha * (centers + self.eta * center_step)).clamp(0, 1)

    def _final_search(self, victim: Victim, samples: Samples, coarse: NearestImages) -> NearestImages:
        """Search nearer images between these and the clean ones, each time where a linear margin would be 0."""
        indices = coarse.distances.isfinite().nonzero().squeeze(1)
        nearest = NearestImages(coarse.images.clone(), coarse.distances.clone())
        if not len(indices) or not self.search_steps:
            return nearest
        labels, inner, outer = samples.labels[indices], samples.images[indices], coarse.images[indices]
        inner_margins, outer_margins = margin(victim(inner), labels), margin(victim(outer), labels)
        for _ in range(self.search_steps):
            fractions = outer_margins / (outer_margins - inner_margins).clamp_min(TINY)
            middle = outer + per_sample(fractions, outer) * (inner - outer)
            margins = margin(victim(middle), labels)
            broken = margins > 0
            inner, outer = where_samples(broken, inner, middle), where_samples(broken, middle, outer)
            inner_margins = torch.where(broken, inner_margins, margins)
            outer_margins = torch.where(broken, margins, outer_margins)
        nearest.update(indices, outer, distance(outer, samples.images[indices], self.norm))
        return nearest


def moves_to_hyperplane(images: torch.Tensor, normals: torch.Tensor, gaps: torch.Tensor, norm: str) -> torch.Tensor:
    """Return the smallest moves (B, ...) with <normal, move> = gap that keep images in the box.

    Every pixel moves by its rate (1 for Linf, |normal| for L2) times a length common to all, until it meets the
    border. Where the box ends before the hyperplane, the move goes as far as the box does.

    Args:
        images: (B, ...) in [0, 1].
        normals: (B, ...); an image whose normal is all 0 stays.
        gaps: (B,), of either sign.
        norm: "linf" or "l2".
    """
    largest = norm_of(normals, "linf").clamp_min(TINY_GRADIENT)  # squares of small gradients are 0 in float32
    signs = (normals * per_sample(gaps.sign(), images)).sign()
    weights = (normals / per_sample(largest, images)).abs()
    rates = torch.ones_like(weights) if norm == "linf" else weights
    room = torch.where(signs > 0, 1 - images, images)
    lengths = _solve_lengths(weights.flatten(1), rates.flatten(1), room.flatten(1), gaps.abs() / largest)
    return signs * torch.minimum(per_sample(lengths, images) * rates, room)


def _solve_lengths(weights: torch.Tensor, rates: torch.Tensor, room: torch.Tensor, gaps: torch.Tensor) -> torch.Tensor:
    """Return the length at which the sum of weight * min(length * rate, room) is the gap, (B,).

    The sum is concave in the length and made of straight pieces: Newton's method from 0 climbs and never overshoots.
    """
    lengths = torch.zeros_like(gaps)
    for _ in range(NEWTON_STEPS):
        unbounded = lengths.unsqueeze(1) * rates
        slopes = (weights * rates * (unbounded < room)).sum(dim=1)
        missing = gaps - (weights * torch.minimum(unbounded, room)).sum(dim=1)
        unsolved = (slopes > 0) & (missing > NEWTON_TOLERANCE * gaps)
        if not unsolved.any():
            break
        lengths = torch.where(unsolved, lengths + missing / slopes, lengths)
    return lengths
