"""The batches of an epoch, and one step of the optimiser on one of them."""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F

from doublevit.augment import POLICIES
from doublevit.augment.draws import draw_table
from doublevit.data.batches import Batch, gather, training_batches
from doublevit.precision import autocast
from doublevit.train.meter import Meter
from doublevit.train.optimise import rate_factor, set_rates
from doublevit.train.training import Training


def epoch_batches(training: Training, epoch: int, first: int) -> Iterator[Batch]:
    """This process's share of the epoch's batches from number `first` on, augmented."""
    dataset, policy = training.splits["train"], POLICIES[training.augment.policy]
    accelerator, batch_size = training.accelerator, training.config.batch_size
    draws = draw_table(training.seed, epoch, len(dataset), policy.columns)
    share = (accelerator.process_index, accelerator.num_processes)
    every = training_batches(len(dataset), batch_size, training.seed, epoch, *share)
    for indices in itertools.islice(every, first, None):
        batch = gather(dataset, indices).to(accelerator.device)
        images = policy.apply(batch.images, draws[indices].to(accelerator.device))
        yield dataclasses.replace(batch, images=images)


def train_step(training: Training, batch: Batch, number: int, meter: Meter) -> None:
    """One step of the optimiser, its batch computed in `accumulate` parts."""
    config, accelerator = training.config, training.accelerator
    # Dropout is drawn anew from here at every step, so that a resumed run needs no generator's state.
    torch.manual_seed(step_seed(training.seed, number, accelerator.process_index))
    factor = rate_factor(number, config.epochs * training.per_epoch, training.per_epoch, config)
    set_rates(training.optimiser, factor)
    parts = batch.chunk(config.accumulate)
    for part in parts:
        with accelerator.no_sync(training.wrapped) if part is not parts[-1] else contextlib.nullcontext():
            loss, hits = _loss(training, part)
            accelerator.backward(loss * (len(part) / len(batch)))
        meter.add(loss, hits, len(part))
    if config.clip_norm is not None:
        accelerator.clip_grad_norm_(training.model.parameters(), config.clip_norm)
    training.optimiser.step()
    training.optimiser.zero_grad(set_to_none=True)


def _loss(training: Training, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy, averaged over the photos and over the model's heads, and the number of hits."""
    with autocast(training.accelerator.device, training.dtype):
        logits = training.wrapped(batch.images, every_head=True).float()
    every_label = batch.labels.expand(len(logits), -1)
    smoothing = training.config.label_smoothing
    loss = F.cross_entropy(logits.flatten(0, 1), every_label.flatten(), label_smoothing=smoothing)
    return loss, (logits.detach().mean(dim=0).argmax(dim=1) == batch.labels).sum()


def step_seed(seed: int, step: int, rank: int) -> int:
    """A seed of its own for each step and process."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])
