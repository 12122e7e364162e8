"""AugMix (Hendrycks et al. 2020), as timm's `augmix-m3-w3` does it, for a whole batch at once."""

import dataclasses

import numpy as np
import torch

from doublevit.augment.draws import beta, choose, dirichlet
from doublevit.augment.operations import (
    GRAY,
    PER_OPERATION,
    TIMM,
    Applied,
    apply_operations,
    choose_operations,
    describe_step,
)
from doublevit.augment.pixels import truncate

MAX_RANDOM_DEPTH = 3  # of chains whose depth is drawn at random
CPU_CHUNK = 8  # images mixed at a time on a CPU, in buffers that stay in its cache: fresh memory is slow


@dataclasses.dataclass(frozen=True)
class Mixture:
    """The random choices of AugMix for n images: steps of n * width chains, and weights of both mixings."""

    steps: list[Applied]
    weights: np.ndarray  # of each chain, float32 (n, width); rows sum to 1
    fraction: np.ndarray  # of the mixed chains in the result, float32 (n,); the rest is the original image


class AugMix:
    """Several chains of random operations, mixed with one another and with the image.

    Args:
        operations: names to choose from.
        severity: largest magnitude, 0..10; every operation draws its magnitude below that.
        width: number of chains.
        depth: number of operations in a chain; -1 draws 1, 2 or 3.
        alpha: parameter of Dirichlet(alpha) for the chains' weights and of Beta(alpha, alpha) for their fraction.
    """

    bytes_only = True

    def __init__(self, operations: tuple[str, ...], severity: float, width: int, depth: int, alpha: float) -> None:
        self.operations, self.severity = operations, severity
        self.width, self.depth, self.alpha = width, depth, alpha
        self.deepest = MAX_RANDOM_DEPTH if depth == -1 else depth
        self.columns = width * (1 + 1 + PER_OPERATION * self.deepest) + 1

    def __call__(self, images: torch.Tensor, draws: np.ndarray) -> torch.Tensor:
        """Augment images, uint8 (B, 3, H, W), by draws (B, columns): uint8 (B, 3, H, W)."""
        mixture = self.mixture(draws)
        count = len(images)
        images = images.contiguous()
        chains = images.new_empty((count * self.width, *images.shape[1:]))
        for step in mixture.steps:
            apply_operations(images if step is mixture.steps[0] else chains, step, chains)
        return mix(images, chains.view(count, self.width, *images.shape[1:]), mixture)

    def mixture(self, draws: np.ndarray) -> Mixture:
        """Turn draws (n, columns) into operations and weights."""
        cuts = np.cumsum([1, self.width, self.width])
        fraction, weights, depths, rest = np.split(draws, cuts, axis=1)
        length = np.full(weights.shape, self.depth) if self.depth != -1 else 1 + choose(depths, MAX_RANDOM_DEPTH)
        parts = rest.reshape(-1, self.deepest, PER_OPERATION)  # (n * width, deepest, 4)
        steps = [self._step(parts[:, step], length.ravel() > step) for step in range(self.deepest)]
        fractions = beta(fraction[:, 0], self.alpha).astype(np.float32)
        return Mixture(steps, dirichlet(weights, self.alpha).astype(np.float32), fractions)

    def describe(self, draws: np.ndarray, size: tuple[int, int]) -> list[str]:
        """Describe what is done to one image: the fraction of it that stays, then a line for each chain."""
        mixture = self.mixture(draws)
        chains = [
            " > ".join(line for step in mixture.steps if (line := describe_step(step, i))) for i in range(self.width)
        ]
        parts = mixture.weights[0] * mixture.fraction[0]
        original = f"{1 - mixture.fraction[0]:.0%} image"
        return [original, *(f"{part:.0%} {chain}" for part, chain in zip(parts, chains, strict=True))]

    def _step(self, draws: np.ndarray, alive: np.ndarray) -> Applied:
        level = self.severity / 10 * draws[:, 3].astype(np.float64)
        applied = choose_operations(draws, level, self.operations, TIMM, GRAY)
        applied.code[~alive] = -1
        return applied


def mix(images: torch.Tensor, chains: torch.Tensor, mixture: Mixture) -> torch.Tensor:
    """Mix chains (B, width, 3, H, W) and images (B, 3, H, W), all uint8; truncated to integers twice, as in timm."""
    weights = torch.from_numpy(mixture.weights).to(images.device)[:, :, None, None, None]
    fraction = torch.from_numpy(mixture.fraction).to(images.device).view(-1, 1, 1, 1)
    size = CPU_CHUNK if images.device.type == "cpu" else len(images)
    result, buffers = torch.empty_like(images), torch.empty((2, size, *images.shape[1:]), device=images.device)
    parts = zip(*(part.split(size) for part in (result, images, chains, weights, fraction)), strict=True)
    for into, image, chain, weight, part in parts:
        into.copy_(_mixed(image, chain, weight, part, buffers[:, : len(image)]))
    return result


def _mixed(
    images: torch.Tensor, chains: torch.Tensor, weights: torch.Tensor, fraction: torch.Tensor, buffers: torch.Tensor
) -> torch.Tensor:
    total, spare = buffers
    total.copy_(chains[:, 0]).mul_(weights[:, 0])
    for chain in range(1, chains.shape[1]):
        total.add_(spare.copy_(chains[:, chain]).mul_(weights[:, chain]))
    spare.copy_(images)
    return truncate(total.floor_().sub_(spare).mul_(fraction).add_(spare))
