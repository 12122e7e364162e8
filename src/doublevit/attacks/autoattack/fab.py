"""FAB: the fast adaptive boundary attack, which looks for the nearest image that is classified otherwise.

Croce and Hein (2019), "Minimally distorted adversarial examples with a fast adaptive boundary attack", algorithm 1,
in the targeted form of AutoAttack (2020): one run for each of the likeliest other classes.
"""

import dataclasses
from collections.abc import Sequence

import torch

from doublevit.attacks.autoattack.hyperplane import to_hyperplane
from doublevit.attacks.autoattack.losses import likely_targets, margin, towards
from doublevit.attacks.autoattack.remaining import choose
from doublevit.attacks.balls import distance, project, size, spread
from doublevit.attacks.interface import Samples
from doublevit.attacks.victim import Victim
from doublevit.errors import UserError, unknown

NORMS = ("linf", "l2")
TINY = 1e-12


@dataclasses.dataclass
class Nearest:
    """Of each sample the nearest image found that is classified otherwise, (B, 3, H, W), and its distance (B,).

    Where none was found, the photo itself and infinity.
    """

    images: torch.Tensor
    distances: torch.Tensor

    def offer(self, places: torch.Tensor, images: torch.Tensor, distances: torch.Tensor) -> None:
        """Take the images (n, 3, H, W) of the samples `places` that are nearer; a distance of infinity never is."""
        nearer = distances < self.distances[places]
        self.images[places[nearer]] = images[nearer]
        self.distances[places[nearer]] = distances[nearer]


@dataclasses.dataclass(frozen=True)
class Fab:
    """Targeted FAB in the norm "linf" or "l2".

    Args:
        norm: "linf" or "l2".
        steps: for each target.
        targets: how many of the likeliest other classes are aimed at.
        alpha_max: the most that a step is drawn back towards the photo.
        eta: by how much a step goes beyond the boundary, as the model's linear approximation has it.
        beta: what is kept of the distance after each success.
        search_steps: between the photo and the nearest image found, at the end.

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
        """For each epsilon images (B, 3, H, W), all from one run: the nearest found, moved into the ball where farther.

        A sample that fell within the smallest epsilon above 0 goes no further.
        """
        enough = min((epsilon for epsilon in epsilons if epsilon > 0), default=torch.inf)
        before = self._descend(victim, samples, enough)
        after = self._search(victim, samples, before)
        found = []
        for epsilon in epsilons:
            # What the search found lies on the very boundary, where rounding decides: it serves only who needs it.
            images = torch.where(spread(before.distances, before.images) <= epsilon, before.images, after.images)
            found.append(project(images, samples.images, self.norm, epsilon))
        return found

    @torch.no_grad()
    def nearest(self, victim: Victim, samples: Samples) -> Nearest:
        """Of each sample the nearest image that is classified otherwise, and how far it is."""
        return self._search(victim, samples, self._descend(victim, samples, 0))

    def _descend(self, victim: Victim, samples: Samples, enough: float) -> Nearest:
        """The nearest images of all targets; samples with one within the distance `enough` take no further part."""
        found = Nearest(samples.images.clone(), torch.full_like(samples.images[:, 0, 0, 0], torch.inf))
        if enough == torch.inf or not len(samples):
            return found
        for targets in likely_targets(victim(samples.images), samples.labels, self.targets):
            self._aim(victim, samples, targets, found, enough)
        return found

    def _aim(self, victim: Victim, samples: Samples, targets: torch.Tensor, found: Nearest, enough: float) -> None:
        """One run towards the targets (B,)."""
        images = samples.images.clone()
        for _ in range(self.steps):
            places = (found.distances > enough).nonzero().squeeze(1)
            if not len(places):
                return
            centres, labels = samples.images[places], samples.labels[places]
            moved = self._step(victim, images[places], centres, labels, targets[places])
            fallen = victim(moved).argmax(dim=1) != labels
            distances = distance(moved, centres, self.norm).masked_fill(~fallen, torch.inf)
            found.offer(places, moved, distances)
            kept = spread(torch.where(fallen, self.beta, 1.0), moved)
            images[places] = centres + kept * (moved - centres)

    def _step(
        self, victim: Victim, images: torch.Tensor, centres: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """Beyond the linearised model's boundary: from where the image is and, for a small share, from the photo."""
        _, gaps, normals = victim.gradient(images, labels, towards(targets))
        ahead = (normals * (centres - images)).flatten(1).sum(dim=1)
        here = to_hyperplane(images, normals, -gaps, self.norm)
        there = to_hyperplane(centres, normals, -gaps - ahead, self.norm)
        near, far = size(here, self.norm), size(there, self.norm)
        alpha = spread((near / (near + far).clamp_min(TINY)).clamp_max(self.alpha_max), images)
        return ((1 - alpha) * (images + self.eta * here) + alpha * (centres + self.eta * there)).clamp(0, 1)

    def _search(self, victim: Victim, samples: Samples, found: Nearest) -> Nearest:
        """Nearer images on the way to the photos: again and again where the margin would be 0 if it were linear."""
        places = found.distances.isfinite().nonzero().squeeze(1)
        nearest = Nearest(found.images.clone(), found.distances.clone())
        if not len(places) or not self.search_steps:
            return nearest
        labels, inner, outer = samples.labels[places], samples.images[places], found.images[places]
        inside, outside = margin(victim(inner), labels), margin(victim(outer), labels)
        for _ in range(self.search_steps):
            middle = outer + spread(outside / (outside - inside).clamp_min(TINY), outer) * (inner - outer)
            gaps = margin(victim(middle), labels)
            beyond = gaps > 0
            inner, outer = choose(beyond, inner, middle), choose(beyond, middle, outer)
            inside, outside = torch.where(beyond, inside, gaps), torch.where(beyond, gaps, outside)
        nearest.offer(places, outer, distance(outer, samples.images[places], self.norm))
        return nearest
