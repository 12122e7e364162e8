"""Square attack: squares at random places, kept where they bring the model nearer to a mistake; it sees logits only.

Andriushchenko, Croce, Flammarion and Hein (2020), "Square attack: a query-efficient black-box adversarial attack via
random search", algorithms 1 to 3.
"""

import dataclasses
from collections.abc import Sequence

import torch

from doublevit.attacks.autoattack.losses import margin
from doublevit.attacks.autoattack.remaining import Remaining, choose, select
from doublevit.attacks.autoattack.squares import SQUARES
from doublevit.attacks.interface import Samples
from doublevit.attacks.victim import Victim
from doublevit.errors import UserError, unknown

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # queries


def share(query: int, first: float) -> float:
    """The share of the pixels that the square of a query covers (the paper's p), `first` at the beginning.

    It is halved after 10, 50, 200, 500, 1,000, 2,000, 4,000, 6,000 and 8,000 queries, as in the authors' code; the
    paper's list lacks the 500. A search of fewer queries ends earlier, as in the standard AutoAttack.
    """
    return first / 2 ** sum(query > place for place in HALVINGS)


@dataclasses.dataclass
class _Search:
    """Of each sample that remains: the best images so far, their margins (n,), and its row of the draws."""

    centres: torch.Tensor
    labels: torch.Tensor
    images: torch.Tensor
    margins: torch.Tensor
    rows: torch.Tensor

    @classmethod
    def of(cls, samples: Samples) -> "_Search":
        images, labels = samples.images, samples.labels
        margins = torch.full_like(images[:, 0, 0, 0], -torch.inf)
        return cls(images, labels, images, margins, torch.arange(len(labels), device=labels.device))

    def take(self, images: torch.Tensor, margins: torch.Tensor) -> None:
        """Keep the images that are better."""
        better = margins > self.margins
        self.images, self.margins = choose(better, images, self.images), torch.where(better, margins, self.margins)


@dataclasses.dataclass(frozen=True)
class Square:
    """Square attack in the norm "linf" or "l2" on the margin.

    A sample is looked at `queries` times; the first square covers `first` of its pixels. Each epsilon is a run of its
    own, of the samples that no smaller one felled.

    Raises:
        UserError: there is no such norm, `queries` is below 1 or `first` no share, or, when it is called, there is only
            one class.
    """

    norm: str = "linf"
    queries: int = 5000
    first: float = 0.8

    def __post_init__(self) -> None:
        if self.norm not in SQUARES:
            raise unknown("norm of Square", self.norm, SQUARES)
        if self.queries < 1 or not 0 < self.first <= 1:
            raise UserError(f"expected queries of 1 or more and a first share above 0, at most 1, found {self}")

    @torch.no_grad()
    def __call__(self, victim: Victim, samples: Samples, epsilons: Sequence[float]) -> list[torch.Tensor]:
        """For each of the ascending epsilons images (B, 3, H, W): what felled a sample, else the last run's best."""
        remaining, found = Remaining(samples), []
        for epsilon in epsilons:
            if len(remaining) and epsilon > 0:
                self._run(victim, remaining, epsilon)
            found.append(remaining.images.clone())
        return found

    def _run(self, victim: Victim, remaining: Remaining, epsilon: float) -> None:
        """One search of all samples that remain; those that fall leave."""
        squares, samples = SQUARES[self.norm], remaining.current()
        channels, height, width = samples.images.shape[1:]
        drawn = samples.draws.uniform(f"square {self.norm}", self.queries, squares.extra + channels)
        draws = torch.from_numpy(drawn).to(samples.images)
        search, tried = _Search.of(samples), squares.start(samples, epsilon)
        for query in range(self.queries):
            if query:
                side = squares.side(share(query, self.first), height, width)
                tried = squares.change(search.images, search.centres, draws[search.rows, query], side, epsilon)
            logits = victim(tried)
            search.take(tried, margin(logits, search.labels))
            left = remaining.drop(tried, logits.argmax(dim=1) != search.labels)
            search = search if left is None else select(search, left)
            if not len(remaining):
                return
        remaining.put(search.images)
