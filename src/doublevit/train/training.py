"""Everything that stays the same while a model is trained."""

import dataclasses

import torch
from accelerate import Accelerator

from doublevit.augment import AugmentConfig
from doublevit.augment.mixing import Mixing
from doublevit.augment.policies import Augmentation, make_augmentation
from doublevit.data.batches import steps_per_epoch
from doublevit.data.dataset import Splits
from doublevit.models.classifier import Classifier
from doublevit.precision import choose
from doublevit.processes import on_cpu
from doublevit.run_folder import RunFolder
from doublevit.train.config import TrainConfig
from doublevit.train.optimise import make_optimiser


@dataclasses.dataclass(frozen=True)
class Training:
    """Everything that stays the same while a model is trained."""

    model: Classifier
    wrapped: torch.nn.Module  # the model as accelerate has prepared it, on several processes
    optimiser: torch.optim.Optimizer
    accelerator: Accelerator
    splits: Splits
    config: TrainConfig
    augment: AugmentConfig
    augmentation: Augmentation
    mixing: Mixing | None  # of photos in pairs
    run: RunFolder
    seed: int

    @property
    def per_epoch(self) -> int:
        """Steps in an epoch."""
        return steps_per_epoch(len(self.splits["train"]), self.config.batch_size)

    @property
    def columns(self) -> int:
        """Uniform numbers that a sample's augmentation needs in an epoch: first the policy's, then those of mixing."""
        return self.augmentation.columns + (self.mixing.columns if self.mixing else 0)

    @property
    def dtype(self) -> torch.dtype:
        """What matrix products run in."""
        return choose(self.config.precision, self.accelerator.device)


def prepare(
    model: Classifier, splits: Splits, config: TrainConfig, augment: AugmentConfig, run: RunFolder, seed: int
) -> Training:
    """Put the model on its device, and on as many processes as were launched."""
    accelerator = Accelerator(cpu=on_cpu())
    wrapped, optimiser = accelerator.prepare(model, make_optimiser(model, config))
    augmentation = make_augmentation(augment)
    mixing = Mixing(augment.mixup, augment.cutmix) if augment.mixup or augment.cutmix else None
    return Training(model, wrapped, optimiser, accelerator, splits, config, augment, augmentation, mixing, run, seed)
