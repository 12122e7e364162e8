"""The training loop: epochs of steps, a validation after each, checkpoints, and the way back in.

All that is random is a function of (seed, step), so a run that was stopped and resumed ends with the same weights as
one that was not. Several processes make the same steps as a single one, up to rounding, also where they do not divide
the batch, except for dropout, which each process draws for its own images, and batch norm, which each computes over its
own images (the running statistics of the first process are kept).
"""

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np
from accelerate.utils import broadcast, broadcast_object_list

from doublevit.progress import Bar, bar, console
from doublevit.runs import checkpoint
from doublevit.runs.checkpoint import Progress
from doublevit.runs.predictions import Predictions
from doublevit.training.adversarial import epsilon_at
from doublevit.training.config import LOG_EVERY
from doublevit.training.interrupt import Interrupt, Stopped
from doublevit.training.step import Meter, diverged, train_step
from doublevit.training.training import Training, epoch_batches
from doublevit.training.val_sets import accuracy_entry, describe_accuracy

SAVE_SECONDS = 600.0  # a kill costs at most this much training


class Validated(Protocol):
    """Holds the result of a validation, with predictions for the images of a data set."""

    @property
    def predictions(self) -> Predictions: ...


Result = TypeVar("Result", bound=Validated)
Validate = Callable[..., Result]
"""The validation of an epoch: (model, dataset, dtype of matrix products, after_batch=callback) -> result.

It is passed in, so that training depends on no evaluator; after each batch it calls `after_batch`, which may raise.
"""


def train(training: Training, validate: Validate[Result]) -> Result | None:
    """Train to the last epoch, from the run's last checkpoint if there is one.

    Returns the result of the last validation, or None if nothing was left to train.

    Raises:
        Stopped: the user asked for an end; everything is saved.
        UserError: the loss is not finite, or the disk is full; the last good checkpoint stays.
    """
    meter, validated = Meter(training.accelerator.device), None
    with Interrupt() as interrupt:
        done = _begin(training)
        try:
            while done.epoch < training.config.epochs:
                meter.start()
                _train_epoch(training, done, meter, interrupt)
                trained = meter.read()
                _agree_on_buffers(training)
                images = training.splits["val"]
                with training.log.validation():
                    validated = validate(training.evaluated, images, training.dtype, after_batch=interrupt.check)
                    others = _validate_others(training, validate, interrupt)
                _finish_epoch(training, done, trained, validated.predictions.correct(1), others)
        except Stopped:
            _save(training, done)
            training.accelerator.wait_for_everyone()  # before any of them says that everything is saved
            raise Stopped(training.run.path) from None
    training.accelerator.wait_for_everyone()  # so that none reads the last checkpoint before it is there
    if training.ema is not None:  # whoever has the model shall evaluate what was validated
        training.model.load_state_dict(training.evaluated.state_dict())
    return validated


def _begin(training: Training) -> Progress:
    """Load the last checkpoint, or write a first one, so that there always is one to resume from."""
    folder, done = training.run.checkpoints, Progress()
    begun = broadcast_object_list([checkpoint.exists(folder)])[0]  # the same answer for all, before one writes
    if begun:
        checkpoint.load_weights(folder, "last", training.evaluated)
        done = checkpoint.load_state(folder, training.state)
    training.accelerator.wait_for_everyone()
    if not begun:
        _save(training, done)
    elif training.accelerator.is_main_process:
        training.run.cut_log(done.step)
    return done


def _train_epoch(training: Training, done: Progress, meter: Meter, interrupt: Interrupt) -> None:
    """Make the steps of the epoch that are left; `done` is updated at every step."""
    training.wrapped.train()
    first, saved = done.step - done.epoch * training.per_epoch, time.monotonic()
    count = len(training.splits["train"])
    title = f"epoch {done.epoch + 1}/{training.config.epochs}"
    with bar(title, count, done=min(count, first * training.config.batch_size)) as progress:
        for batch in epoch_batches(training, done.epoch, first):
            train_step(training, batch, done.step, meter)
            done.step += 1
            progress.advance(batch.step_size)
            if done.step % LOG_EVERY == 0:
                _report(training, done, meter, progress)
            if time.monotonic() - saved > SAVE_SECONDS:
                _save(training, done)
                saved = time.monotonic()
            interrupt.check(done.step)


def _report(training: Training, done: Progress, meter: Meter, progress: Bar) -> None:
    """Write loss and learning rates to the log and beside the bar; raise if training has diverged."""
    metrics = meter.read()
    progress.say(f"loss {metrics['loss']:.3f} top-1 {metrics['top1']:.1%}")
    if training.accelerator.is_main_process:
        rates = sorted({group["lr"] for group in training.optimizer.param_groups})
        entry = {"loss": metrics["loss"], "learning_rates": rates, **_of_attack(training, done, metrics)}
        training.log.write(done, entry, metrics["images_per_second"])


def _validate_others(training: Training, validate: Validate[Result], interrupt: Interrupt) -> dict[str, dict[str, Any]]:
    """Return the accuracy on each of the sets that are validated on beside val, as for the log."""
    results = {
        each.name: validate(each.network, each.dataset, training.dtype, after_batch=interrupt.check)
        for each in training.val_sets
    }
    return {name: accuracy_entry(result.predictions.correct(1)) for name, result in results.items()}


def _of_attack(training: Training, done: Progress, metrics: dict[str, float | None]) -> dict[str, float | None]:
    """Return what the log says of adversarial training; nothing of another."""
    if training.config.adversarial == "none":
        return {}
    epsilon = epsilon_at(done.step - 1, training.per_epoch, training.config)
    return {"epsilon": epsilon, "clean_loss": metrics.get("clean_loss")}


def _finish_epoch(
    training: Training,
    done: Progress,
    trained: dict[str, float | None],
    correct: np.ndarray,
    others: dict[str, dict[str, Any]],
) -> None:
    """Log and save the epoch, which counts as done only then.

    `trained` holds the metrics of the training images; `correct`, bool (N,), tells which validation images were right;
    `others` holds the accuracies on further sets.
    """
    val = accuracy_entry(correct)
    done.epoch += 1
    best = val["top1"] > done.best
    done.best = max(done.best, val["top1"])
    if training.accelerator.is_main_process:
        entry = {
            "images": len(training.splits["train"]),
            "train": trained,
            **{f"val_{name}": val[name] for name in ("top1", "low", "high")},
            **({"val_sets": others} if others else {}),
        }
        training.log.write(done, {"epoch": done.epoch, **entry}, trained["images_per_second"])
        for name, accuracy in {"val": val, **others}.items():
            console.print(f"epoch {done.epoch}/{training.config.epochs}: {describe_accuracy(name, accuracy)}")
    _save(training, done, best=best)


def _save(training: Training, done: Progress, *, best: bool = False) -> None:
    """Write a checkpoint, in the first process only; weights that are not finite never replace good ones."""
    if training.accelerator.is_main_process:
        if not all(parameter.isfinite().all() for parameter in training.model.parameters() if parameter.requires_grad):
            raise diverged()
        run = training.run
        metadata = run.metadata()
        checkpoint.save(run.checkpoints, training.evaluated, training.state, done, best=best, metadata=metadata)


def _agree_on_buffers(training: Training) -> None:
    """Give every process the batch norm statistics of the first, which are those that are saved."""
    if training.accelerator.num_processes > 1:
        averaged = () if training.ema is None else training.evaluated.buffers()
        for buffer in (*training.model.buffers(), *averaged):  # in this order in every process
            buffer.copy_(broadcast(buffer))
