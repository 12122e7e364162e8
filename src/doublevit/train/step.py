"""One step of the optimizer on one batch: its loss, and the running figures of an epoch."""

import contextlib
import math
import time

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import reduce

from doublevit.device import autocast
from doublevit.errors import UserError
from doublevit.train.training import Training, TrainingBatch, rate_factor, set_rates


class Meter:
    """Loss and accuracy over the images of an epoch so far, and the time they took.

    Sums stay on the device, so that a GPU need not wait at every step.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.start()

    def start(self) -> None:
        """Begin anew, for another epoch."""
        self._sums = torch.zeros(3, device=self._device)  # loss, correct, images
        self._started = time.perf_counter()

    def add(self, loss: torch.Tensor, correct: torch.Tensor, count: int) -> None:
        """Take in the mean `loss` of `count` images, of which `correct` were recognized."""
        self._sums += torch.stack([loss.detach() * count, correct, torch.full_like(loss, count)])

    def read(self) -> dict[str, float | None]:
        """Mean loss, accuracy and images per second so far, over all processes; None where there was no image.

        All processes must call it together.

        Raises:
            UserError: the loss is not finite.
        """
        loss, correct, count = reduce(self._sums, reduction="sum").tolist()
        if not math.isfinite(loss):
            raise diverged()
        if not count:
            return {"loss": None, "top1": None, "images_per_second": None}
        seconds = time.perf_counter() - self._started
        return {"loss": loss / count, "top1": correct / count, "images_per_second": count / seconds}


def train_step(training: Training, batch: TrainingBatch, number: int, meter: Meter) -> None:
    """Make one step of the optimizer, its batch computed in `accumulate` parts."""
    config, accelerator = training.config, training.accelerator
    # Dropout is drawn anew from here at every step, so that a resumed run needs no generator's state.
    torch.manual_seed(step_seed(training.seed, number, accelerator.process_index))
    factor = rate_factor(number, config.epochs * training.per_epoch, training.per_epoch, config)
    set_rates(training.optimizer, factor)
    _narrow(training, number)
    parts = batch.split(-(-len(batch) // config.accumulate))
    for part in parts:
        with accelerator.no_sync(training.wrapped) if part is not parts[-1] else contextlib.nullcontext():
            loss, correct = _loss(training, part)
            accelerator.backward(loss * (len(part) / len(batch)))
        meter.add(loss, correct, len(part))
    if config.clip_norm is not None:
        accelerator.clip_grad_norm_(training.model.parameters(), config.clip_norm)
    training.optimizer.step()
    training.optimizer.zero_grad(set_to_none=True)


def _narrow(training: Training, number: int) -> None:
    """Set how narrow sparse attention is by now: a function of the step, as everything here."""
    if training.model.attention is not None:
        steps = training.config.narrow_epochs * training.per_epoch
        training.model.attention.narrowed = min(1.0, number / steps) if steps else 1.0


def _loss(training: Training, batch: TrainingBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of the batch, and how many of its images, unaltered views where there are several, are recognized."""
    config, views = training.config, batch.images.shape[1]
    with autocast(training.accelerator.device, training.dtype):
        logits = training.wrapped(batch.images.flatten(0, 1), every_head=True).float()
    logits = logits.unflatten(1, (-1, views))  # (heads, B, views, classes)
    loss = classification_loss(logits[:, :, 0], batch.targets, config.label_smoothing)
    if views > 1:
        loss = loss + config.consistency * jensen_shannon(logits)
    return loss, (logits[:, :, 0].detach().mean(dim=0).argmax(dim=1) == batch.labels).sum()


def step_seed(seed: int, step: int, rank: int) -> int:
    """A seed of its own for each step and process."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])


def classification_loss(logits: torch.Tensor, targets: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Cross-entropy, averaged over the images and over the model's heads.

    Args:
        logits: float32 (heads, B, classes).
        targets: classes int64 (B,), or their fractions float32 (B, classes).
        smoothing: fraction of the target that is spread over all classes.
    """
    every = targets.expand(len(logits), *targets.shape).flatten(0, 1)
    return F.cross_entropy(logits.flatten(0, 1), every, label_smoothing=smoothing)


def jensen_shannon(logits: torch.Tensor) -> torch.Tensor:
    """Jensen-Shannon divergence of the predictions for several views, in nats, averaged over all but these.

    The mean over views of KL(view || mean of the views); AugMix (Hendrycks et al. 2020) adds 12 times that.

    Args:
        logits: float32 (..., B, views, classes).
    """
    logs = logits.log_softmax(dim=-1)
    mean = logs.logsumexp(dim=-2, keepdim=True) - math.log(logits.shape[-2])
    return (logs.exp() * (logs - mean)).sum(dim=-1).mean()


def diverged() -> UserError:
    """The error of a training that cannot go on."""
    return UserError(
        "loss or weights are no longer finite: training has diverged; the last good checkpoint is kept."
        " Lower `train.backbone_lr` and `train.head_lr`, or set `train.clip_norm=1`"
    )
