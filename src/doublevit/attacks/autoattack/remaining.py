"""The samples that an attack has not brought down yet: those that fall cost nothing more."""

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from doublevit.attacks.interface import Samples

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

State = TypeVar("State", bound="DataclassInstance")


class Remaining:
    """Samples that leave one by one as they fall, each with the image that felled it.

    `images` (B, 3, H, W) is the last image that was put for each sample, at first its photo; `places` int64 (n,) are
    the samples that remain. What felled a sample in a small ball does so in a larger one, so one object serves all
    restarts, targets and (ascending) epsilons.
    """

    def __init__(self, samples: Samples) -> None:
        self.samples = samples
        self.images = samples.images.clone()
        self.places = torch.arange(len(samples), device=samples.images.device)

    def __len__(self) -> int:
        return len(self.places)

    def current(self) -> Samples:
        """The samples that remain."""
        return self.samples.at(self.places)

    def put(self, images: torch.Tensor) -> None:
        """Keep an image for each sample that remains, (n, 3, H, W), until a better one comes."""
        self.images[self.places] = images

    def drop(self, images: torch.Tensor, fallen: torch.Tensor) -> torch.Tensor | None:
        """Keep for good the images (n, 3, H, W) where `fallen` bool (n,), and let those samples go.

        Returns:
            Which of the n remain, int64; None when all do.
        """
        if not fallen.any():
            return None
        self.images[self.places[fallen]] = images[fallen]
        left = (~fallen).nonzero().squeeze(1)
        self.places = self.places[left]
        return left


def select(state: State, places: torch.Tensor) -> State:
    """A dataclass of tensors (n, ...) and of further such dataclasses, for some of its samples."""
    parts = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    return dataclasses.replace(state, **{name: _select(part, places) for name, part in parts.items()})


def _select(part: Any, places: torch.Tensor) -> Any:
    return part[places] if isinstance(part, torch.Tensor) else select(part, places)


def choose(mask: torch.Tensor, ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Our samples (n, ...) where `mask` bool (n,), else theirs."""
    return torch.where(mask.view(-1, *[1] * (ours.ndim - 1)), ours, theirs)
