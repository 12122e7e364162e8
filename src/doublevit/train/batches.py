"""The batches of an epoch as the network gets them: gathered, put in place, augmented, blended."""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import torch

from doublevit.augment.draws import draw_table
from doublevit.augment.mixing import soft_labels
from doublevit.data.batches import gather, training_batches
from doublevit.models.preprocess import to_bytes
from doublevit.train.training import Training

# Several small batches are augmented at once, since each operation costs the same few calls: 512 photos of 64 x 64.
AHEAD = 512 * 64 * 64


@dataclasses.dataclass(frozen=True)
class Batch:
    """What a step is made on.

    `images`: uint8 (B, views, 3, H, W); `labels`: the class with the greatest share, int64 (B,); `targets`: the same,
    or float32 (B, classes) where photos are blended; `indices`: the samples' places in the data set, int64 (B,).
    """

    images: torch.Tensor
    labels: torch.Tensor
    targets: torch.Tensor
    indices: torch.Tensor

    def split(self, size: int) -> "list[Batch]":
        """Parts of `size` photos; the last may be smaller."""
        columns = (getattr(self, field.name).split(size) for field in dataclasses.fields(self))
        return [Batch(*part) for part in zip(*columns, strict=True)]

    def __len__(self) -> int:
        return len(self.labels)


def epoch_batches(training: Training, epoch: int, first: int) -> Iterator[Batch]:
    """This process's share of the epoch's batches from number `first` on."""
    dataset, accelerator = training.splits["train"], training.accelerator
    draws = draw_table(training.seed, epoch, len(dataset), training.columns)
    share = (accelerator.process_index, accelerator.num_processes)
    batches = training_batches(len(dataset), training.config.batch_size, training.seed, epoch, *share)
    batches, ahead = itertools.islice(batches, first, None), _ahead(training)
    while group := list(itertools.islice(batches, ahead)):
        yield from _augmented(training, np.concatenate(group), draws).split(len(group[0]))


def _ahead(training: Training) -> int:
    """How many batches to augment together."""
    side = training.model.resize.size
    height, width = (side, side) if training.augment.place == "input" else training.splits["train"].images.shape[1:3]
    pixels = height * width
    return max(1, AHEAD // (pixels * training.config.batch_size // training.accelerator.num_processes))


def _augmented(training: Training, indices: np.ndarray, draws: np.ndarray) -> Batch:
    """The samples at `indices`, each by its own row of the draws."""
    own = draws[indices]
    labels, images = _views(training, indices, own)
    places = torch.from_numpy(indices)
    if training.mixing is None:
        return Batch(images, labels, labels, places)
    own = own[:, -training.mixing.columns :]
    partners = training.mixing.partners(own, len(draws))
    other_labels, others = _views(training, partners, draws[partners])
    mixed, share = training.mixing(images[:, 0], others[:, 0], own)
    targets = soft_labels(labels, other_labels, share, len(training.splits["train"].class_ids))
    return Batch(mixed[:, None], targets.argmax(dim=1), targets, places)


def _views(training: Training, indices: np.ndarray, draws: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels (n,) and augmented views uint8 (n, views, 3, H, W), on the training's device."""
    batch = gather(training.splits["train"], indices).to(training.accelerator.device)
    images = batch.images
    if training.augment.place == "input":
        images = to_bytes(training.model.resize(images))
    return batch.labels, training.augmentation(images, draws[:, : training.augmentation.columns])
