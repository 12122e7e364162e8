"""What networks cost, as `doublevit speed` has measured it, and how their training went, as its log says."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from doublevit.analysis.descriptions import describe_speed
from doublevit.analysis.evaluated import EvaluatedModel, Method
from doublevit.jsonl import read_lines
from doublevit.runs.conditions import Speed
from doublevit.runs.row import Row
from doublevit.statistics import Estimate

LOGGED = ("step", "epoch", "val_top1", "val_low", "val_high")


@dataclasses.dataclass(frozen=True)
class Costs:
    """A network's newest speed, memory and size by metric, and the seconds of each epoch of its training."""

    rows: Mapping[str, Row]
    seconds_per_epoch: tuple[float, ...]

    @property
    def devices(self) -> list[str]:
        """What was measured on, and how, in words."""
        return list(dict.fromkeys(map(describe_speed, self.rows.values())))

    def __bool__(self) -> bool:
        return bool(self.rows or self.seconds_per_epoch)


def costs(model: EvaluatedModel) -> Costs:
    """What a network costs, as far as it is known."""
    rows = {row.metric: row for row, _ in model.rows_of(Speed)}
    return Costs(rows, tuple(_seconds_per_epoch(model)))


def _seconds_per_epoch(model: EvaluatedModel) -> Iterator[float]:
    for entry in read_lines(model.run.path / "log.jsonl"):
        train = entry.get("train")
        count = entry.get("images", entry.get("photos"))  # the key of older runs
        pair = count, train.get("images_per_second") if isinstance(train, dict) else None
        if all(isinstance(number, int | float) and number > 0 for number in pair):
            yield float(pair[0] or 0) / float(pair[1] or 1)


@dataclasses.dataclass(frozen=True)
class Course:
    """The course of a training run.

    `epochs` that are done, from 1; as many `train_top1` and `val`, fractions, None where it was not measured
    (`train_top1` may be None altogether); `losses` at `loss_steps`, in epochs, which may be fractions.
    """

    name: str
    epochs: tuple[int, ...]
    train_top1: tuple[float | None, ...] | None
    val: tuple[Estimate | None, ...]
    loss_steps: tuple[float, ...]
    losses: tuple[float, ...]


def training_course(method: Method) -> Course | None:
    """The course of the first seed's training; None where its log holds no whole epoch."""
    entries = list(read_lines(method.first.run.path / "log.jsonl"))
    epochs = [entry for entry in entries if _has_numbers(entry, LOGGED)]
    if not epochs:
        return None
    per_epoch = epochs[-1]["step"] / epochs[-1]["epoch"]
    steps = [entry for entry in entries if _has_numbers(entry, ("step", "loss"))]
    return Course(
        name=method.label,
        epochs=tuple(entry["epoch"] for entry in epochs),
        train_top1=tuple(_train_top1(entry) for entry in epochs),
        val=tuple(Estimate(entry["val_top1"], entry["val_low"], entry["val_high"]) for entry in epochs),
        loss_steps=tuple(entry["step"] / per_epoch for entry in steps),
        losses=tuple(entry["loss"] for entry in steps),
    )


def _has_numbers(entry: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    return all(isinstance(entry.get(name), int | float) for name in names)


def _train_top1(entry: Mapping[str, Any]) -> float | None:
    train = entry.get("train")
    value = train.get("top1") if isinstance(train, dict) else None
    return value if isinstance(value, int | float) else None
