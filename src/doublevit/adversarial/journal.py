"""What attacks did, kept batch by batch as it comes, so that a killed evaluation repeats no finished sample."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from doublevit.adversarial.standing import Outcome
from doublevit.errors import UserError
from doublevit.processes import this_process
from doublevit.progress import console
from doublevit.results import Predictions, append_lines, read_lines

Key = tuple[int, int, int]
"""Chain, stage, repetition."""


FOLDER = "attacks"  # in a run's folder


@contextlib.contextmanager
def open_journal(run: Path, identity: Mapping[str, Any], labels: np.ndarray, *, resume: bool) -> Iterator["Journal"]:
    """The journal of an evaluation, in a run's folder, with what was done before, or (unless `resume`) without.

    Raises:
        UserError: what was written before is damaged, or another evaluation like this one is running.
    """
    state = this_process()
    journal = Journal(run / FOLDER, identity, labels, state.process_index)
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
        folder: where it lies.
        identity: everything that decides the outcomes, as JSON can hold it.
        labels: of all samples (N,).
        rank: the number of this process.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], labels: np.ndarray, rank: int = 0) -> None:
        folder.mkdir(exist_ok=True)
        self.name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
        self._folder, self._labels = folder, labels
        self._path = folder / f"{self.name}-{rank}.jsonl"
        self._known: dict[tuple[Key, tuple[int, ...]], Outcome] = {}

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else may run the same evaluation in the block."""
        try:
            with FileLock(self._folder / f"{self.name}.lock", timeout=0):
                yield
        except Timeout:
            raise UserError(
                f"this evaluation is running already (in {self._folder}); wait until it has ended"
            ) from None

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
        down = np.isfinite(outcome.fell)
        entry = {
            "key": key,
            "indices": outcome.indices.tolist(),
            "fell": [size if fell else None for size, fell in zip(outcome.fell.tolist(), down, strict=True)],
            "classes": outcome.answers.classes[down].tolist(),
            "probabilities": outcome.answers.probabilities[down].tolist(),
            "label_log_probability": outcome.answers.label_log_probability[down].tolist(),
            "damaged": outcome.damaged,
            "seconds": outcome.seconds,
        }
        append_lines(self._path, [entry])

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self.name}-*.jsonl"))

    def _read(self, path: Path) -> Iterator[tuple[tuple[Key, tuple[int, ...]], Outcome]]:
        for entry in read_lines(path):
            try:
                yield self._outcome(entry)
            except (KeyError, ValueError, IndexError, TypeError) as error:
                raise UserError(
                    f"{path} holds a line that is no outcome of an attack ({error}); add --no-resume to begin anew"
                ) from error

    def _outcome(self, entry: Mapping[str, Any]) -> tuple[tuple[Key, tuple[int, ...]], Outcome]:
        chain, stage, repeat = entry["key"]
        indices = np.array(entry["indices"], dtype=np.int64)
        fell = np.array([np.inf if size is None else size for size in entry["fell"]], dtype=np.float64)
        if len(fell) != len(indices) or np.isnan(fell).any():
            raise ValueError(f"{len(indices)} samples, but {np.count_nonzero(~np.isnan(fell))} outcomes")
        answers = self._answers(entry, indices, np.isfinite(fell))
        outcome = Outcome(indices, fell, answers, int(entry["damaged"]), float(entry["seconds"]))
        return ((chain, stage, repeat), tuple(indices.tolist())), outcome

    def _answers(self, entry: Mapping[str, Any], indices: np.ndarray, down: np.ndarray) -> Predictions:
        width = len(entry["classes"][0]) if down.any() else 1
        classes = np.zeros((len(indices), width), np.int32)
        probabilities = np.zeros((len(indices), width), np.float32)
        of_label = np.zeros(len(indices), np.float32)
        if down.any():
            classes[down], probabilities[down] = entry["classes"], entry["probabilities"]
            of_label[down] = entry["label_log_probability"]
        return Predictions(self._labels[indices], classes, probabilities, of_label)
