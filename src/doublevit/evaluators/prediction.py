"""A model's predictions on a data set, and the accuracies that are read from them."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import nn

from doublevit import progress
from doublevit.data.batches import Batch, evaluation_batches, gather
from doublevit.data.dataset import Dataset
from doublevit.device import autocast, device_of, this_process
from doublevit.errors import UserError
from doublevit.prefetch import prefetch
from doublevit.runs.conditions import Condition, ModelId
from doublevit.runs.predictions import Predictions
from doublevit.runs.results import EvalResult, Expected
from doublevit.runs.row import ResultKey, Row
from doublevit.statistics import wilson_interval

SAVED_CLASSES = 5  # of each image's ranking, in saved predictions
BATCH_SIZE = 100
TOP = (1, 3, 5)


@dataclasses.dataclass(frozen=True)
class PredictionResult:
    """Predictions for the images of `dataset`, and the seconds they took."""

    predictions: Predictions
    dataset: Dataset
    seconds: float


def predict(
    network: nn.Module,
    dataset: Dataset,
    dtype: torch.dtype = torch.float32,
    batch_size: int = BATCH_SIZE,
    between: Callable[[], None] = lambda: None,
    title: str = "evaluating",
) -> PredictionResult:
    """What `network` predicts for every image, each exactly once, shared among all processes.

    Args:
        network: uint8 images (B, 3, H, W) -> logits (B, classes); it is put in evaluation mode.
        dataset: the images.
        dtype: what matrix products run in.
        batch_size: images at a time in each process.
        between: called between batches; may raise to stop.
        title: of the progress bar.

    Raises:
        UserError: the network gives logits that are not finite.
    """
    state = this_process()
    batches = evaluation_batches(len(dataset), batch_size, state.process_index, state.num_processes)
    return predict_batches(network, dataset, dtype, batches, between, title)


def predict_batches(
    network: nn.Module,
    dataset: Dataset,
    dtype: torch.dtype,
    batches: Iterable[np.ndarray],
    between: Callable[[], None] = lambda: None,
    title: str = "evaluating",
) -> PredictionResult:
    """The same, with the images in this process's `batches` of indices and in those of all other processes."""
    state, start = this_process(), time.perf_counter()
    network.eval()
    parts = []
    with progress.bar(title, len(dataset)) as bar:
        for batch in prefetch(gather(dataset, indices) for indices in batches):  # images may have to be corrupted first
            parts.append((batch.indices.numpy(), *_predict_batch(network, batch, dtype)))
            bar.advance(len(batch) * state.num_processes)
            between()
    return PredictionResult(_assemble(gather_object(parts), dataset), dataset, time.perf_counter() - start)


def expected_accuracy(model: ModelId, dataset: Dataset, condition: Condition) -> Expected:
    """What `accuracy` makes of a model's predictions on a data set."""
    key = ResultKey(model=model, dataset=dataset.id.key, count=len(dataset), condition=condition)
    return Expected(key, _metrics(len(dataset.class_ids)), np.asarray(dataset.labels))


def accuracy(found: PredictionResult, model: ModelId, condition: Condition) -> EvalResult:
    """Top-k accuracy for each k in `TOP` that there are classes for, with n and Wilson's 95 % interval."""
    return EvalResult(tuple(accuracy_rows(found, model, condition)), found.predictions)


def accuracy_rows(found: PredictionResult, model: ModelId, condition: Condition) -> list[Row]:
    """The rows of `accuracy`."""
    rows = []
    for metric in _metrics(found.predictions.classes.shape[1]):
        correct = found.predictions.correct(int(metric.removeprefix("top-")))
        low, high = wilson_interval(int(correct.sum()), len(correct))
        row = Row(
            **facts_of(model),
            dataset=found.dataset.id,
            condition=condition,
            metric=metric,
            value=float(correct.mean()),
            low=low,
            high=high,
            count=len(correct),
            seconds=round(found.seconds, 3),
        )
        rows.append(row)
    return rows


def facts_of(model: ModelId) -> dict[str, Any]:
    """A model's identity as the fields of a row."""
    return {name: getattr(model, name) for name in model.__struct_fields__}


def ranking(logits: torch.Tensor, labels: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each image the first classes (B, k), their probabilities, and the log-probability of the true one (B,)."""
    log_probabilities = logits.log_softmax(dim=1)
    best, classes = log_probabilities.topk(min(SAVED_CLASSES, logits.shape[1]), dim=1)
    of_label = log_probabilities.gather(1, labels[:, None])[:, 0]
    return classes.int().cpu().numpy(), best.exp().cpu().numpy(), of_label.cpu().numpy()


def _metrics(classes: int) -> tuple[str, ...]:
    return tuple(f"top-{k}" for k in TOP if k <= min(classes, SAVED_CLASSES))


@torch.inference_mode()
def _predict_batch(network: nn.Module, batch: Batch, dtype: torch.dtype) -> Sequence[np.ndarray]:
    device = device_of(network)
    batch = batch.to(device)
    with autocast(device, dtype):
        logits = network(batch.images).float()
    if not torch.isfinite(logits).all():
        raise UserError("the model's logits are not finite: its weights are damaged, or the training diverged")
    return ranking(logits, batch.labels)


def _assemble(parts: list[tuple[np.ndarray, ...]], dataset: Dataset) -> Predictions:
    indices, classes, probabilities, of_label = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(indices)
    if not np.array_equal(indices[order], np.arange(len(dataset))):
        raise RuntimeError("an image was evaluated twice or not at all")
    return Predictions(
        labels=np.asarray(dataset.labels),
        classes=classes[order],
        probabilities=probabilities[order],
        label_log_probability=of_label[order],
    )
