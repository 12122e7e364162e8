"""What training would make of some photos, with the operations named, to be looked at."""

import numpy as np
import torch

from doublevit.augment.config import AugmentConfig
from doublevit.augment.draws import draw_table
from doublevit.augment.policies import make_augmentation

View = tuple[np.ndarray, list[str]]  # uint8 (H, W, 3), and what was done


def described_views(
    photos: np.ndarray, chosen: np.ndarray, total: int, config: AugmentConfig, count: int
) -> list[list[View]]:
    """The first `count` views that training with this policy and seed 0 makes of each chosen photo.

    Args:
        photos: the chosen ones, uint8 (n, H, W, 3).
        chosen: their places in the data set, int64 (n,).
        total: how many photos the data set has.
        config: the policy; Mixup and CutMix are left out.
        count: views of each; a policy makes one or more in an epoch.
    """
    augmentation = make_augmentation(config)
    images, size = torch.from_numpy(photos).permute(0, 3, 1, 2), (photos.shape[1], photos.shape[2])
    views: list[list[View]] = [[] for _ in chosen]
    for epoch in range(-(-count // len(augmentation.views))):
        draws = draw_table(0, epoch, total, augmentation.columns)[chosen]
        made = augmentation(images, draws).permute(0, 1, 3, 4, 2).numpy()
        for number, row in enumerate(draws):
            views[number] += zip(made[number], augmentation.lines(row[None], size), strict=True)
    return [own[:count] for own in views]
