"""The journal of attacks: outcomes saved batch by batch, so that a killed evaluation repeats no finished batch."""

import contextlib
import dataclasses
import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from doublevit import strict_json
from doublevit.attacks.config import AttackConfig
from doublevit.data.dataset import Dataset
from doublevit.device import this_process
from doublevit.errors import UserError
from doublevit.evaluators.attacks.state import Outcome
from doublevit.files import exclusive_lock, writable_folder
from doublevit.jsonl import append_lines, read_lines
from doublevit.progress import console
from doublevit.runs.conditions import Record
from doublevit.runs.predictions import Predictions
from doublevit.version import __version__

BatchKey = tuple[int, int, int]
"""Indices of chain, stage and repetition; in a transfer, of source model and attack, epsilon, and target model."""
JOURNAL_FOLDER = "attacks"  # in a run's folder


class JournalLine(Record, frozen=True, kw_only=True):
    """A line that holds the outcome of a batch; the predictions are those of its broken samples only, in their order.

    `min_epsilon` is None where a sample is robust; `damaged` is the outcome's `non_finite`.
    """

    key: BatchKey
    indices: tuple[int, ...]
    min_epsilon: tuple[float | None, ...]
    classes: tuple[tuple[int, ...], ...]
    probabilities: tuple[tuple[float, ...], ...]
    label_log_probability: tuple[float, ...]
    damaged: int
    seconds: float


def identity_without_models(dataset: Dataset, config: AttackConfig, seed: int) -> dict[str, Any]:
    """Return all that decides the outcomes of attacks, except for the models."""
    images = [dataset.id.key, len(dataset)]
    return {"version": __version__, "dataset": images, "attack": dataclasses.asdict(config), "seed": seed}


@contextlib.contextmanager
def open_journal(
    folder: Path | None, identity: Mapping[str, Any], labels: np.ndarray, *, resume: bool
) -> Iterator["Journal"]:
    """Open the journal of an evaluation, locked until the block ends; unless `resume`, what it holds is deleted first.

    Without a folder nothing is read or written.

    Raises:
        UserError: the journal is damaged, or another process runs the same evaluation.
    """
    state = this_process()
    journal = Journal(folder, identity, labels, state.process_index)
    with journal.locked() if state.is_main_process else contextlib.nullcontext():
        if state.is_main_process and not resume:
            journal.delete()
        state.wait_for_everyone()
        known = journal.read()
        if known and state.is_main_process:
            console.print(f"going on: {known:,} batches were attacked before", highlight=False)
        yield journal


class Journal:
    """A journal stores the outcomes of one evaluation, in one file for each process.

    The files are named by a hash of `identity`, so that only the very same evaluation goes on from them.

    Args:
        folder: where the files lie; None: nothing is stored.
        identity: everything that decides the outcomes, as JSON can hold it.
        labels: the true classes of all samples, int64 (N,).
        rank: the index of this process.
    """

    def __init__(self, folder: Path | None, identity: Mapping[str, Any], labels: np.ndarray, rank: int = 0) -> None:
        self.name = hashlib.sha256(strict_json.canonical(identity)).hexdigest()[:12]
        self._folder, self._labels = folder, labels
        self._path = folder / f"{self.name}-{rank}.jsonl" if folder else None
        if folder is not None:
            writable_folder(folder, "the journal of attacks")
        self._outcomes: dict[tuple[BatchKey, tuple[int, ...]], Outcome] = {}

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Keep every other process from running the same evaluation until the block ends."""
        if self._folder is None:
            return contextlib.nullcontext()
        complaint = f"this evaluation is running already (in {self._folder}); wait until it has ended"
        return exclusive_lock(self._folder / f"{self.name}.lock", complaint)

    def has_chain(self, index: int) -> bool:
        """Return whether any batch of the chain at `index` had been attacked before the journal was opened."""
        return any(key[0] == index for key, _ in self._outcomes)

    def read(self) -> int:
        """Read the files of all processes, and return the number of batches that they hold.

        Raises:
            UserError: a file is damaged.
        """
        for path in self._files():
            self._outcomes |= dict(self._read(path))
        return len(self._outcomes)

    def delete(self) -> None:
        """Delete the files of all processes."""
        for path in self._files():
            path.unlink()

    def find(self, key: BatchKey, indices: np.ndarray) -> Outcome | None:
        """Return the outcome of this batch of samples, or None if it was not attacked before."""
        return self._outcomes.get((key, tuple(indices.tolist())))

    def add(self, key: BatchKey, outcome: Outcome) -> None:
        """Append an outcome to this process's file."""
        if self._path is None:
            return
        broken = np.isfinite(outcome.min_epsilon)
        epsilons = zip(outcome.min_epsilon.tolist(), broken, strict=True)
        line = JournalLine(
            key=key,
            indices=tuple(outcome.indices.tolist()),
            min_epsilon=tuple(epsilon if is_broken else None for epsilon, is_broken in epsilons),
            classes=outcome.predictions.classes[broken].tolist(),
            probabilities=outcome.predictions.probabilities[broken].tolist(),
            label_log_probability=outcome.predictions.label_log_probability[broken].tolist(),
            damaged=outcome.non_finite,
            seconds=outcome.seconds,
        )
        append_lines(self._path, [line])

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self.name}-*.jsonl")) if self._folder else []

    def _read(self, path: Path) -> Iterator[tuple[tuple[BatchKey, tuple[int, ...]], Outcome]]:
        for entry in read_lines(path):
            try:
                yield self._outcome(strict_json.convert(entry, JournalLine))
            except (ValueError, IndexError) as error:
                raise UserError(
                    f"{path} holds a line that is no outcome of an attack ({error}); add `resume=False` to begin anew"
                ) from error

    def _outcome(self, line: JournalLine) -> tuple[tuple[BatchKey, tuple[int, ...]], Outcome]:
        _require_complete(line)
        indices = np.array(line.indices, dtype=np.int64)
        min_epsilon = np.array([np.inf if value is None else value for value in line.min_epsilon], dtype=np.float64)
        predictions = self._predictions(line, indices, np.isfinite(min_epsilon))
        return (line.key, line.indices), Outcome(indices, min_epsilon, predictions, line.damaged, line.seconds)

    def _predictions(self, line: JournalLine, indices: np.ndarray, broken: np.ndarray) -> Predictions:
        width = len(line.classes[0]) if broken.any() else 1
        classes = np.zeros((len(indices), width), np.int32)
        probabilities = np.zeros((len(indices), width), np.float32)
        label_log_probability = np.zeros(len(indices), np.float32)
        if broken.any():
            classes[broken], probabilities[broken] = line.classes, line.probabilities
            label_log_probability[broken] = line.label_log_probability
        return Predictions(self._labels[indices], classes, probabilities, label_log_probability)


def _require_complete(line: JournalLine) -> None:
    """Raise `ValueError` unless every sample has an epsilon or null, and every broken sample has predictions."""
    if len(line.min_epsilon) != len(line.indices):
        raise ValueError(f"{len(line.indices)} samples, but {len(line.min_epsilon)} outcomes")
    broken = [epsilon for epsilon in line.min_epsilon if epsilon is not None]
    if not all(0 < epsilon < math.inf for epsilon in broken):  # NaN would count as robust
        raise ValueError(f"expected epsilons above 0 or null, found {broken}")
    # NumPy would broadcast the predictions of a single sample to all.
    for name in ("classes", "probabilities", "label_log_probability"):
        if len(getattr(line, name)) != len(broken):
            raise ValueError(f"{len(broken)} samples are broken, but {name} has {len(getattr(line, name))}")
