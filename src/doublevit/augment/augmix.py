"""AugMix (Hendrycks et al. 2020), as timm's `augmix-m3-w3` does it, for a whole batch at once."""

import dataclasses

import numpy as np
import torch

from doublevit.augment.draws import beta, choose, dirichlet
from doublevit.augment.operations import GRAY, PER_OPERATION, TIMM, Applied, apply_operations, choose_operations, words
from doublevit.augment.pixels import cut_off

DEEPEST = 3  # of chains whose depth is drawn
FEW = 8  # images that are mixed at a time on a CPU, in buffers that stay in its cache: fresh memory is slow


@dataclasses.dataclass(frozen=True)
class Mixture:
    """What AugMix does to n images: the chains' steps, each Applied to (n * width) images, and the two mixings."""

    steps: list[Applied]
    weights: np.ndarray  # of each chain, float32 (n, width); they sum to 1
    fraction: np.ndarray  # of the mixed chains in the result, float32 (n,); the rest is the image


class AugMix:
    """Several chains of random operations, mixed with one another and with the image.

    Args:
        operations: names to choose from.
        severity: largest magnitude, 0..10; every operation draws its own below that.
        width: number of chains.
        depth: operations in each; -1 draws 1, 2 or 3.
        alpha: of Dirichlet(alpha) for the chains' weights and Beta(alpha, alpha) for their share in the result.
    """

    bytes_only = True

    def __init__(self, operations: tuple[str, ...], severity: float, width: int, depth: int, alpha: float) -> None:
        self.operations, self.severity = operations, severity
        self.width, self.depth, self.alpha = width, depth, alpha
        self.deepest = DEEPEST if depth == -1 else depth
        self.columns = width * (1 + 1 + PER_OPERATION * self.deepest) + 1

    def __call__(self, images: torch.Tensor, draws: np.ndarray) -> torch.Tensor:
        """Images uint8 (B, 3, H, W) and draws (B, columns) to uint8 (B, 3, H, W)."""
        mixture = self.mixture(draws)
        count = len(images)
        images = images.contiguous()
        chains = images.new_empty((count * self.width, *images.shape[1:]))
        for step in mixture.steps:
            apply_operations(images if step is mixture.steps[0] else chains, step, chains)
        return mix(images, chains.view(count, self.width, *images.shape[1:]), mixture)

    def mixture(self, draws: np.ndarray) -> Mixture:
        """What the draws (n, columns) mean."""
        cuts = np.cumsum([1, self.width, self.width])
        fraction, weights, depths, rest = np.split(draws, cuts, axis=1)
        length = np.full(weights.shape, self.depth) if self.depth != -1 else 1 + choose(depths, DEEPEST)
        parts = rest.reshape(-1, self.deepest, PER_OPERATION)  # (n * width, deepest, 4)
        steps = [self._step(parts[:, step], length.ravel() > step) for step in range(self.deepest)]
        fractions = beta(fraction[:, 0], self.alpha).astype(np.float32)
        return Mixture(steps, dirichlet(weights, self.alpha).astype(np.float32), fractions)

    def lines(self, draws: np.ndarray, size: tuple[int, int]) -> list[str]:
        """What is done to one image, in words: a line for each chain, then how much of the image stays."""
        mixture = self.mixture(draws)
        chains = [" > ".join(line for step in mixture.steps if (line := words(step, i))) for i in range(self.width)]
        parts = mixture.weights[0] * mixture.fraction[0]
        original = f"{1 - mixture.fraction[0]:.0%} image"
        return [original, *(f"{part:.0%} {chain}" for part, chain in zip(parts, chains, strict=True))]

    def _step(self, draws: np.ndarray, alive: np.ndarray) -> Applied:
        level = self.severity / 10 * draws[:, 3].astype(np.float64)
        applied = choose_operations(draws, level, self.operations, TIMM, GRAY)
        applied.code[~alive] = -1
        return applied


def mix(images: torch.Tensor, chains: torch.Tensor, mixture: Mixture) -> torch.Tensor:
    """Chains (B, width, 3, H, W) and images (B, 3, H, W) mixed; bytes, cut off behind the point twice, as in timm."""
    weights = torch.from_numpy(mixture.weights).to(images.device)[:, :, None, None, None]
    fraction = torch.from_numpy(mixture.fraction).to(images.device).view(-1, 1, 1, 1)
    size = FEW if images.device.type == "cpu" else len(images)
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
    return cut_off(total.floor_().sub_(spare).mul_(fraction).add_(spare))
