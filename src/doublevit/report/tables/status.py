"""The status of runs as tables: a row for each of several, or a row for each fact of one."""

import dataclasses
import shlex
import time
from collections.abc import Iterator, Sequence

from doublevit.analysis.status import Measured, RunStatus, State
from doublevit.analysis.training_status import Accuracy, TrainingStatus
from doublevit.files import folder_size
from doublevit.report.table import Cell, Column, Table, fraction_cell, text_cell, text_column

HEADS = (
    *map(text_column, ("run", "model", "data", "state")),
    Column("top-1", "top1"),
    Column("best", "best_top1"),
    *map(text_column, ("measured", "trackers")),
)
CAPTION = (
    "Top-1: of the last weights, in percent, with its 95 % interval, on the validation images or on those that a model"
    " was evaluated on; best: of the best epoch, which was chosen by it."
)
NONE = Cell("-")
UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def status_table(runs: Sequence[RunStatus], remarks: str = "") -> Table:
    """Return a row for each run; what is wrong with a damaged one is a footnote."""
    rows = tuple(_row(run) for run in runs)
    return Table("status", "Runs", HEADS, rows, f"{CAPTION} {remarks}".strip())


def detail_table(run: RunStatus) -> Table:
    """Return everything that is known of one run, a row for each fact."""
    rows = tuple((text_cell(name), text_cell(value)) for name, value in _facts(run) if value)
    return Table("status", run.name, (text_column("property"), text_column("value")), rows)


def next_command(run: RunStatus) -> str:
    """Return the command that goes on with a run."""
    holds_weights = bool(run.checkpoints) or run.training is not None
    command, options = _next(run.state, run.measured) if holds_weights or run.problem else ("report", "")
    return " ".join(filter(None, ["doublevit", command, shlex.quote(str(run.path)), options]))


def _next(state: State, measured: Measured) -> tuple[str, str]:
    """Return the command, and its options after the run."""
    if state in ("training", "damaged"):
        return "status", ""
    if state == "stopped":
        return "run --resume", ""
    steps = (
        (measured.clean, ""),
        (measured.cells >= max(1, measured.all_cells), "--corruptions common"),
        (bool(measured.attacks), "--attack.names pgd --attack.epsilons 0.5/255 1/255"),
    )
    return next((("evaluate", options) for is_done, options in steps if not is_done), ("report", ""))


def duration(seconds: float) -> str:
    """Return a duration in words, with its two greatest units: "2 h 5 min", "40 s"."""
    left = max(0, round(seconds))
    parts = []
    for size, unit in UNITS:
        count, left = divmod(left, size)
        parts += [f"{count} {unit}"] if count else []
    parts += [f"{left} s"] if left or not parts else []
    return " ".join(parts[:2])


def _row(run: RunStatus) -> tuple[Cell, ...]:
    if run.problem:
        problem = dataclasses.replace(text_cell(run.state), notes=(run.problem,))
        return (text_cell(run.name), NONE, NONE, problem, NONE, NONE, NONE, NONE)
    best = run.training.best if run.training else None
    return (
        text_cell(run.name),
        text_cell(run.model),
        text_cell(run.data),
        text_cell(_state(run)),
        _accuracy(run.top1),
        _accuracy(best),
        text_cell(_measured(run.measured) or "-"),
        text_cell(" ".join(run.trackers) or "-"),
    )


def _accuracy(accuracy: Accuracy | None) -> Cell:
    return fraction_cell(accuracy.value, accuracy.low, accuracy.high) if accuracy else NONE


def _state(run: RunStatus) -> str:
    training = run.training
    if training is None or run.state not in ("training", "stopped"):
        return run.state
    parts = [f"{run.state} {min(training.epochs_done + 1, training.epochs)}/{training.epochs}", *_progress(training)]
    if run.state == "training" and training.seconds_left is not None:
        parts.append(f"{duration(training.seconds_left)} left")
    if training.last_sign is not None:
        parts.append(f"{duration(time.time() - training.last_sign)} ago")
    return ", ".join(parts) + (f"; {training.ended}" if training.ended not in ("", "stopped") else "")


def _progress(training: TrainingStatus) -> list[str]:
    return [] if training.fraction is None else [f"{training.fraction:.0%}"]


def _measured(measured: Measured) -> str:
    parts = ["clean"] if measured.clean else []
    parts += [f"corruptions {measured.cells}/{measured.all_cells} cells"] if measured.cells else []
    parts += list(measured.attacks)
    parts += ["transfer"] if measured.transfer else []
    return ", ".join([*parts, *(["speed"] if measured.speed else [])])


def _facts(run: RunStatus) -> Iterator[tuple[str, str]]:
    """Yield names and values; those that are not known are empty."""
    best = run.training.best if run.training else None
    yield "folder", str(run.path)
    yield "problem", run.problem
    if run.problem:
        return
    yield "model", run.model
    yield "data", run.data
    yield "state", _state(run)
    yield "top-1", _words(run.top1)
    yield "best", _words(best)
    yield from _training_facts(run.training)
    yield "measured", _measured(run.measured)
    yield "trackers", " ".join(run.trackers)
    for checkpoint in run.checkpoints:
        yield " and ".join(checkpoint.which), f"{checkpoint.name}, {_size(checkpoint.size)}"
    yield "on disk", _size(folder_size(run.path))
    yield "next", next_command(run)


def _training_facts(training: TrainingStatus | None) -> Iterator[tuple[str, str]]:
    if training is None:
        return
    yield "last losses", ", ".join(f"{loss:.3f} at step {step:,}" for step, loss in training.losses)
    rate = training.images_per_second
    yield "speed", "" if rate is None else f"{rate:,.1f} images/s"
    parts = {"of the process": training.resident_bytes, "on the GPU": training.allocated_bytes}
    yield "most memory", ", ".join(f"{_size(size)} {what}" for what, size in parts.items() if size is not None)


def _words(accuracy: Accuracy | None) -> str:
    if accuracy is None:
        return ""
    after = f", after epoch {accuracy.epoch}" if accuracy.epoch else ""
    return f"{accuracy.value:.1%} ({accuracy.low:.1%} to {accuracy.high:.1%}){after}"


def _size(size: int) -> str:
    if size < 1e6:
        return f"{size / 1e3:,.0f} kB"
    return f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
