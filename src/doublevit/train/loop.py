"""The training loop: epochs of steps, a validation after each, checkpoints, and the way back in.

All that is random is a function of (seed, step), so a run that was stopped and resumed ends with the same weights as
one that was not. Several processes make the same steps as one, up to rounding, but for dropout, which each draws for
its own photos, and batch norm, which each computes over its own (the running statistics are the first one's).
"""

import time

from accelerate.utils import broadcast, broadcast_object_list

from doublevit import checkpoint
from doublevit.checkpoint import Progress
from doublevit.evaluate import Measured, predict
from doublevit.progress import Bar, bar, console
from doublevit.statistics import wilson_interval
from doublevit.train.batches import epoch_batches
from doublevit.train.interrupt import Interrupt, Stopped
from doublevit.train.meter import Meter, diverged
from doublevit.train.step import train_step
from doublevit.train.training import Training

SAVE_SECONDS = 600.0  # a kill costs at most this much training
LOG_EVERY = 10  # steps between two looks at the loss, each of which makes a GPU wait


def train(training: Training) -> Measured | None:
    """Train to the last epoch, from the run's last checkpoint if it has one.

    Returns what the trained model says of the validation photos, or None where there was nothing left to train.

    Raises:
        Stopped: the user asked for an end; everything is saved.
        UserError: the loss is not finite, or the disk is full; the last good checkpoint stays.
    """
    meter, measured = Meter(training.accelerator.device), None
    with Interrupt() as interrupt:
        done = _begin(training)
        try:
            while done.epoch < training.config.epochs:
                meter.start()
                _train_epoch(training, done, meter, interrupt)
                measured = _finish_epoch(training, done, meter, interrupt)
        except Stopped:
            _save(training, done)
            raise Stopped(training.run.path) from None
    return measured


def _begin(training: Training) -> Progress:
    """Load the last checkpoint, or write the first, so that there always is one."""
    folder, done = training.run.checkpoints, Progress()
    begun = broadcast_object_list([checkpoint.exists(folder)])[0]  # one answer for all, before one of them writes
    if begun:
        checkpoint.load_weights(folder, "last", training.model)
        done = checkpoint.load_state(folder, training.optimiser)
    training.accelerator.wait_for_everyone()
    if not begun:
        _save(training, done)
    elif training.accelerator.is_main_process:
        training.run.cut_log(done.step)
    return done


def _train_epoch(training: Training, done: Progress, meter: Meter, interrupt: Interrupt) -> None:
    """The steps of the epoch that are not yet done; `done` counts along."""
    training.wrapped.train()
    first, saved = done.step - done.epoch * training.per_epoch, time.monotonic()
    count = len(training.splits["train"])
    title = f"epoch {done.epoch + 1}/{training.config.epochs}"
    with bar(title, count, done=min(count, first * training.config.batch_size)) as progress:
        for batch in epoch_batches(training, done.epoch, first):
            train_step(training, batch, done.step, meter)
            done.step += 1
            progress.advance(len(batch) * training.accelerator.num_processes)
            if done.step % LOG_EVERY == 0:
                _report(training, done, meter, progress)
            if time.monotonic() - saved > SAVE_SECONDS:
                _save(training, done)
                saved = time.monotonic()
            interrupt.check(done.step)


def _report(training: Training, done: Progress, meter: Meter, progress: Bar) -> None:
    """A line for the log and a note beside the bar; stops a training that has diverged."""
    now = meter.read()
    progress.say(f"loss {now['loss']:.3f} top-1 {now['top1']:.1%}")
    if training.accelerator.is_main_process:
        rates = sorted({group["lr"] for group in training.optimiser.param_groups})
        training.run.log({"step": done.step, "loss": now["loss"], "learning_rates": rates})


def _finish_epoch(training: Training, done: Progress, meter: Meter, interrupt: Interrupt) -> Measured:
    """Validate, log, save; only then is the epoch done."""
    trained = meter.read()
    _agree_on_buffers(training)
    measured = predict(training.model, training.splits["val"], training.dtype, between=interrupt.check)
    hits = measured.predictions.hits(1)
    done.epoch += 1
    best = bool(hits.mean() > done.best)
    done.best = max(done.best, float(hits.mean()))
    if training.accelerator.is_main_process:
        low, high = wilson_interval(int(hits.sum()), len(hits))
        entry = {
            "photos": len(training.splits["train"]),
            "train": trained,
            "val_top1": float(hits.mean()),
            "val_low": low,
            "val_high": high,
        }
        training.run.log({"step": done.step, "epoch": done.epoch, **entry})
        console.print(
            f"epoch {done.epoch}/{training.config.epochs}: top-1 {hits.mean():.1%} on val"
            f" (95 % interval {low:.1%} to {high:.1%}, n = {len(hits):,})"
        )
    _save(training, done, best=best)
    return measured


def _save(training: Training, done: Progress, *, best: bool = False) -> None:
    """Checkpoint, by the first process alone; weights that are not finite never replace good ones."""
    if training.accelerator.is_main_process:
        if not all(parameter.isfinite().all() for parameter in training.model.parameters() if parameter.requires_grad):
            raise diverged()
        checkpoint.save(training.run.checkpoints, training.model, training.optimiser, done, best=best)


def _agree_on_buffers(training: Training) -> None:
    """Give every process the first one's batch statistics, which are those that are saved."""
    if training.accelerator.num_processes > 1:
        for buffer in training.model.buffers():
            buffer.copy_(broadcast(buffer))
