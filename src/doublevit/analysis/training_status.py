"""How far a run's training is, from its log: read while it runs, without torch."""

import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from doublevit.jsonl import read_lines
from doublevit.runs.checkpoint_index import INDEX, read_index
from doublevit.training.config import LOG_EVERY

LEAST_PATIENCE, PATIENCE_AT_FIRST = 60.0, 600.0  # seconds without a sign of life; before the speed is known
SHOWN_LOSSES = 5
LARGEST = sys.float_info.max


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Holds top-1 on the validation images with its 95 % interval, and the epoch after which it was measured."""

    value: float
    low: float
    high: float
    epoch: int | None = None


@dataclasses.dataclass(frozen=True)
class TrainingStatus:
    """Tells how far a training is; what its log does not say is None.

    `fraction` of all steps are made; `alive` if the process that trains seems to be at work; `ended` says why it is
    not, if it could say so. `last_sign` is the time, as `time.time` gives it, when it last wrote something. Speed,
    memory and `seconds_left` are those of the last entry; `losses` pairs of a step and its loss, the last ones.
    """

    epochs: int
    epochs_done: int
    fraction: float | None
    alive: bool
    ended: str
    last_sign: float | None
    seconds_left: float | None
    images_per_second: float | None
    resident_bytes: int | None
    allocated_bytes: int | None
    losses: tuple[tuple[int, float], ...]
    last: Accuracy | None
    best: Accuracy | None

    @property
    def is_done(self) -> bool:
        """Whether the last epoch is trained and validated."""
        return self.epochs_done >= self.epochs


def training_status(run: Path, epochs: int, batch_size: int) -> TrainingStatus:
    """Read how far the training of a run is, whose recipe asks for so many epochs.

    Raises:
        UserError: the log or the index of its checkpoints is damaged.
    """
    entries = list(read_lines(run / "log.jsonl"))
    last, validated = entries[-1] if entries else {}, _validated(entries)
    done = _epochs_done(run, validated)
    ended = str(last.get("ended", ""))
    sign = _last_sign(run)
    recent = sign is not None and time.time() - sign < _patience(entries, batch_size)
    speed: Mapping[str, Any] = next((entry for entry in reversed(entries) if "ended" not in entry), {})
    return TrainingStatus(
        epochs=epochs,
        epochs_done=done,
        fraction=_fraction(entries, done, epochs),
        alive=recent and not ended and done < epochs,
        ended=ended,
        last_sign=sign,
        seconds_left=number(speed, "seconds_left"),
        images_per_second=_rate(speed),
        resident_bytes=_whole(speed, "resident_bytes"),
        allocated_bytes=_whole(speed, "allocated_bytes"),
        losses=tuple(_losses(entries)[-SHOWN_LOSSES:]),
        last=validated[-1] if validated else None,
        best=max(validated, key=lambda accuracy: accuracy.value, default=None),
    )


def number(entry: Mapping[str, Any], name: str) -> float | None:
    """Return a finite number of an entry; None if it has none under that name."""
    value = entry.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not -LARGEST <= value <= LARGEST:
        return None
    return float(value)


def _whole(entry: Mapping[str, Any], name: str) -> int | None:
    value = number(entry, name)
    return None if value is None else int(value)


def _validated(entries: Sequence[Mapping[str, Any]]) -> list[Accuracy]:
    """Return the accuracies after epochs, the first one first."""
    found = []
    for entry in entries:
        epoch, *bounds = (number(entry, name) for name in ("epoch", "val_top1", "val_low", "val_high"))
        value, low, high = bounds
        if epoch is not None and value is not None and low is not None and high is not None:
            found.append(Accuracy(value, low, high, int(epoch)))
    return found


def _epochs_done(run: Path, validated: Sequence[Accuracy]) -> int:
    """Return the epochs of the last checkpoint, whose name says them, or else those of the log."""
    name = read_index(run / "checkpoints").get("last", "")
    digits = name.removeprefix("epoch-").partition("-")[0]
    return int(digits) if digits.isdigit() else max((each.epoch or 0 for each in validated), default=0)


def _last_sign(run: Path) -> float | None:
    """Return when the training last wrote something."""
    files = [run / name for name in ("log.jsonl", f"checkpoints/{INDEX}", "recipe.json")]
    return max((file.stat().st_mtime for file in files if file.exists()), default=None)


def _patience(entries: Sequence[Mapping[str, Any]], batch_size: int) -> float:
    """Return the seconds without a sign of life after which a training is taken for dead.

    They are a few times what it takes from one entry of the log to the next, which may have a validation between them.
    """
    last = entries[-1] if entries else {}
    rate = _rate(last)
    if not rate:
        return PATIENCE_AT_FIRST
    return LEAST_PATIENCE + 3 * (LOG_EVERY * batch_size / rate + (number(last, "val_seconds") or 0.0))


def _rate(entry: Mapping[str, Any]) -> float | None:
    """Return images per second; entries of older runs have it in the metrics of an epoch only."""
    train = entry.get("train")
    return number(entry, "images_per_second") or (
        number(train, "images_per_second") if isinstance(train, Mapping) else None
    )


def _fraction(entries: Sequence[Mapping[str, Any]], done: int, epochs: int) -> float | None:
    """Return which fraction of all steps is made; of an older log it is known after an epoch only."""
    step = max((number(entry, "step") or 0.0 for entry in entries), default=0.0)
    last_epoch = next((entry for entry in reversed(entries) if number(entry, "epoch")), None)
    total = next((steps for entry in reversed(entries) if (steps := number(entry, "steps"))), None)
    if total is None and last_epoch is not None:
        total = (number(last_epoch, "step") or 0.0) / (number(last_epoch, "epoch") or 1.0) * epochs
    if total:
        return min(1.0, step / total)
    return done / epochs if epochs and (done or not entries) else None


def _losses(entries: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    pairs = [(number(entry, "step"), number(entry, "loss")) for entry in entries]
    return [(int(step), loss) for step, loss in pairs if step is not None and loss is not None]
