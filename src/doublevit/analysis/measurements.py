"""Which measurement of a run is meant by a few words, such as "clean", "fog 3" or "pgd 1/255"."""

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

METRICS = ("top-1", "robust top-1")
"""Those of the rows that stand for a measurement with predictions."""


@dataclasses.dataclass(frozen=True)
class SavedMeasurement:
    """A measurement whose predictions were saved: its row of accuracy, and where they lie."""

    row: Row
    path: Path

    @property
    def name(self) -> str:
        """The condition for people, without what is as usual: "fog 3", "pgd linf 1/255 best"."""
        return " ".join([*condition_words(self.row), *_unusual(self.row)])

    @property
    def folder_name(self) -> str:
        """The same as the name of a folder anywhere, with eight digits that tell its predictions from all others."""
        safe = re.sub(r"[^\w.=+-]+", "-", self.name.replace("%", "pct"))
        return f"{safe.strip('-.')[:100]}-{hashlib.sha256(self.path.name.encode()).hexdigest()[:8]}"

    def predictions(self) -> Predictions:
        """What was predicted for every image.

        Raises:
            UserError: the file is damaged, or is not of this row.
        """
        return read_predictions(self.path, self.row)


def saved_measurements(run: RunFolder) -> list[SavedMeasurement]:
    """Every measurement of a run whose predictions are there, once, the newest last."""
    newest: dict[tuple[Path, CheckpointId], Row] = {}
    for row in run.rows():
        if row.metric in METRICS:
            key = run.predictions_path(row), row.checkpoint  # the last weights can be the best: their file is the same
            newest.pop(key, None)
            newest[key] = row
    return [SavedMeasurement(row, path) for (path, _), row in newest.items() if path.is_file()]


def fitting(run: RunFolder, words: Sequence[str]) -> list[SavedMeasurement]:
    """The measurements that all `words` speak of, the newest last.

    A word is a value of the condition (corruption, severity, attack, norm, epsilon as in 1/255, home-made, nested ...),
    "last" or "best", "top-k=32" or "top-k=none", "adapted" or "unadapted", "n=500"; case does not matter. What is not
    asked for may be anything, but for transfers, which are found only by the word "transfer".

    Raises:
        UserError: there is none.
    """
    there = saved_measurements(run)
    if not there:
        raise UserError(f"{run.path} has no measurement with predictions; first give: doublevit evaluate {run.path}")
    wanted = {word.lower() for word in words}
    fit = [each for each in there if wanted <= _words(each.row) and _is_open(each.row, wanted)]
    if not fit:
        asked = " ".join(words)
        raise UserError(f"{run.path} has no measurement that fits `condition` {asked!r}; there are: {_choices(there)}")
    return fit


def condition_words(row: Row) -> list[str]:
    """A condition in a few words, the most general first: ["fog", "3"], ["pgd", "linf", "1/255"]."""
    condition = row.condition
    if isinstance(condition, Corruption):
        return [condition.corruption, str(condition.severity)]
    if isinstance(condition, Attack | Transfer):
        transfer = ["transfer", condition.made_on.model] if isinstance(condition, Transfer) else []
        size = [] if condition.epsilon is None else [describe_epsilon(condition.norm, condition.epsilon)]
        return [*transfer, condition.attack, *filter(None, [condition.norm]), *size]
    return [_kind(row)]


def _kind(row: Row) -> str:
    return str(row.condition.__struct_config__.tag)


def _words(row: Row) -> set[str]:
    condition, checkpoint = row.condition, row.checkpoint
    words = [_kind(row), *condition_words(row), checkpoint.which, f"{checkpoint.name}-{checkpoint.digest}"]
    if isinstance(condition, Corruption):
        words.append(condition.source.kind)
    elif isinstance(condition, Attack | Transfer):
        words += [condition.space, condition.budgets]
    words += ["adapted", row.adapted.method] if row.adapted else ["unadapted"]
    return {word.lower() for word in (*words, f"top-k={show(row.top_k)}", f"n={row.count}")}


def _is_open(row: Row, wanted: set[str]) -> bool:
    return not isinstance(row.condition, Transfer) or "transfer" in wanted


def _unusual(row: Row) -> list[str]:
    """In what a measurement differs from the last weights with dense attention and training's statistics."""
    words = ["best"] if row.checkpoint.which == "best" else []
    words += [f"top-k={show(row.top_k)}"] if row.top_k else []
    return words + ([f"adapted {row.adapted}"] if row.adapted else [])


def _choices(there: Iterable[SavedMeasurement]) -> str:
    """What can be asked for, sizes and severities together: "clean; fog 1 2 3; pgd linf 0 1/255"."""
    sizes: dict[str, dict[str, None]] = {}
    further: dict[str, None] = {}
    for each in there:
        *names, last = condition_words(each.row)
        general = last if not names else " ".join(names)
        sizes.setdefault(general, {}).update({last: None} if names else {})
        further |= dict.fromkeys(word.partition(" ")[0] for word in _unusual(each.row))
    listed = "; ".join(" ".join([name, *values]) for name, values in sizes.items())
    return listed + (f"; further words: {', '.join(further)}" if further else "")
