"""Saved predictions of a run, and their choice by a few words, such as "clean", "fog 3" or "pgd 1/255"."""

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from doublevit.analysis.descriptions import describe_epsilon
from doublevit.errors import UserError
from doublevit.models.top_k import show
from doublevit.runs.conditions import Attack, CheckpointId, Corruption, Transfer
from doublevit.runs.folder import RunFolder, read_predictions
from doublevit.runs.predictions import Predictions
from doublevit.runs.row import Row

PREDICTION_METRICS = ("top-1", "robust top-1")
"""Metrics of the rows that predictions are saved with: one row of each evaluation."""


@dataclasses.dataclass(frozen=True)
class SavedPredictions:
    """Stands for the predictions that an evaluation saved at `path`, with its row of accuracy."""

    row: Row
    path: Path

    @property
    def name(self) -> str:
        """The condition and what is unusual about the model, in words: "fog 3", "pgd linf 1/255 best"."""
        return " ".join([*condition_words(self.row), *_unusual(self.row)])

    @property
    def folder_name(self) -> str:
        """The name as a folder name for any file system, with eight digits of the file name's hash."""
        safe = re.sub(r"[^\w.=+-]+", "-", self.name.replace("%", "pct"))
        return f"{safe.strip('-.')[:100]}-{hashlib.sha256(self.path.name.encode()).hexdigest()[:8]}"

    def load(self) -> Predictions:
        """Read the predictions.

        Raises:
            UserError: the file is damaged or belongs to another row.
        """
        return read_predictions(self.path, self.row)


def saved_predictions(run: RunFolder) -> list[SavedPredictions]:
    """List the predictions of a run whose files exist, each once, the newest last."""
    newest: dict[tuple[Path, CheckpointId], Row] = {}
    for row in run.rows():
        if row.metric in PREDICTION_METRICS:
            key = run.predictions_path(row), row.checkpoint  # the last weights can be the best: their file is the same
            newest.pop(key, None)
            newest[key] = row
    return [SavedPredictions(row, path) for (path, _), row in newest.items() if path.is_file()]


def find_predictions(run: RunFolder, words: Sequence[str]) -> list[SavedPredictions]:
    """Find the saved predictions that all `words` match, the newest last.

    A word is a value of the condition (corruption, severity, attack, norm, epsilon as in 1/255, home-made, nested ...),
    "last" or "best", "top-k=32" or "top-k=none", "adapted" or "unadapted", "n=500"; case does not matter. Transfers are
    found only by the word "transfer".

    Raises:
        UserError: the run has no predictions, or none that match.
    """
    saved = saved_predictions(run)
    if not saved:
        raise UserError(f"{run.path} has no measurement with predictions; first give: doublevit evaluate {run.path}")
    wanted = {word.lower() for word in words}
    fitting = [each for each in saved if matches(each.row, wanted)]
    if not fitting:
        asked = " ".join(words)
        raise UserError(f"{run.path} has no measurement that fits `condition` {asked!r}; there are: {_choices(saved)}")
    return fitting


def condition_words(row: Row) -> list[str]:
    """Describe a condition in a few words, the most general first: ["fog", "3"], ["pgd", "linf", "1/255"]."""
    condition = row.condition
    if isinstance(condition, Corruption):
        return [condition.corruption, str(condition.severity)]
    if isinstance(condition, Attack | Transfer):
        transfer = ["transfer", condition.made_on.model] if isinstance(condition, Transfer) else []
        epsilon = [] if condition.epsilon is None else [describe_epsilon(condition.norm, condition.epsilon)]
        return [*transfer, condition.attack, *filter(None, [condition.norm]), *epsilon]
    return [_condition_type(row)]


def _condition_type(row: Row) -> str:
    return str(row.condition.__struct_config__.tag)


def _searchable_words(row: Row) -> set[str]:
    condition, checkpoint = row.condition, row.checkpoint
    words = [_condition_type(row), *condition_words(row), checkpoint.which, f"{checkpoint.name}-{checkpoint.digest}"]
    if isinstance(condition, Corruption):
        words.append(condition.source.kind)
    elif isinstance(condition, Attack | Transfer):
        words += [condition.space, condition.budgets]
    words += ["adapted", row.adapted.method] if row.adapted else ["unadapted"]
    return {word.lower() for word in (*words, f"top-k={show(row.top_k)}", f"n={row.count}")}


def matches(row: Row, wanted: set[str]) -> bool:
    """Return whether all wanted words, in lower case, are said of a row; transfers are found by that word only."""
    hidden = isinstance(row.condition, Transfer) and "transfer" not in wanted
    return not hidden and wanted <= _searchable_words(row)


def _unusual(row: Row) -> list[str]:
    """Name what differs from the last weights with dense attention and batch norm as trained."""
    words = ["best"] if row.checkpoint.which == "best" else []
    words += [f"top-k={show(row.top_k)}"] if row.top_k else []
    return words + ([f"adapted {row.adapted}"] if row.adapted else [])


def _choices(saved: Iterable[SavedPredictions]) -> str:
    """List the words to choose from, epsilons and severities together: "clean; fog 1 2 3; pgd linf 0 1/255"."""
    strengths: dict[str, dict[str, None]] = {}
    further: dict[str, None] = {}
    for predictions in saved:
        *names, last = condition_words(predictions.row)
        general = last if not names else " ".join(names)
        strengths.setdefault(general, {}).update({last: None} if names else {})
        further |= dict.fromkeys(word.partition(" ")[0] for word in _unusual(predictions.row))
    listed = "; ".join(" ".join([name, *values]) for name, values in strengths.items())
    return listed + (f"; further words: {', '.join(further)}" if further else "")
