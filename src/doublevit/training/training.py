"""What stays the same while a model is trained: data, augmentation, optimizer; and its batches."""

import dataclasses
import itertools
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from timm.utils import ModelEmaV3

from doublevit.augment import AugmentConfig
from doublevit.augment.draws import Draws
from doublevit.augment.mixing import Mixing, soft_labels
from doublevit.augment.pixels import to_bytes
from doublevit.augment.policies import Augmentation, make_augmentation
from doublevit.data.batches import Batch, gather, steps_per_epoch, training_batches
from doublevit.data.dataset import Dataset, Splits
from doublevit.data.sampling import EpochOrder, balanced, require_every_class, shuffled
from doublevit.device import choose_dtype, on_cpu, this_process
from doublevit.images import Regions
from doublevit.models.classifier import Classifier
from doublevit.models.explicit_attention import prefer_explicit
from doublevit.prefetch import prefetch
from doublevit.runs.checkpoint import TrainingState
from doublevit.runs.folder import RunFolder
from doublevit.training.batch_norm import fewest_images, require_enough
from doublevit.training.class_weights import class_weights
from doublevit.training.config import TrainConfig
from doublevit.training.ema import make_ema
from doublevit.training.log import TrainingLog
from doublevit.training.optimizer import make_optimizer
from doublevit.training.time_left import TimeLeft
from doublevit.training.val_sets import ValSet

# Small batches are augmented several at once, since an operation costs the same few calls for 512 images of 64 x 64.
PIXELS_AT_ONCE = 512 * 64 * 64


@dataclasses.dataclass(frozen=True)
class Training:
    """Holds everything that stays the same while a model is trained."""

    model: Classifier
    wrapped: torch.nn.Module  # the model as prepared by accelerate for several processes
    optimizer: torch.optim.Optimizer
    accelerator: Accelerator
    splits: Splits
    config: TrainConfig
    augment: AugmentConfig
    augmentation: Augmentation
    mixing: Mixing | None  # mixup or CutMix
    run: RunFolder
    seed: int
    log: TrainingLog
    class_weights: torch.Tensor | None = None  # float32 (classes,)
    fewest: int = 1  # images that the network can be trained on at a time, in each process
    ema: ModelEmaV3 | None = None  # the moving average of the weights
    val_sets: tuple[ValSet, ...] = ()  # validated on too

    @property
    def evaluated(self) -> Classifier:
        """The model that is validated and saved: the average of the weights, if there is one."""
        return self.model if self.ema is None else self.ema.module

    @property
    def state(self) -> TrainingState:
        """What a checkpoint has beside the weights of `evaluated`."""
        return TrainingState(self.optimizer, None if self.ema is None else self.model)

    @property
    def per_epoch(self) -> int:
        """Number of steps in an epoch."""
        return steps_per_epoch(len(self.splits["train"]), self.config.batch_size, self.smallest_batch)

    @property
    def smallest_batch(self) -> int:
        """As the function `smallest_batch`."""
        return smallest_batch(self.fewest, self.accelerator.num_processes)

    @property
    def columns(self) -> int:
        """Number of uniform draws for a sample in an epoch: first those of the policy, then those of mixing."""
        return self.augmentation.columns + (self.mixing.columns if self.mixing else 0)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of matrix products."""
        return choose_dtype(self.config.precision, self.accelerator.device)


def smallest_batch(fewest: int, processes: int) -> int:
    """Return the images of a last batch, over all processes, below which they are added to the batch before."""
    return fewest * processes if fewest > 1 else 1


def prepare(
    trainable: "Trainable", splits: Splits, config: TrainConfig, augment: AugmentConfig, run: RunFolder, seed: int
) -> Training:
    """Put a model on its device, and distribute it over the processes that were launched."""
    this_process()  # the group of processes is ours, not made by accelerate
    model, weights, fewest = trainable
    if model.attention is None:  # sparse attention has a kernel of its own
        prefer_explicit(model)
    accelerator = Accelerator(cpu=on_cpu())
    # Of a parameter with one row: its gradient is copied in another order, the same numbers.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    wrapped, optimizer = accelerator.prepare(model, make_optimizer(model, config))
    augmentation = make_augmentation(augment)
    mixing = Mixing(augment.mixup, augment.cutmix) if augment.mixup or augment.cutmix else None
    train, val = (len(splits[name]) if name in splits else 0 for name in ("train", "val"))  # timing has no val
    smallest = smallest_batch(fewest, accelerator.num_processes)
    left = TimeLeft(config.epochs, steps_per_epoch(train, config.batch_size, smallest), train, val)
    if config.image_size is not None:
        left.finish_steps = config.finish_steps(left.steps_per_epoch)
        left.slower = (model.resize.size / config.image_size) ** 2
    return Training(
        model=model,
        wrapped=wrapped,
        optimizer=optimizer,
        accelerator=accelerator,
        splits=splits,
        config=config,
        augment=augment,
        augmentation=augmentation,
        mixing=mixing,
        run=run,
        seed=seed,
        log=TrainingLog(run, accelerator, left),
        class_weights=None if weights is None else weights.to(accelerator.device),
        fewest=fewest,
        ema=make_ema(model, config),
    )


class Trainable(NamedTuple):
    """A model that can be trained as asked, and what showed it: see the fields of `Training`."""

    model: Classifier
    class_weights: torch.Tensor | None
    fewest: int


def require_trainable(model: Classifier, train: Dataset, config: TrainConfig) -> Trainable:
    """Return what `prepare` takes, or refuse what would fail.

    Raises:
        UserError: classes are to be balanced and one has no image, or batches are too small for batch norm.
    """
    if config.sampling == "balanced":
        require_every_class(train, "`train.sampling=balanced`")
    weights, fewest = class_weights(config, train), fewest_images(model)
    require_enough(config, fewest, this_process().num_processes, len(train))
    return Trainable(model, weights, fewest)


@dataclasses.dataclass(frozen=True)
class TrainingBatch:
    """Holds the images and targets of a step.

    `images`: uint8 (B, views, 3, H, W); `labels`: the class with the greatest fraction, int64 (B,); `targets`: the
    labels, or class fractions float32 (B, classes) if images are mixed; `indices`: those in the data set, int64 (B,).
    They are one process's part of a step of `step_size` images; `weight` is that of its mean, as in `BatchPart`.
    """

    images: torch.Tensor
    labels: torch.Tensor
    targets: torch.Tensor
    indices: torch.Tensor
    step_size: int = 0
    weight: float = 1.0

    def split(self, sizes: list[int]) -> "list[TrainingBatch]":
        """Return parts of so many images each."""
        columns = (tensor.split(sizes) for tensor in (self.images, self.labels, self.targets, self.indices))
        return [
            TrainingBatch(images, labels, targets, indices, self.step_size, self.weight)
            for images, labels, targets, indices in zip(*columns, strict=True)
        ]

    @property
    def count(self) -> int:
        """The number of images that count: none where the step had none for this process."""
        return len(self) if self.weight else 0

    def __len__(self) -> int:
        return len(self.labels)


def epoch_batches(training: Training, epoch: int, first: int) -> Iterator[TrainingBatch]:
    """Yield this process's part of the epoch's batches, from number `first` on.

    A thread gathers samples in advance, since they may have to be decoded.
    """
    accelerator, numbered = training.accelerator, epoch_order(training, epoch)
    process = (accelerator.process_index, accelerator.num_processes)
    batches = training_batches(numbered.order, training.config.batch_size, training.smallest_batch, *process)
    batches, at_once = itertools.islice(batches, first, None), _batches_at_once(training)
    groups = iter(lambda: list(itertools.islice(batches, at_once)), [])
    draws = Draws(training.seed, epoch, len(numbered.images), training.columns)
    indices = ((group, np.concatenate([part.indices for part in group])) for group in groups)
    gathered = ((group, _gather(training, chosen, draws, numbered.images)) for group, chosen in indices)
    for group, samples in prefetch(gathered):
        made = _augmented(training, *samples)
        for part, batch in zip(group, made.split([len(part.indices) for part in group]), strict=True):
            yield dataclasses.replace(batch, step_size=part.size, weight=part.weight)


def epoch_order(training: Training, epoch: int) -> EpochOrder:
    """Return which images an epoch holds, in which order."""
    train = training.splits["train"]
    if training.config.sampling == "balanced":
        return balanced(train.labels, training.seed, epoch)
    return shuffled(len(train), training.seed, epoch)


def _batches_at_once(training: Training) -> int:
    """Return how many batches to augment at once."""
    side = training.model.resize.size
    height, width = (side, side) if training.augment.place == "input" else training.splits["train"].images.shape[1:3]
    pixels = height * width
    return max(1, PIXELS_AT_ONCE // (pixels * training.config.batch_size // training.accelerator.num_processes))


class RawSamples(NamedTuple):
    """Samples as they are stored, and the draws of each, float32 (B, columns)."""

    batch: Batch
    draws: np.ndarray


def _gather(
    training: Training, chosen: np.ndarray, draws: Draws, images_of: np.ndarray
) -> tuple[RawSamples, RawSamples | None]:
    """Gather samples, each the image that `images_of` (N,) has for it, and, if images are mixed, their partners."""
    samples, mixing = _raw_samples(training, images_of[chosen], draws.rows(chosen)), training.mixing
    if mixing is None:
        return samples, None
    partners = mixing.partners(samples.draws[:, -mixing.columns :], len(images_of))
    return samples, _raw_samples(training, images_of[partners], draws.rows(partners))


def _raw_samples(training: Training, images: np.ndarray, rows: np.ndarray) -> RawSamples:
    """Gather the images of these indices (B,): whole, or the regions of a random resized crop by their draws."""
    dataset, resize = training.splits["train"], training.model.resize
    height, width = dataset.images.shape[1:3]
    boxes = training.augmentation.boxes(rows, (height, width))
    if boxes is None:
        return RawSamples(gather(dataset, images), rows)
    side = resize.size if training.augment.place == "input" else training.augment.crop_size or max(height, width)
    return RawSamples(gather(dataset, images, Regions(boxes, side, resize.mode)), rows)


def _augmented(training: Training, samples: RawSamples, partners: RawSamples | None) -> TrainingBatch:
    """Return samples, each augmented by its draws, and mixed with its partner if there are any."""
    labels, images = _views(training, samples)
    positions = samples.batch.indices
    if training.mixing is None or partners is None:
        return TrainingBatch(images, labels, labels, positions)
    other_labels, others = _views(training, partners)
    mixed, fraction = training.mixing(images[:, 0], others[:, 0], samples.draws[:, -training.mixing.columns :])
    targets = soft_labels(labels, other_labels, fraction, len(training.splits["train"].class_ids))
    return TrainingBatch(mixed[:, None], targets.argmax(dim=1), targets, positions)


def _views(training: Training, samples: RawSamples) -> tuple[torch.Tensor, torch.Tensor]:
    """Return labels (n,) and augmented views uint8 (n, views, 3, H, W), on the device of the training."""
    batch = samples.batch.to(training.accelerator.device)
    images = batch.images
    if training.augment.place == "input":
        images = to_bytes(training.model.resize.to_side(images, training.model.resize.size))
    return batch.labels, training.augmentation(images, samples.draws[:, : training.augmentation.columns])
