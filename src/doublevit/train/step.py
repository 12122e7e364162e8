"""One step of the optimiser on one batch."""

import contextlib

import numpy as np
import torch

from doublevit.precision import autocast
from doublevit.train.batches import Batch
from doublevit.train.losses import classification_loss, jensen_shannon
from doublevit.train.meter import Meter
from doublevit.train.optimise import rate_factor, set_rates
from doublevit.train.training import Training


def train_step(training: Training, batch: Batch, number: int, meter: Meter) -> None:
    """One step of the optimiser, its batch computed in `accumulate` parts."""
    config, accelerator = training.config, training.accelerator
    # Dropout is drawn anew from here at every step, so that a resumed run needs no generator's state.
    torch.manual_seed(step_seed(training.seed, number, accelerator.process_index))
    factor = rate_factor(number, config.epochs * training.per_epoch, training.per_epoch, config)
    set_rates(training.optimiser, factor)
    _narrow(training, number)
    parts = batch.split(-(-len(batch) // config.accumulate))
    for part in parts:
        with accelerator.no_sync(training.wrapped) if part is not parts[-1] else contextlib.nullcontext():
            loss, hits = _loss(training, part)
            accelerator.backward(loss * (len(part) / len(batch)))
        meter.add(loss, hits, len(part))
    if config.clip_norm is not None:
        accelerator.clip_grad_norm_(training.model.parameters(), config.clip_norm)
    training.optimiser.step()
    training.optimiser.zero_grad(set_to_none=True)


def _narrow(training: Training, number: int) -> None:
    """Set how narrow sparse attention is by now: a function of the step, as everything here."""
    if training.model.attention is not None:
        steps = training.config.narrow_epochs * training.per_epoch
        training.model.attention.narrowed = min(1.0, number / steps) if steps else 1.0


def _loss(training: Training, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of the batch, and how many of its photos, unaltered views where there are several, were recognised."""
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
