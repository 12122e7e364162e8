"""Augmentations as a config describes them, and described examples of their results."""

import dataclasses
import itertools
from collections.abc import Iterable
from typing import Protocol

import numpy as np
import torch

from doublevit.augment.augmix import AugMix
from doublevit.augment.classic import ColorJitter, Cutout, Placement
from doublevit.augment.config import AugmentConfig
from doublevit.augment.crops import Crop, Flip
from doublevit.augment.draws import Draws
from doublevit.augment.erasing import Erasing
from doublevit.augment.pixels import to_bytes
from doublevit.augment.resized_crop import ResizedCrop
from doublevit.augment.sequences import RandAugment, TrivialAugment
from doublevit.images import Regions
from doublevit.regions import resize_regions

View = tuple[np.ndarray, list[str]]  # uint8 (H, W, 3), and a description of what was done


class AugmentStage(Protocol):
    """One stage of an augmentation."""

    columns: int
    """How many uniform numbers the stage needs for an image."""
    bytes_only: bool
    """Whether the stage takes uint8 only, or floats as well."""

    def __call__(self, images: torch.Tensor, draws: np.ndarray) -> torch.Tensor:
        """Augment images (B, 3, H, W) by draws float32 (B, columns), uniform in 0..1."""

    def describe(self, draws: np.ndarray, size: tuple[int, int]) -> list[str]:
        """Describe what draws (1, columns) do to an image of `size`, height and width."""


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Makes one or more views of each image: by the stages that all views share, then by those of each view."""

    shared: tuple[AugmentStage, ...]
    views: tuple[tuple[AugmentStage, ...], ...] = ((),)
    resized_crop: ResizedCrop | None = None
    """What decides which region of an image is gathered, before all stages."""

    @property
    def columns(self) -> int:
        """How many uniform numbers an image needs: those of the region come first."""
        return self._of_region + sum(stage.columns for stage in self._stages())

    def boxes(self, draws: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
        """Return the regions of images of `size`, height and width, that are to be gathered; None if they are whole.

        Returns:
            Top, left, height and width in pixels, int64 (n, 4), by draws (n, columns or more).
        """
        return self.resized_crop.boxes(draws[:, : self._of_region], size) if self.resized_crop else None

    def __call__(self, images: torch.Tensor, draws: np.ndarray) -> torch.Tensor:
        """Make views of images.

        Args:
            images: uint8, or float in [0, 1], (B, 3, H, W); of each only its region, if there is one.
            draws: float32 (B, columns), uniform in 0..1, on the CPU: a row for each image decides everything random.

        Returns:
            (B, views, 3, H', W') of the same dtype; H' and W' are H and W, or the size of the crop.

        Raises:
            ValueError: images or draws are of another type or shape.
            UserError: the crop is larger than the padded images.
        """
        self._check(images, draws)
        if not len(images):  # shapes as for one image
            return self(images.new_zeros((1, *images.shape[1:])), np.zeros((1, self.columns), np.float32))[:0]
        base, used = _run(self.shared, images, draws, self._of_region)
        views = []
        for stages in self.views:
            view, used = _run(stages, base, draws, used)
            views.append(view)
        return views[0][:, None] if len(views) == 1 else torch.stack(views, dim=1)

    def describe(self, draws: np.ndarray, size: tuple[int, int]) -> list[list[str]]:
        """Describe for each view what draws (1, columns) do to an image of `size`, height and width."""
        region = self.resized_crop.describe(draws[:, : self._of_region], size) if self.resized_crop else []
        shared, used = _lines(self.shared, draws, size, self._of_region)
        views = []
        for stages in self.views:
            lines, used = _lines(stages, draws, size, used)
            views.append([*region, *shared, *lines])
        return views

    def _check(self, images: torch.Tensor, draws: np.ndarray) -> None:
        kind = images.dtype == torch.uint8 or images.is_floating_point()
        if not kind or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"expected uint8 or float (B, 3, H, W), found {images.dtype} {tuple(images.shape)}")
        if draws.shape != (len(images), self.columns):
            raise ValueError(f"expected draws of shape {(len(images), self.columns)}, found {draws.shape}")

    @property
    def _of_region(self) -> int:
        return self.resized_crop.columns if self.resized_crop else 0

    def _stages(self) -> list[AugmentStage]:
        return [*self.shared, *itertools.chain(*self.views)]


def _run(
    stages: Iterable[AugmentStage], images: torch.Tensor, draws: np.ndarray, used: int
) -> tuple[torch.Tensor, int]:
    """Apply the stages in turn, each with its columns of the draws from `used` on; return images and columns used."""
    for stage in stages:
        part = draws[:, used : used + stage.columns]
        used += stage.columns
        as_float = stage.bytes_only and images.is_floating_point()
        result = stage(to_bytes(images) if as_float else images, part)
        images = result.to(images.dtype) / 255 if as_float else result
    return images, used


def _lines(
    stages: Iterable[AugmentStage], draws: np.ndarray, size: tuple[int, int], used: int
) -> tuple[list[str], int]:
    lines: list[str] = []
    for stage in stages:
        lines += stage.describe(draws[:, used : used + stage.columns], size)
        used += stage.columns
    return lines, used


def make_augmentation(config: AugmentConfig) -> Augmentation:
    """Make the augmentation that `config` describes, without Mixup and CutMix, which need pairs of images."""
    resized = None if config.scale is None else ResizedCrop(config.scale)
    plain: tuple[AugmentStage, ...] = () if resized else (Crop(flip=False, size=config.crop_size),)
    basic: tuple[AugmentStage, ...] = (Flip(),) if resized else (Crop(flip=True, size=config.crop_size),)
    mixed = config.augmix
    augmix = AugMix(config.operations, mixed.severity, mixed.width, mixed.depth, mixed.alpha)
    shared: dict[str, tuple[AugmentStage, ...]] = {
        "none": (),
        "crop": plain,
        "basic": basic,
        "classic": (Placement(config.crop_size, padded=resized is None), ColorJitter(), Cutout()),
        "augmix": (*basic, augmix),
        "augmix-strict": (*basic, augmix),
        "augmix-jsd": basic,
        "randaugment": (*basic, RandAugment()),
        "trivial": (*basic, TrivialAugment()),
    }
    erased: tuple[AugmentStage, ...] = (Erasing(config.erasing),) if config.erasing else ()
    # As in timm, the first of three views stays clean.
    views = ((), (augmix, *erased), (augmix, *erased)) if config.consistency else (erased,)
    return Augmentation(shared[config.policy], views, resized)


def described_views(originals: np.ndarray, chosen: np.ndarray, config: AugmentConfig, count: int) -> list[list[View]]:
    """Return the first `count` views that training with this policy and seed 0 makes of each chosen image.

    Args:
        originals: the chosen images, uint8 (n, H, W, 3).
        chosen: their indices in the data set, int64 (n,).
        config: the policy; Mixup and CutMix are left out.
        count: views of each image; a policy makes one or more in an epoch.
    """
    augmentation, size = make_augmentation(config), (originals.shape[1], originals.shape[2])
    views: list[list[View]] = [[] for _ in chosen]
    for epoch in range(-(-count // len(augmentation.views))):
        draws = Draws(0, epoch, int(chosen.max()) + 1, augmentation.columns).rows(chosen)
        boxes, images = augmentation.boxes(draws, size), originals
        if boxes is not None:
            images = resize_regions(originals, Regions(boxes, config.crop_size or max(size), "bicubic"))
        made = augmentation(torch.from_numpy(images).permute(0, 3, 1, 2), draws).permute(0, 1, 3, 4, 2).numpy()
        for number, row in enumerate(draws):
            views[number] += zip(made[number], augmentation.describe(row[None], size), strict=True)
    return [views_of_image[:count] for views_of_image in views]
