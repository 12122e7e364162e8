"""Costs of models, from rows of speed, and histories of their training, from its log."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from doublevit.analysis.descriptions import describe_speed
from doublevit.analysis.evaluated import EvaluatedModel, Method
from doublevit.jsonl import read_lines
from doublevit.runs.conditions import Speed
from doublevit.runs.row import Row
from doublevit.statistics import Estimate

VAL_FIELDS = ("step", "epoch", "val_top1", "val_low", "val_high")


@dataclasses.dataclass(frozen=True)
class Costs:
    """Holds a model's newest rows of speed, memory and size by metric, and the seconds of each epoch of training."""

    rows: Mapping[str, Row]
    seconds_per_epoch: tuple[float, ...]

    @property
    def devices(self) -> list[str]:
        """The devices of the rows and how speed was measured on them, in words."""
        return list(dict.fromkeys(map(describe_speed, self.rows.values())))

    def __bool__(self) -> bool:
        return bool(self.rows or self.seconds_per_epoch)


def costs(model: EvaluatedModel) -> Costs:
    """Collect what a model costs, as far as it was measured."""
    rows = {row.metric: row for row, _ in model.rows_of(Speed)}
    return Costs(rows, tuple(_seconds_per_epoch(model)))


def _seconds_per_epoch(model: EvaluatedModel) -> Iterator[float]:
    for entry in read_lines(model.run.path / "log.jsonl"):
        train = entry.get("train")
        images = entry.get("images", entry.get("photos"))  # the key of older runs
        rate = train.get("images_per_second") if isinstance(train, dict) else None
        if isinstance(images, int | float) and isinstance(rate, int | float) and min(images, rate) > 0:
            yield float(images) / float(rate)


@dataclasses.dataclass(frozen=True)
class TrainingHistory:
    """Holds the history of a training run: accuracies after each epoch, and losses between.

    `epochs` count from 1; `train_top1` and `val` are fractions aligned with them, None where not measured (`train_top1`
    may be None altogether); `losses` were logged at `loss_steps`, in epochs, which may be fractions.
    """

    name: str
    epochs: tuple[int, ...]
    train_top1: tuple[float | None, ...] | None
    val: tuple[Estimate | None, ...]
    loss_steps: tuple[float, ...]
    losses: tuple[float, ...]


def training_history(method: Method) -> TrainingHistory | None:
    """Read the history of the first seed's training; None where its log holds no whole epoch."""
    entries = list(read_lines(method.first.run.path / "log.jsonl"))
    after_epochs = [entry for entry in entries if _has_numbers(entry, VAL_FIELDS)]
    if not after_epochs:
        return None
    steps_per_epoch = after_epochs[-1]["step"] / after_epochs[-1]["epoch"]
    with_loss = [entry for entry in entries if _has_numbers(entry, ("step", "loss"))]
    return TrainingHistory(
        name=method.label,
        epochs=tuple(entry["epoch"] for entry in after_epochs),
        train_top1=tuple(_train_top1(entry) for entry in after_epochs),
        val=tuple(Estimate(entry["val_top1"], entry["val_low"], entry["val_high"]) for entry in after_epochs),
        loss_steps=tuple(entry["step"] / steps_per_epoch for entry in with_loss),
        losses=tuple(entry["loss"] for entry in with_loss),
    )


def _has_numbers(entry: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    return all(isinstance(entry.get(name), int | float) for name in names)


def _train_top1(entry: Mapping[str, Any]) -> float | None:
    train = entry.get("train")
    value = train.get("top1") if isinstance(train, dict) else None
    return value if isinstance(value, int | float) else None
