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
from doublevit.attacks.autoattack.remaining import RemainingSamples, select_samples, where_samples
from doublevit.attacks.balls import norm_of, per_sample, project
from doublevit.attacks.interface import Samples
from doublevit.attacks.victim import Victim
from doublevit.errors import UserError, unknown

HALVING_QUERIES = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
TILES = 5  # eta patterns along each side of the first L2 image
TINY = 1e-12  # keeps a patch that is divided by its norm finite


def square_fraction(query: int, initial: float) -> float:
    """Return the fraction of the pixels that the square of a query covers (the paper's p), `initial` at first.

    It is halved after 10, 50, 200, 500, 1,000, 2,000, 4,000, 6,000 and 8,000 queries, as in the authors' code; the
    paper's list lacks the 500. A search of fewer queries ends earlier, as in the standard AutoAttack.
    """
    return initial / 2 ** sum(query > halving for halving in HALVING_QUERIES)


@dataclasses.dataclass
class _SearchState:
    """Holds the best images so far of the samples that remain, their margins (n,), and their rows of the draws."""

    centers: torch.Tensor
    labels: torch.Tensor
    images: torch.Tensor
    margins: torch.Tensor
    draw_rows: torch.Tensor

    @classmethod
    def start(cls, samples: Samples) -> "_SearchState":
        images, labels = samples.images, samples.labels
        margins = torch.full_like(images[:, 0, 0, 0], -torch.inf)
        return cls(images, labels, images, margins, torch.arange(len(labels), device=labels.device))

    def keep_better(self, images: torch.Tensor, margins: torch.Tensor) -> None:
        """Keep the images (n, 3, H, W) whose margins (n,) are larger than the best so far."""
        better = margins > self.margins
        self.images = where_samples(better, images, self.images)
        self.margins = torch.where(better, margins, self.margins)


@dataclasses.dataclass(frozen=True)
class Square:
    """Runs the Square attack in the norm "linf" or "l2" on the margin.

    A sample is predicted `queries` times; the first square covers `initial_fraction` of its pixels. Each epsilon is a
    run of its own, of the samples that no smaller one broke.

    Raises:
        UserError: there is no such norm, `queries` is below 1, `initial_fraction` is not in (0, 1], or, when it is
            called, there is only one class.
    """

    norm: str = "linf"
    queries: int = 5000
    initial_fraction: float = 0.8

    def __post_init__(self) -> None:
        if self.norm not in PROPOSALS:
            raise unknown("norm of Square", self.norm, PROPOSALS)
        if self.queries < 1 or not 0 < self.initial_fraction <= 1:
            raise UserError(f"expected queries of 1 or more and an initial fraction above 0, at most 1, found {self}")

    @torch.no_grad()
    def __call__(self, victim: Victim, samples: Samples, epsilons: Sequence[float]) -> list[torch.Tensor]:
        """Return for each ascending epsilon images (B, 3, H, W): what broke a sample, else the last run's best."""
        remaining, results = RemainingSamples(samples), []
        for epsilon in epsilons:
            if len(remaining) and epsilon > 0:
                self._run(victim, remaining, epsilon)
            results.append(remaining.images.clone())
        return results

    def _run(self, victim: Victim, remaining: RemainingSamples, epsilon: float) -> None:
        """Search once for all samples that remain; those that are broken leave."""
        proposals, samples = PROPOSALS[self.norm], remaining.select()
        channels, height, width = samples.images.shape[1:]
        drawn = samples.draws.uniform(f"square {self.norm}", self.queries, proposals.position_draws + channels)
        draws = torch.from_numpy(drawn).to(samples.images)
        state, tried = _SearchState.start(samples), proposals.initialize(samples, epsilon)
        for query in range(self.queries):
            if query:
                side = proposals.side(square_fraction(query, self.initial_fraction), height, width)
                tried = proposals.propose(state.images, state.centers, draws[state.draw_rows, query], side, epsilon)
            logits = victim(tried)
            state.keep_better(tried, margin(logits, state.labels))
            unbroken = remaining.remove_broken(tried, logits.argmax(dim=1) != state.labels)
            state = state if unbroken is None else select_samples(state, unbroken)
            if not len(remaining):
                return
        remaining.set_images(state.images)


@dataclasses.dataclass(frozen=True)
class Proposals:
    """Holds how images to try are made in one norm.

    `initialize(samples, epsilon)` gives the first images; `propose(images, centers, draws, side, epsilon)` changes
    images in squares of `side` pixels. Its `draws`, uniform in [0, 1), are (n, position_draws + channels): where the
    squares are (and how they are turned), and a sign for each channel. Sides are odd where `odd_sides`.
    """

    initialize: Callable[[Samples, float], torch.Tensor]
    propose: Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int, float], torch.Tensor]
    position_draws: int
    min_side: int
    odd_sides: bool

    def side(self, fraction: float, height: int, width: int) -> int:
        """Return the side of the square that covers this fraction of an image, in pixels."""
        side = max(round(math.sqrt(fraction * height * width)), self.min_side)
        return min(side + (self.odd_sides and side % 2 == 0), height, width)


def initialize_linf(samples: Samples, epsilon: float) -> torch.Tensor:
    """Add vertical stripes one pixel wide to clean images, up or down by epsilon in each color."""
    images = samples.images
    drawn = samples.draws.uniform("square linf start", images.shape[1], 1, images.shape[3])
    return project(images + epsilon * signs(torch.from_numpy(drawn).to(images)), images, "linf", epsilon)


def propose_linf(
    images: torch.Tensor, centers: torch.Tensor, draws: torch.Tensor, side: int, epsilon: float
) -> torch.Tensor:
    """Move one square, by color, up or down to the border of the ball (algorithm 2); `draws` (n, 2 + channels)."""
    colors = signs(draws[:, 2:])[:, :, None, None]
    # From anywhere in the ball 2 epsilon reach the border; projection cuts what is beyond.
    return project(images + 2 * epsilon * colors * _square_mask(images, draws, side), centers, "linf", epsilon)


def initialize_l2(samples: Samples, epsilon: float) -> torch.Tensor:
    """Add a grid of eta patterns, each up or down by color and turned or not, of norm epsilon in all."""
    images = samples.images
    channels, height, width = images.shape[1:]
    side = max(min(height, width) // TILES, 1)
    rows, columns = height // side, width // side
    drawn = torch.from_numpy(samples.draws.uniform("square l2 start", rows, columns, channels + 1)).to(images)
    eta = eta_pattern(side, images.device)
    turned = torch.where(drawn[..., :1, None, None] < 0.5, eta.T, eta)
    patterns = (signs(drawn[..., 1:, None, None]) * turned).permute(0, 3, 1, 4, 2, 5)
    above, left = (height - rows * side) // 2, (width - columns * side) // 2
    padding = (left, width - columns * side - left, above, height - rows * side - above)
    moves = F.pad(patterns.reshape(len(images), channels, rows * side, columns * side), padding)
    return project(images + moves * per_sample(epsilon / norm_of(moves, "l2"), images), images, "l2", epsilon)


def propose_l2(
    images: torch.Tensor, centers: torch.Tensor, draws: torch.Tensor, side: int, epsilon: float
) -> torch.Tensor:
    """Move the norm of a second square, and what is unused of epsilon, to a first one; `draws` (n, 5 + channels).

    By color the first square gets the sum of an eta pattern, up or down, and of its own move, both of norm 1; the sum
    is then scaled such that all moves together have the norm epsilon (algorithm 3).
    """
    moves = images - centers
    first, second = _square_mask(images, draws, side), _square_mask(images, draws[:, 2:], side)
    unused = (epsilon**2 - moves.square().sum(dim=(1, 2, 3))).clamp_min(0) / moves.shape[1]
    budget = ((moves * (first | second)).square().sum(dim=(2, 3)) + unused[:, None]).sqrt()
    eta = eta_pattern(side, images.device)
    turned = where_samples(draws[:, 4] < 0.5, eta.T[None, None], eta[None, None])
    inside = _square_index(images, draws, side)
    new = signs(draws[:, 5:])[:, :, None, None] * turned + _normalize(moves[inside].permute(0, 3, 1, 2))
    moves = moves.masked_fill(second, 0)
    moves[inside] = (_normalize(new) * budget[:, :, None, None]).permute(0, 2, 3, 1)
    return project(centers + moves, centers, "l2", epsilon)


PROPOSALS = {
    "linf": Proposals(initialize_linf, propose_linf, position_draws=2, min_side=1, odd_sides=False),
    "l2": Proposals(initialize_l2, propose_l2, position_draws=5, min_side=3, odd_sides=True),
}


@functools.lru_cache(maxsize=256)
def eta_pattern(side: int, device: torch.device) -> torch.Tensor:
    """Return the paper's eta: a hill in the upper half and a hollow in the lower one, (side, side), of norm 1."""
    upper = side // 2
    both = torch.cat([_hill(upper, side), -_hill(side - upper, side)])
    return (both / both.norm()).to(device)


def _hill(height: int, width: int) -> torch.Tensor:
    """Return the sum of 1/m**2 for m from d + 1 on, d pixels (in rows or columns) from the middle."""
    rows, columns = (torch.arange(length) - length // 2 for length in (height, width))
    distances = torch.maximum(rows.abs()[:, None], columns.abs())
    terms = torch.arange(max(height, width) // 2 + 1, 0, -1)
    return (1 / terms.float().square()).cumsum(0).flip(0)[distances]


def signs(draws: torch.Tensor) -> torch.Tensor:
    """Return -1 or 1 for each number in [0, 1)."""
    return torch.where(draws < 0.5, -1.0, 1.0)


def _corners(images: torch.Tensor, draws: torch.Tensor, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows (n,) and columns (n,) of the upper left pixels of squares in the image, from the first two draws."""
    last = [length - side for length in images.shape[2:]]
    rows, columns = ((draws[:, i] * (last[i] + 1)).long().clamp_max(last[i]) for i in range(2))
    return rows, columns


def _square_mask(images: torch.Tensor, draws: torch.Tensor, side: int) -> torch.Tensor:
    """Return whether a pixel is in the square, bool (n, 1, H, W)."""
    corners, lengths = _corners(images, draws, side), images.shape[2:]
    offsets = (
        torch.arange(length, device=images.device) - corner[:, None]
        for corner, length in zip(corners, lengths, strict=True)
    )
    rows, columns = ((offset >= 0) & (offset < side) for offset in offsets)
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _square_index(images: torch.Tensor, draws: torch.Tensor, side: int) -> tuple[torch.Tensor | slice, ...]:
    """Return the index of the square's pixels: images[index] is (n, side, side, channels)."""
    rows, columns = _corners(images, draws, side)
    offsets = torch.arange(side, device=images.device)
    samples = torch.arange(len(images), device=images.device)[:, None, None]
    return samples, slice(None), (rows[:, None] + offsets)[:, :, None], (columns[:, None] + offsets)[:, None, :]


def _normalize(patches: torch.Tensor) -> torch.Tensor:
    """Scale each color of patches (n, channels, side, side) to an L2 norm of 1; 0 stays 0."""
    return patches / patches.square().sum(dim=(2, 3), keepdim=True).sqrt().clamp_min(TINY)
