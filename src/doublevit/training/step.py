"""One step of the optimizer on one batch: the loss, and the running metrics of an epoch."""

import contextlib
import math
import time

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import reduce

from doublevit.device import autocast
from doublevit.errors import UserError
from doublevit.training.adversarial import attacked, clean_result
from doublevit.training.batch_norm import part_sizes
from doublevit.training.class_weights import image_weights
from doublevit.training.config import LOG_EVERY
from doublevit.training.optimizer import rate_factor, set_rates
from doublevit.training.training import Training, TrainingBatch


class Meter:
    """Sums up loss, accuracy and time over the images of an epoch so far.

    Sums stay on the device, so that a GPU need not wait at every step.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.start()

    def start(self) -> None:
        """Reset all sums, for another epoch."""
        self._sums = torch.zeros(3, device=self._device)  # loss, correct, images
        self._clean = torch.zeros(3, device=self._device)  # the same of images before they were attacked
        self._started = time.perf_counter()

    def add(self, loss: torch.Tensor, correct: torch.Tensor, count: int) -> None:
        """Add the mean `loss` of `count` images, of which `correct` were recognized."""
        if count:
            self._sums += torch.stack([loss.detach() * count, correct, torch.full_like(loss, count)])

    def add_clean(self, loss: torch.Tensor, correct: torch.Tensor, count: int) -> None:
        """Add the same of images as they were before they were attacked."""
        if count:
            self._clean += torch.stack([loss * count, correct, torch.full_like(loss, count)])

    def read(self) -> dict[str, float | None]:
        """Return mean loss, accuracy and images per second so far, over all processes; None for each without images.

        In adversarial training loss and accuracy are those of attacked images, and `clean_loss` and `clean_top1` those
        of the same images before, in every `LOG_EVERY`th step. All processes must call it together.

        Raises:
            UserError: the loss is not finite.
        """
        sums = reduce(torch.cat([self._sums, self._clean]), reduction="sum").tolist()
        (loss, correct, count), (clean_loss, clean_correct, clean_count) = sums[:3], sums[3:]
        if not math.isfinite(loss):
            raise diverged()
        if not count:
            return {"loss": None, "top1": None, "images_per_second": None}
        seconds = time.perf_counter() - self._started
        read = {"loss": loss / count, "top1": correct / count, "images_per_second": count / seconds}
        if not clean_count:
            return read
        return read | {"clean_loss": clean_loss / clean_count, "clean_top1": clean_correct / clean_count}


def train_step(training: Training, batch: TrainingBatch, number: int, meter: Meter) -> None:
    """Make step `number` of the optimizer, with gradients accumulated over `accumulate` parts of the batch."""
    config, accelerator = training.config, training.accelerator
    # Dropout is seeded anew at every step, so that a resumed run needs no saved state of a generator.
    torch.manual_seed(step_seed(training.seed, number, accelerator.process_index))
    factor = rate_factor(number, config.epochs * training.per_epoch, training.per_epoch, config)
    set_rates(training.optimizer, factor)
    _narrow(training, number)
    _set_image_size(training, number)
    adversarial = config.adversarial != "none"
    parts = batch.split(part_sizes(len(batch), config.accumulate, training.fewest))
    for part in parts:
        if adversarial and (number + 1) % LOG_EVERY == 0:  # seldom, as it costs a forward pass
            meter.add_clean(*clean_result(training, part), part.count)
        trained = attacked(training, part, number) if adversarial else part
        with accelerator.no_sync(training.wrapped) if part is not parts[-1] else contextlib.nullcontext():
            loss, correct = _loss(training, trained)
            # Averaged over processes, which may have one image more or less of the step than others.
            accelerator.backward(loss * (batch.weight * len(part) / len(batch)))
        meter.add(loss, correct, part.count)
    if config.clip_norm is not None:
        accelerator.clip_grad_norm_(training.model.parameters(), config.clip_norm)
    training.optimizer.step()
    training.optimizer.zero_grad(set_to_none=True)
    if training.ema is not None:
        training.ema.update(training.model, number + 1)


def _narrow(training: Training, number: int) -> None:
    """Set how far sparse attention has narrowed at step `number`, from 0 (all keys) to 1 (`model.top_k` keys)."""
    if training.model.attention is not None:
        steps = training.config.narrow_epochs * training.per_epoch
        training.model.attention.narrowed = min(1.0, number / steps) if steps else 1.0


def _set_image_size(training: Training, number: int) -> None:
    """Set the side of the network's input at step `number`: `image_size`, and in the last epochs the network's own."""
    config = training.config
    left = config.epochs * training.per_epoch - number
    finishing = left <= config.finish_steps(training.per_epoch)
    training.model.resize.training_size = None if finishing else config.image_size


def _loss(training: Training, batch: TrainingBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of the batch and the number of images recognized, by the first (unaltered) of several views."""
    config, views = training.config, batch.images.shape[1]
    with autocast(training.accelerator.device, training.dtype):
        logits = training.wrapped(batch.images.flatten(0, 1), every_head=True).float()
    logits, weights = logits.unflatten(1, (-1, views)), training.class_weights  # (heads, B, views, classes)
    loss = classification_loss(logits[:, :, 0], batch.targets, config.label_smoothing, weights)
    if views > 1:
        of_images = None if weights is None else image_weights(batch.targets, weights)
        loss = loss + config.consistency * jensen_shannon(logits, of_images)
    return loss, (logits[:, :, 0].detach().mean(dim=0).argmax(dim=1) == batch.labels).sum()


def step_seed(seed: int, step: int, rank: int) -> int:
    """Return a seed that differs for each step and process."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])


def classification_loss(
    logits: torch.Tensor, targets: torch.Tensor, smoothing: float, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the cross-entropy, averaged over images and over the model's heads.

    With class weights, an image's loss counts as often as its class's weight says; of blended images, each class's
    part does. The mean is over images, not over their weights, so that parts of a batch and processes add up to the
    whole. torch's own weights are the same for unsmoothed targets, but they weigh the smoothing by its classes too,
    which drives every image towards rare classes: it is the image that is weighed here.

    Args:
        logits: float32 (heads, B, classes).
        targets: classes int64 (B,), or class probabilities float32 (B, classes).
        smoothing: fraction of the target that is spread over all classes.
        weights: of classes, float32 (classes,), with mean 1 over the training images; None for none.
    """
    repeated = targets.expand(len(logits), *targets.shape).flatten(0, 1)  # once for each head
    if weights is None:
        return F.cross_entropy(logits.flatten(0, 1), repeated, label_smoothing=smoothing)
    losses = -logits.flatten(0, 1).log_softmax(dim=1)  # of each class, were it the image's
    losses = torch.lerp(losses, losses.mean(dim=1, keepdim=True), smoothing)
    if repeated.ndim == 1:
        return (weights[repeated] * losses.gather(1, repeated[:, None])[:, 0]).mean()
    return (repeated * weights * losses).sum(dim=1).mean()


def jensen_shannon(logits: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Return the Jensen-Shannon divergence of the predictions for several views, in nats, averaged over images.

    It is the mean over views of KL(view || mean of the views); AugMix (Hendrycks et al. 2020) adds 12 times that.

    Args:
        logits: float32 (..., B, views, classes).
        weights: how often each image counts, float32 (B,); None: once.
    """
    log_p = logits.log_softmax(dim=-1)
    log_mean = log_p.logsumexp(dim=-2, keepdim=True) - math.log(logits.shape[-2])
    divergence = (log_p.exp() * (log_p - log_mean)).sum(dim=-1)  # (..., B, views)
    return divergence.mean() if weights is None else (divergence * weights[:, None]).mean()


def diverged() -> UserError:
    """Return the error of a training that cannot go on."""
    return UserError(
        "loss or weights are no longer finite: training has diverged; the last good checkpoint is kept."
        " Lower `train.backbone_lr` and `train.head_lr`, or set `train.clip_norm=1`"
    )
