"""What every attack is: a function with the same signature, whoever wrote it."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import torch

from doublevit.attacks.draws import AttackDraws
from doublevit.attacks.victim import Victim


@dataclasses.dataclass(frozen=True)
class Samples:
    """Images to be attacked: `images` float32 (B, 3, H, W) in [0, 1], `labels` int64 (B,), and their `draws`."""

    images: torch.Tensor
    labels: torch.Tensor
    draws: AttackDraws

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, indices: torch.Tensor) -> "Samples":
        """Some of the samples; `indices` int64 (n,)."""
        return Samples(self.images[indices], self.labels[indices], self.draws.at(indices.cpu().numpy()))


class AttackFunction(Protocol):
    """The model and images that it gets right -> for each epsilon, images (B, 3, H, W) in that ball and in [0, 1].

    Where an attack fails, any image of the ball may come back: the caller finds out by a prediction of its own.
    """

    def __call__(self, victim: Victim, samples: Samples, epsilons: Sequence[float]) -> list[torch.Tensor]: ...
