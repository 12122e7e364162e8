"""What every attack is: a function of one face, whoever wrote it."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import torch

from doublevit.attacks.draws import Draws
from doublevit.attacks.victim import Victim


@dataclasses.dataclass(frozen=True)
class Samples:
    """Photos to be attacked: `images` float32 (B, 3, H, W) in [0, 1], `labels` int64 (B,), and their `draws`."""

    images: torch.Tensor
    labels: torch.Tensor
    draws: Draws

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, places: torch.Tensor) -> "Samples":
        """Some of the samples; `places` int64 (n,)."""
        return Samples(self.images[places], self.labels[places], self.draws.at(places.cpu().numpy()))


class Attack(Protocol):
    """The model and photos it classifies rightly -> for each epsilon, images (B, 3, H, W) in that ball and in [0, 1].

    Where an attack fails, any image of the ball may come back: who asks finds out by a prediction of his own.
    """

    def __call__(self, victim: Victim, samples: Samples, epsilons: Sequence[float]) -> list[torch.Tensor]: ...
