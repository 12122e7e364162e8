"""Square attack: squares at random positions, kept where they bring the model nearer to a mistake; it sees logits only.

Andriushchenko, Croce, Flammarion and Hein (2020), "Square attack: a query-efficient black-box adversarial attack via
random search", algorithms 1 to 3.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from doublevit.attacks.autoattack.losses import margin
from doublevit.attacks.autoattack.remaining import Remaining, choose, select
from doublevit.attacks.balls import project, size, spread
from doublevit.attacks.interface import Samples
from doublevit.attacks.victim import Victim
from doublevit.errors import UserError, unknown

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # queries
TILES = 5  # hills along each side of the first L2 image
TINY = 1e-12


def fraction(query: int, first: float) -> float:
    """The fraction of the pixels that the square of a query covers (the paper's p), `first` at the beginning.

    It is halved after 10, 50, 200, 500, 1,000, 2,000, 4,000, 6,000 and 8,000 queries, as in the authors' code; the
    paper's list lacks the 500. A search of fewer queries ends earlier, as in the standard AutoAttack.
    """
    return first / 2 ** sum(query > halving for halving in HALVINGS)


@dataclasses.dataclass
class _Search:
    """The best images so far of the samples that remain, their margins (n,), and their rows of the draws."""

    centers: torch.Tensor
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
    own, of the samples that no smaller one broke.

    Raises:
        UserError: there is no such norm, `queries` is below 1, `first` is not in (0, 1], or, in a call, there is
            only one class.
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
        """For each of the ascending epsilons images (B, 3, H, W): what broke a sample, else the last run's best."""
        remaining, results = Remaining(samples), []
        for epsilon in epsilons:
            if len(remaining) and epsilon > 0:
                self._run(victim, remaining, epsilon)
            results.append(remaining.images.clone())
        return results

    def _run(self, victim: Victim, remaining: Remaining, epsilon: float) -> None:
        """One search of all samples that remain; those that are broken leave."""
        squares, samples = SQUARES[self.norm], remaining.current()
        channels, height, width = samples.images.shape[1:]
        drawn = samples.draws.uniform(f"square {self.norm}", self.queries, squares.extra + channels)
        draws = torch.from_numpy(drawn).to(samples.images)
        search, tried = _Search.of(samples), squares.start(samples, epsilon)
        for query in range(self.queries):
            if query:
                side = squares.side(fraction(query, self.first), height, width)
                tried = squares.change(search.images, search.centers, draws[search.rows, query], side, epsilon)
            logits = victim(tried)
            search.take(tried, margin(logits, search.labels))
            left = remaining.drop(tried, logits.argmax(dim=1) != search.labels)
            search = search if left is None else select(search, left)
            if not len(remaining):
                return
        remaining.put(search.images)


@dataclasses.dataclass(frozen=True)
class Squares:
    """What is tried in one norm.

    `start(samples, epsilon)` are the first images; `change(images, centers, draws, side, epsilon)` others near them,
    with squares of `side` pixels. Of `draws`, uniform in [0, 1), a change takes (n, extra + channels). Sides are at
    least `least`, and odd where `odd`.
    """

    start: Callable[[Samples, float], torch.Tensor]
    change: Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int, float], torch.Tensor]
    extra: int
    least: int
    odd: bool

    def side(self, fraction: float, height: int, width: int) -> int:
        """The side of the square that covers this fraction of an image, in pixels."""
        side = max(round(math.sqrt(fraction * height * width)), self.least)
        return min(side + (self.odd and side % 2 == 0), height, width)


def stripes(samples: Samples, epsilon: float) -> torch.Tensor:
    """Clean images with vertical stripes one pixel wide, up or down by epsilon in each color."""
    images = samples.images
    drawn = samples.draws.uniform("square linf start", images.shape[1], 1, images.shape[3])
    return project(images + epsilon * signs(torch.from_numpy(drawn).to(images)), images, "linf", epsilon)


def paint(images: torch.Tensor, centers: torch.Tensor, draws: torch.Tensor, side: int, epsilon: float) -> torch.Tensor:
    """Images with a square that goes up or down to the border of the ball, by color; `draws` (n, 2 + channels)."""
    colors = signs(draws[:, 2:])[:, :, None, None]
    return project(images + 2 * epsilon * colors * _square(images, draws, side), centers, "linf", epsilon)


def tiles(samples: Samples, epsilon: float) -> torch.Tensor:
    """Clean images with a grid of hills, each up or down by color and turned or not, epsilon in all."""
    images = samples.images
    channels, height, width = images.shape[1:]
    side = max(min(height, width) // TILES, 1)
    rows, columns = height // side, width // side
    drawn = torch.from_numpy(samples.draws.uniform("square l2 start", rows, columns, channels + 1)).to(images)
    shape = hill(side, images.device)
    turned = torch.where(drawn[..., :1, None, None] < 0.5, shape.T, shape)
    hills = (signs(drawn[..., 1:, None, None]) * turned).permute(0, 3, 1, 4, 2, 5)
    above, left = (height - rows * side) // 2, (width - columns * side) // 2
    around = (left, width - columns * side - left, above, height - rows * side - above)
    moves = F.pad(hills.reshape(len(images), channels, rows * side, columns * side), around)
    return project(images + moves * spread(epsilon / size(moves, "l2"), images), images, "l2", epsilon)


def pile(images: torch.Tensor, centers: torch.Tensor, draws: torch.Tensor, side: int, epsilon: float) -> torch.Tensor:
    """Images with a hill on a first square, paid for by a second one and what was unused; `draws` (n, 5 + channels).

    By color the first square gets the sum of a hill, up or down, and of what it had, both of size 1; the sum's size
    is then such that the whole has the size epsilon.
    """
    moves = images - centers
    first, second = _square(images, draws, side), _square(images, draws[:, 2:], side)
    unused = (epsilon**2 - moves.square().sum(dim=(1, 2, 3))).clamp_min(0) / moves.shape[1]
    budget = ((moves * (first | second)).square().sum(dim=(2, 3)) + unused[:, None]).sqrt()
    shape = hill(side, images.device)
    turned = choose(draws[:, 4] < 0.5, shape.T[None, None], shape[None, None])
    inside = _window(images, draws, side)
    new = signs(draws[:, 5:])[:, :, None, None] * turned + _unit(moves[inside].permute(0, 3, 1, 2))
    moves = moves.masked_fill(second, 0)
    moves[inside] = (_unit(new) * budget[:, :, None, None]).permute(0, 2, 3, 1)
    return project(centers + moves, centers, "l2", epsilon)


SQUARES = {"linf": Squares(stripes, paint, 2, 1, odd=False), "l2": Squares(tiles, pile, 5, 3, odd=True)}
"""By norm."""


@functools.lru_cache(maxsize=256)
def hill(side: int, device: torch.device) -> torch.Tensor:
    """A hill in the upper half and a hollow in the lower one, (side, side), of size 1 (the paper's eta)."""
    upper = side // 2
    both = torch.cat([_half(upper, side), -_half(side - upper, side)])
    return (both / both.norm()).to(device)


def _half(height: int, width: int) -> torch.Tensor:
    """At a distance of d pixels from the middle, in rows or columns, the sum of 1/m**2 for m from d + 1 on."""
    rows, columns = (torch.arange(length) - length // 2 for length in (height, width))
    away = torch.maximum(rows.abs()[:, None], columns.abs())
    steps = torch.arange(max(height, width) // 2 + 1, 0, -1)
    return (1 / steps.float().square()).cumsum(0).flip(0)[away]


def signs(draws: torch.Tensor) -> torch.Tensor:
    """-1 or 1 for each number in [0, 1)."""
    return torch.where(draws < 0.5, -1.0, 1.0)


def _corners(images: torch.Tensor, draws: torch.Tensor, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The upper left pixels (n,) and (n,) of squares that lie within the image, from the first two draws."""
    most = [length - side for length in images.shape[2:]]
    above, left = ((draws[:, i] * (most[i] + 1)).long().clamp_max(most[i]) for i in range(2))
    return above, left


def _square(images: torch.Tensor, draws: torch.Tensor, side: int) -> torch.Tensor:
    """Whether a pixel is in the square, bool (n, 1, H, W)."""
    corners, lengths = _corners(images, draws, side), images.shape[2:]
    steps = (
        torch.arange(length, device=images.device) - corner[:, None]
        for corner, length in zip(corners, lengths, strict=True)
    )
    rows, columns = ((step >= 0) & (step < side) for step in steps)
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _window(images: torch.Tensor, draws: torch.Tensor, side: int) -> tuple[torch.Tensor | slice, ...]:
    """The index of the square's pixels: images[index] is (n, side, side, channels)."""
    above, left = _corners(images, draws, side)
    steps = torch.arange(side, device=images.device)
    samples = torch.arange(len(images), device=images.device)[:, None, None]
    return samples, slice(None), (above[:, None] + steps)[:, :, None], (left[:, None] + steps)[:, None, :]


def _unit(patches: torch.Tensor) -> torch.Tensor:
    """Each color of patches (n, channels, side, side) scaled to size 1; 0 stays 0."""
    return patches / patches.square().sum(dim=(2, 3), keepdim=True).sqrt().clamp_min(TINY)
