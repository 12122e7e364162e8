"""Augmentation policies by name: what each draws for a sample, and what it makes of a batch with these draws.

A policy is `(images uint8 (B, 3, H, W), draws float32 (B, columns)) -> images`; its draws are rows of a table that is
a function of (seed, epoch, sample index) alone, so batch size, number of processes and device change nothing.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from doublevit.errors import unknown

if TYPE_CHECKING:
    import torch


@dataclasses.dataclass(frozen=True)
class Policy:
    """How many uniform numbers in 0..1 a sample needs, and the function that spends them."""

    columns: int
    apply: Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
    note: str


def _nothing(images: "torch.Tensor", draws: "torch.Tensor") -> "torch.Tensor":
    return images


def _crop(images: "torch.Tensor", draws: "torch.Tensor") -> "torch.Tensor":
    from doublevit.augment.geometry import crop_and_flip  # torch is slow to import, names are not

    return crop_and_flip(images, draws, flip=False)


def _crop_and_flip(images: "torch.Tensor", draws: "torch.Tensor") -> "torch.Tensor":
    from doublevit.augment.geometry import crop_and_flip

    return crop_and_flip(images, draws, flip=True)


POLICIES: dict[str, Policy] = {
    "none": Policy(0, _nothing, "the photos as they are"),
    "crop": Policy(
        2, _crop, "random crop after padding by 8/224 of the side: for digits and text, which must not flip"
    ),
    "basic": Policy(3, _crop_and_flip, "random crop after padding by 8/224 of the side, horizontal flip"),
}


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """What is done to the training photos."""

    policy: str = "basic"
    """none, crop (pad by 8/224 of the side, crop at random) or basic (crop, then flip every other photo)."""

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise unknown("augmentation policy", self.policy, POLICIES)
