"""A model's predictions on a data set, and the rows that are read from them."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import nn

from doublevit import progress
from doublevit.adapt.adaptation import Adaptation
from doublevit.ahead import ahead
from doublevit.data.batches import Batch, evaluation_batches, gather
from doublevit.data.dataset import Dataset
from doublevit.errors import UserError
from doublevit.precision import autocast
from doublevit.processes import this_process
from doublevit.results import Predictions, Row
from doublevit.statistics import wilson_interval

KEPT_CLASSES = 5  # of each sample's ranking, in saved predictions
BATCH_SIZE = 100
TOP = (1, 3)


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is evaluated, as every row names it."""

    model: str
    seed: int
    checkpoint: str
    precision: str
    top_k: str = "none"
    adapted: str = ""


@dataclasses.dataclass(frozen=True)
class Measured:
    """Predictions, the source of the data set they were made on, and the seconds they took."""

    predictions: Predictions
    dataset: str
    seconds: float


def predict(
    model: nn.Module,
    dataset: Dataset,
    dtype: torch.dtype,
    batch_size: int = BATCH_SIZE,
    between: Callable[[], None] = lambda: None,
    title: str = "evaluating",
) -> Measured:
    """What `model` says of every sample, each exactly once, shared among all processes.

    Args:
        model: uint8 images (B, 3, H, W) -> logits (B, classes); it is put in evaluation mode.
        dataset: the photos.
        dtype: what matrix products run in.
        batch_size: photos at a time in each process.
        between: called between batches; may raise to stop.
        title: of the progress bar.

    Raises:
        UserError: the model gives logits that are not finite.
    """
    state = this_process()
    batches = evaluation_batches(len(dataset), batch_size, state.process_index, state.num_processes)
    return _predict(model, dataset, dtype, batches, between, title)


def predict_adapted(
    model: nn.Module, dataset: Dataset, dtype: torch.dtype, adaptation: Adaptation, batch_size: int, title: str
) -> Measured:
    """What `predict` gives, with batch norm adapted to these very photos meanwhile.

    Raises:
        UserError: the model gives logits that are not finite, or too few photos to take statistics of.
    """
    state, start = this_process(), time.perf_counter()
    with adaptation.applied(model, dataset, dtype, title):
        if adaptation.is_by_batch:
            mine = adaptation.batches(len(dataset))[state.process_index :: state.num_processes]
            measured = _predict(model, dataset, dtype, mine, title=title)
        else:
            measured = predict(model, dataset, dtype, batch_size, title=title)
    return dataclasses.replace(measured, seconds=time.perf_counter() - start)


def _predict(
    model: nn.Module,
    dataset: Dataset,
    dtype: torch.dtype,
    batches: Iterable[np.ndarray],
    between: Callable[[], None] = lambda: None,
    title: str = "",
) -> Measured:
    """Of the samples in this process's `batches` and in those of all others."""
    state, start = this_process(), time.perf_counter()
    model.eval()
    parts = []
    with progress.bar(title, len(dataset)) as bar:
        for batch in ahead(gather(dataset, indices) for indices in batches):  # photos may have to be corrupted first
            parts.append((batch.indices.numpy(), *_predict_batch(model, batch, dtype)))
            bar.advance(len(batch) * state.num_processes)
            between()
    return Measured(_assemble(gather_object(parts), dataset), dataset.source, time.perf_counter() - start)


def accuracy_rows(
    measured: Measured, subject: Subject, condition: Mapping[str, Any], top: Sequence[int] = TOP
) -> list[Row]:
    """Top-k accuracy for each k in `top` that the data set has classes for, with n and Wilson's 95 % interval."""
    rows = []
    for k in (k for k in top if k <= measured.predictions.classes.shape[1]):
        hits = measured.predictions.hits(k)
        low, high = wilson_interval(int(hits.sum()), len(hits))
        rows.append(
            Row(
                dataset=measured.dataset,
                condition=dict(condition),
                metric=f"top-{k}",
                value=float(hits.mean()),
                low=low,
                high=high,
                count=len(hits),
                seconds=round(measured.seconds, 3),
                **dataclasses.asdict(subject),
            )
        )
    return rows


@torch.inference_mode()
def _predict_batch(model: nn.Module, batch: Batch, dtype: torch.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each sample: the first classes, their probabilities, and the log-probability of the true one."""
    device = next(model.parameters()).device
    batch = batch.to(device)
    with autocast(device, dtype):
        logits = model(batch.images).float()
    if not torch.isfinite(logits).all():
        raise UserError("the model's logits are not finite: its weights are damaged, or the training diverged")
    return ranking(logits, batch.labels)


def ranking(logits: torch.Tensor, labels: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each sample: the first classes (B, k), their probabilities, and the log-probability of the true one (B,)."""
    log_probabilities = logits.log_softmax(dim=1)
    best, classes = log_probabilities.topk(min(KEPT_CLASSES, logits.shape[1]), dim=1)
    of_label = log_probabilities.gather(1, labels[:, None])[:, 0]
    return classes.int().cpu().numpy(), best.exp().cpu().numpy(), of_label.cpu().numpy()


def _assemble(parts: list[tuple[np.ndarray, ...]], dataset: Dataset) -> Predictions:
    indices, classes, probabilities, of_label = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(indices)
    if not np.array_equal(indices[order], np.arange(len(dataset))):
        raise RuntimeError("a sample was evaluated twice or not at all")
    return Predictions(
        labels=np.asarray(dataset.labels),
        classes=classes[order],
        probabilities=probabilities[order],
        label_log_probability=of_label[order],
    )
