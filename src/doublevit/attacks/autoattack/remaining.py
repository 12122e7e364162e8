"""The samples that an attack has not broken yet: broken ones cost no further step."""

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from doublevit.attacks.interface import Samples

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

State = TypeVar("State", bound="DataclassInstance")


class RemainingSamples:
    """Holds samples that leave as they are broken, each with the image that broke it.

    `images` (B, 3, H, W) is the last image that was set for each sample, at first the clean one; `indices` int64 (n,)
    are the samples that remain. What broke a sample in a small ball is in any larger one too, so one object serves all
    restarts, targets and (ascending) epsilons.
    """

    def __init__(self, samples: Samples) -> None:
        self.images = samples.images.clone()
        self.indices = torch.arange(len(samples), device=samples.images.device)
        self._all = samples

    def __len__(self) -> int:
        return len(self.indices)

    def select(self) -> Samples:
        """Return the clean samples that remain."""
        return self._all.at(self.indices)

    def set_images(self, images: torch.Tensor) -> None:
        """Keep an image for each sample that remains, (n, 3, H, W), until a better one comes."""
        self.images[self.indices] = images

    def remove_broken(self, images: torch.Tensor, broken: torch.Tensor) -> torch.Tensor | None:
        """Keep for good the images (n, 3, H, W) where `broken` bool (n,), and let those samples go.

        Returns:
            Which of the n remain, int64; None when all do.
        """
        if not broken.any():
            return None
        self.images[self.indices[broken]] = images[broken]
        unbroken = (~broken).nonzero().squeeze(1)
        self.indices = self.indices[unbroken]
        return unbroken


def select_samples(state: State, indices: torch.Tensor) -> State:
    """Return a dataclass of tensors (n, ...) and of further such dataclasses for some of its samples."""
    parts = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    return dataclasses.replace(state, **{name: _select(part, indices) for name, part in parts.items()})


def _select(part: Any, indices: torch.Tensor) -> Any:
    return part[indices] if isinstance(part, torch.Tensor) else select_samples(part, indices)


def where_samples(mask: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the samples of `first` (n, ...) where `mask` bool (n,), else those of `second`."""
    return torch.where(mask.view(-1, *[1] * (first.ndim - 1)), first, second)
