"""Predictions of a model on a data set, and the accuracies that follow from them."""

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
from doublevit.runs.conditions import Clean, Condition, ModelId
from doublevit.runs.predictions import Predictions
from doublevit.runs.results import EvalResult, Expected
from doublevit.runs.row import ResultKey, Row
from doublevit.statistics import Estimate, wilson_interval
from doublevit.statistics.class_averages import CLASS_AVERAGES

SAVED_CLASSES = 5  # the most probable classes of each image, in saved predictions
BATCH_SIZE = 100
TOP_K = (1, 3, 5)


@dataclasses.dataclass(frozen=True)
class PredictionResult:
    """A result that holds the predictions for every image of `dataset`, and the seconds that they took."""

    predictions: Predictions
    dataset: Dataset
    seconds: float


def predict(
    network: nn.Module,
    dataset: Dataset,
    dtype: torch.dtype = torch.float32,
    batch_size: int = BATCH_SIZE,
    after_batch: Callable[[], None] = lambda: None,
    title: str = "evaluating",
) -> PredictionResult:
    """Predict every image of `dataset` exactly once; all processes share the work, and each gets all predictions.

    Args:
        network: uint8 images (B, 3, H, W) -> logits (B, classes); it is put in evaluation mode.
        dataset: the images to predict.
        dtype: the type that matrix products run in.
        batch_size: images at a time in each process.
        after_batch: called after every batch; it may raise to stop the evaluation.
        title: of the progress bar.

    Raises:
        UserError: a logit is not finite.
    """
    state = this_process()
    batches = evaluation_batches(len(dataset), batch_size, state.process_index, state.num_processes)
    return predict_batches(network, dataset, dtype, batches, after_batch, title)


def predict_batches(
    network: nn.Module,
    dataset: Dataset,
    dtype: torch.dtype,
    batches: Iterable[np.ndarray],
    after_batch: Callable[[], None] = lambda: None,
    title: str = "evaluating",
) -> PredictionResult:
    """Predict the images of `dataset` in the given `batches`, arrays of indices (b,); otherwise as `predict`.

    Each process passes its own batches; those of all processes together must hold every index exactly once.
    """
    state, start = this_process(), time.perf_counter()
    network.eval()
    parts = []
    with progress.bar(title, len(dataset)) as bar:
        for batch in prefetch(gather(dataset, indices) for indices in batches):  # since corrupting images takes time
            parts.append((batch.indices.numpy(), *_predict_batch(network, batch, dtype)))
            bar.advance(len(batch) * state.num_processes)
            after_batch()
    return PredictionResult(_assemble(gather_object(parts), dataset), dataset, time.perf_counter() - start)


def expected_accuracy(model: ModelId, dataset: Dataset, condition: Condition) -> Expected:
    """Describe the measurement that `accuracy_result` makes of a model's predictions on a data set."""
    key = ResultKey(model=model, dataset=dataset.id.key, count=len(dataset), condition=condition)
    return Expected(key, _metrics(len(dataset.class_ids), condition), np.asarray(dataset.labels))


def accuracy_result(result: PredictionResult, model: ModelId, condition: Condition) -> EvalResult:
    """Return the rows of `accuracy_rows` together with the predictions."""
    return EvalResult(tuple(accuracy_rows(result, model, condition)), result.predictions)


def accuracy_rows(result: PredictionResult, model: ModelId, condition: Condition) -> list[Row]:
    """Compute top-k accuracy, for each k in `TOP_K` that there are classes for, with Wilson's 95 % interval.

    On clean images, averages over classes are computed too, with bootstrap intervals.
    """
    predictions = result.predictions
    return [
        Row(
            **model_fields(model),
            dataset=result.dataset.id,
            condition=condition,
            metric=metric,
            count=len(predictions.labels),
            seconds=round(result.seconds, 3),
            **dataclasses.asdict(_estimate(predictions, metric)),
        )
        for metric in _metrics(predictions.classes.shape[1], condition)
    ]


def _estimate(predictions: Predictions, metric: str) -> Estimate:
    if metric in CLASS_AVERAGES:
        return CLASS_AVERAGES[metric](predictions.labels, predictions.classes[:, 0])
    correct = predictions.correct(int(metric.removeprefix("top-")))
    return Estimate(float(correct.mean()), *wilson_interval(int(correct.sum()), len(correct)))


def model_fields(model: ModelId) -> dict[str, Any]:
    """Return the fields of a row that identify the model."""
    return {name: getattr(model, name) for name in model.__struct_fields__}


def ranking(logits: torch.Tensor, labels: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rank classes: the k most probable (B, k), their probabilities (B, k), the true class's log-probability (B,).

    `logits` float32 (B, classes); `labels` int64 (B,); k is `SAVED_CLASSES`, or the number of classes if that is less.
    """
    log_probabilities = logits.log_softmax(dim=1)
    top_log_probabilities, classes = log_probabilities.topk(min(SAVED_CLASSES, logits.shape[1]), dim=1)
    label_log_probability = log_probabilities.gather(1, labels[:, None])[:, 0]
    return classes.int().cpu().numpy(), top_log_probabilities.exp().cpu().numpy(), label_log_probability.cpu().numpy()


def _metrics(classes: int, condition: Condition) -> tuple[str, ...]:
    tops = tuple(f"top-{k}" for k in TOP_K if k <= min(classes, SAVED_CLASSES))
    return (*tops, *CLASS_AVERAGES) if isinstance(condition, Clean) else tops


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
    columns = zip(*parts, strict=True)
    indices, classes, probabilities, label_log_probability = map(np.concatenate, columns)
    order = np.argsort(indices)
    if not np.array_equal(indices[order], np.arange(len(dataset))):
        raise RuntimeError("an image was evaluated twice or not at all")
    return Predictions(
        labels=np.asarray(dataset.labels),
        classes=classes[order],
        probabilities=probabilities[order],
        label_log_probability=label_log_probability[order],
    )
