"""What attacks did, saved batch by batch as it comes, so that a killed evaluation repeats no finished sample."""

import contextlib
import dataclasses
import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from doublevit import __version__, strict_json
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

Key = tuple[int, int, int]
"""Chain, stage, repetition."""
FOLDER = "attacks"  # in a run's folder


class JournalLine(Record, frozen=True, kw_only=True):
    """A batch of samples after an attack; answers are those of the samples that are broken, in their order."""

    key: Key
    indices: tuple[int, ...]
    min_epsilon: tuple[float | None, ...]
    classes: tuple[tuple[int, ...], ...]
    probabilities: tuple[tuple[float, ...], ...]
    label_log_probability: tuple[float, ...]
    damaged: int
    seconds: float


def identify(dataset: Dataset, config: AttackConfig, seed: int) -> dict[str, Any]:
    """What decides the outcomes of attacks, beside the models."""
    images = [dataset.id.key, len(dataset)]
    return {"version": __version__, "dataset": images, "attack": dataclasses.asdict(config), "seed": seed}


@contextlib.contextmanager
def open_journal(
    folder: Path | None, identity: Mapping[str, Any], labels: np.ndarray, *, resume: bool
) -> Iterator["Journal"]:
    """The journal of an evaluation, in a folder, with what was done before, or (unless `resume`) without.

    Without a folder it is kept in memory.

    Raises:
        UserError: what was written before is damaged, or another evaluation like this one is running.
    """
    state = this_process()
    journal = Journal(folder, identity, labels, state.process_index)
    with journal.alone() if state.is_main_process else contextlib.nullcontext():
        if state.is_main_process and not resume:
            journal.forget()
        state.wait_for_everyone()
        known = journal.read()
        if known and state.is_main_process:
            console.print(f"going on: {known:,} batches were attacked before", highlight=False)
        yield journal


class Journal:
    """The outcomes of one evaluation, known by all that decides them; each process writes a file of its own.

    Args:
        folder: where it lies; None: in memory alone.
        identity: everything that decides the outcomes, as JSON can hold it.
        labels: of all samples (N,).
        rank: the number of this process.
    """

    def __init__(self, folder: Path | None, identity: Mapping[str, Any], labels: np.ndarray, rank: int = 0) -> None:
        self.name = hashlib.sha256(strict_json.canonical(identity)).hexdigest()[:12]
        self._folder, self._labels = folder, labels
        self._path = folder / f"{self.name}-{rank}.jsonl" if folder else None
        if folder is not None:
            writable_folder(folder, "the journal of attacks")
        self._known: dict[tuple[Key, tuple[int, ...]], Outcome] = {}

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Nobody else may run the same evaluation in the block."""
        if self._folder is None:
            return contextlib.nullcontext()
        complaint = f"this evaluation is running already (in {self._folder}); wait until it has ended"
        return exclusive_lock(self._folder / f"{self.name}.lock", complaint)

    def has(self, chain: int) -> bool:
        """Whether anything of a chain was known before."""
        return any(key[0] == chain for key, _ in self._known)

    def read(self) -> int:
        """Read what was written before; how many batches are known.

        Raises:
            UserError: it is damaged.
        """
        for path in self._files():
            self._known |= dict(self._read(path))
        return len(self._known)

    def forget(self) -> None:
        """Remove what was written before."""
        for path in self._files():
            path.unlink()

    def find(self, key: Key, indices: np.ndarray) -> Outcome | None:
        """The outcome of this batch, if it was attacked before."""
        return self._known.get((key, tuple(indices.tolist())))

    def add(self, key: Key, outcome: Outcome) -> None:
        """Write an outcome down."""
        if self._path is None:
            return
        broken = np.isfinite(outcome.min_epsilon)
        epsilons = zip(outcome.min_epsilon.tolist(), broken, strict=True)
        line = JournalLine(
            key=key,
            indices=tuple(outcome.indices.tolist()),
            min_epsilon=tuple(epsilon if is_broken else None for epsilon, is_broken in epsilons),
            classes=outcome.answers.classes[broken].tolist(),
            probabilities=outcome.answers.probabilities[broken].tolist(),
            label_log_probability=outcome.answers.label_log_probability[broken].tolist(),
            damaged=outcome.damaged,
            seconds=outcome.seconds,
        )
        append_lines(self._path, [line])

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self.name}-*.jsonl")) if self._folder else []

    def _read(self, path: Path) -> Iterator[tuple[tuple[Key, tuple[int, ...]], Outcome]]:
        for entry in read_lines(path):
            try:
                yield self._outcome(strict_json.convert(entry, JournalLine))
            except (ValueError, IndexError) as error:
                raise UserError(
                    f"{path} holds a line that is no outcome of an attack ({error}); add `resume=False` to begin anew"
                ) from error

    def _outcome(self, line: JournalLine) -> tuple[tuple[Key, tuple[int, ...]], Outcome]:
        _require_whole(line)
        indices = np.array(line.indices, dtype=np.int64)
        min_epsilon = np.array([np.inf if size is None else size for size in line.min_epsilon], dtype=np.float64)
        answers = self._answers(line, indices, np.isfinite(min_epsilon))
        return (line.key, line.indices), Outcome(indices, min_epsilon, answers, line.damaged, line.seconds)

    def _answers(self, line: JournalLine, indices: np.ndarray, broken: np.ndarray) -> Predictions:
        width = len(line.classes[0]) if broken.any() else 1
        classes = np.zeros((len(indices), width), np.int32)
        probabilities = np.zeros((len(indices), width), np.float32)
        of_label = np.zeros(len(indices), np.float32)
        if broken.any():
            classes[broken], probabilities[broken] = line.classes, line.probabilities
            of_label[broken] = line.label_log_probability
        return Predictions(self._labels[indices], classes, probabilities, of_label)


def _require_whole(line: JournalLine) -> None:
    """Raise `ValueError` unless every sample has an outcome, and every one that is broken has answers."""
    if len(line.min_epsilon) != len(line.indices):
        raise ValueError(f"{len(line.indices)} samples, but {len(line.min_epsilon)} outcomes")
    broken = [size for size in line.min_epsilon if size is not None]
    if not all(0 < size < math.inf for size in broken):  # NaN would count as robust
        raise ValueError(f"expected epsilons above 0 or null, found {broken}")
    # NumPy would give the answers of one sample to all.
    for name in ("classes", "probabilities", "label_log_probability"):
        if len(getattr(line, name)) != len(broken):
            raise ValueError(f"{len(broken)} samples are broken, but {name} has {len(getattr(line, name))}")
