"""The signature that every attack has, whoever wrote it, and the samples that it gets."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import torch

from doublevit.attacks.draws import AttackDraws
from doublevit.attacks.victim import Victim


@dataclasses.dataclass(frozen=True)
class Samples:
    """Holds what is attacked: `images` float32 (B, 3, H, W) in [0, 1], `labels` int64 (B,), and their `draws`."""

    images: torch.Tensor
    labels: torch.Tensor
    draws: AttackDraws

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, indices: torch.Tensor) -> "Samples":
        """Return the samples at `indices` int64 (n,)."""
        return Samples(self.images[indices], self.labels[indices], self.draws.at(indices.cpu().numpy()))


class AttackFunction(Protocol):
    """Moves images that the model gets right: for each epsilon, returns images (B, 3, H, W) in that ball and in [0, 1].

    Where an attack fails, any image of the ball may come back: the caller predicts to find out.
    """

    def __call__(self, victim: Victim, samples: Samples, epsilons: Sequence[float]) -> list[torch.Tensor]: ...
