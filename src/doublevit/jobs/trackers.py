"""Which trackers a training is logged to, from the first step to the last, and what they get besides the log."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from accelerate.tracking import GeneralTracker

from doublevit.errors import first_line
from doublevit.files import whole_file
from doublevit.jobs.sheet import views_sheet
from doublevit.jsonl import read_lines
from doublevit.recipes import Recipe
from doublevit.recipes.recipe import flat
from doublevit.runs import checkpoint
from doublevit.runs.folder import RunFolder
from doublevit.runs.trackers import PACKAGES, TrackerRecord, read_trackers, require_trackers, write_trackers
from doublevit.training.interrupt import Stopped
from doublevit.training.log import numbers, position
from doublevit.training.trackers import SafeTracker, make_tracker, start_trackers
from doublevit.training.training import Training

SHEET = "training-images.png"
Trackers = Sequence[str | GeneralTracker]
"""Trackers by name, or objects of accelerate's class."""


def require_known(log: Trackers) -> None:
    """Raise `UserError` for an unknown tracker, and for one whose package is not installed."""
    require_trackers(tracker for tracker in log if isinstance(tracker, str))


@contextlib.contextmanager
def tracked(training: Training, recipe: Recipe, log: Trackers | None) -> Iterator[None]:
    """Log the training of the block to trackers, and note in its log if it ends before its time.

    Args:
        training: the training, before its first step in this process.
        recipe: its recipe, which trackers get as hyperparameters.
        log: the trackers; None: those that the run has already.
    """
    if not training.accelerator.is_main_process:
        yield
        return
    trackers = _trackers(training.run, recipe, log)
    try:
        _begin(training, trackers, recipe)
        yield
    except BaseException as error:
        is_stop = isinstance(error, Stopped | KeyboardInterrupt)
        with contextlib.suppress(OSError):  # a full disk may be what went wrong
            training.log.ended("stopped" if is_stop else first_line(error))
        raise
    finally:
        for tracker in trackers:
            tracker.finish()


def _trackers(run: RunFolder, recipe: Recipe, log: Trackers | None) -> list[SafeTracker]:
    """Make the trackers that have something to get, each with what it has already; they are not started."""
    records, last = read_trackers(run.path), position(run)
    records = {name: TrackerRecord(id=record.id, logged=max(record.logged, last)) for name, record in records.items()}
    is_done = _is_done(run, recipe)
    chosen = tuple(records) if log is None else dict.fromkeys(log)
    return [
        make_tracker(tracker, run.path, records.get(tracker)) if isinstance(tracker, str) else SafeTracker(tracker)
        for tracker in chosen
        if not (is_done and tracker in records)
    ]


def _is_done(run: RunFolder, recipe: Recipe) -> bool:
    """Return whether a run is trained to its end, so that the trackers that it has get nothing more."""
    return checkpoint.exists(run.checkpoints) and checkpoint.epochs_of(run.checkpoints) >= recipe.train.epochs


def _begin(training: Training, trackers: Sequence[SafeTracker], recipe: Recipe) -> None:
    """Start the trackers, and give new ones the recipe, a contact sheet, and the log so far."""
    if not trackers:
        return
    start_trackers(training.accelerator, trackers, flat(recipe))
    sheet = views_sheet(training.splits["train"], recipe.augment)
    with whole_file(training.run.path / SHEET) as file:
        sheet.save(file, format="PNG")
    for tracker in trackers:
        tracker.log_image("training images", training.run.path / SHEET, np.asarray(sheet.convert("RGB")))
        for entry in read_lines(training.run.path / "log.jsonl"):
            tracker.log(numbers(entry), step=entry["step"])
    _note(training.run, trackers, read_trackers(training.run.path) if _is_done(training.run, recipe) else {})


def _note(run: RunFolder, trackers: Sequence[SafeTracker], complete: Mapping[str, TrackerRecord]) -> None:
    """Note which trackers the run has now, beside those that have all of it.

    Those given as objects are not known to a later command.
    """
    named = {tracker.name: tracker for tracker in trackers if tracker.name in PACKAGES and tracker.works}
    write_trackers(
        run.path,
        {**complete, **{name: TrackerRecord(id=each.id, logged=each.logged) for name, each in named.items()}},
    )
