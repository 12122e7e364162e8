"""Which measurement of a run is meant by a few words, such as "clean", "fog 3" or "pgd 1/255"."""

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from doublevit.attacks.epsilons import show
from doublevit.errors import UserError
from doublevit.results import Predictions, Row
from doublevit.run_folder import RunFolder

METRICS = ("top-1", "robust top-1")
NAMED = ("kind", "corruption", "severity", "set", "attack", "norm", "space", "budgets")
"""Values of a condition that can be asked for, besides epsilon."""
METHODS = ("batch", "set", "momentum")
"""Of adaptation, as rows tell them."""


@dataclasses.dataclass(frozen=True)
class Kept:
    """A measurement whose predictions were kept: its row of accuracy, and where they lie."""

    row: Row
    path: Path

    @property
    def top(self) -> int:
        """How many answers its accuracy allows."""
        return int(self.row.metric.rpartition("top-")[2])

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
        """What was said of every photo.

        Raises:
            UserError: the file is damaged, or is not of this row.
        """
        found, row = Predictions.load(self.path), self.row
        lengths = {len(array) for array in dataclasses.asdict(found).values() if array.ndim}
        whole = lengths == {row.count} and found.classes.ndim == 2 and found.classes.shape == found.probabilities.shape
        if not whole or int(found.hits(self.top).sum()) != round(row.value * row.count):
            raise UserError(
                f"{self.path} is not what its row in results.jsonl was read from (expected {row.value:.2%} of"
                f" {row.count:,} right); delete it and evaluate again"
            )
        return found


def kept(run: RunFolder) -> list[Kept]:
    """Every measurement of a run whose predictions are there, once, the newest last."""
    newest: dict[tuple[Path, str], Row] = {}
    for row in run.rows():
        if row.metric in METRICS:
            key = run.predictions(row), row.checkpoint  # the last weights can be the best: their file is one
            newest.pop(key, None)
            newest[key] = row
    return [Kept(row, path) for (path, _), row in newest.items() if path.is_file()]


def fitting(run: RunFolder, words: Sequence[str]) -> list[Kept]:
    """The measurements that all `words` speak of, the newest last.

    A word is a value of the condition (corruption, severity, attack, norm, epsilon as in 1/255, home-made, nested ...),
    "last" or "best", "top-k=32" or "top-k=none", "adapted" or "unadapted", "n=500"; case does not matter. What is not
    asked for may be anything, but for transfers, which are found only by the word "transfer".

    Raises:
        UserError: there is none.
    """
    there = kept(run)
    if not there:
        raise UserError(f"{run.path} has no measurement with predictions; first give: doublevit evaluate {run.path}")
    wanted = {word.lower() for word in words}
    found = [one for one in there if wanted <= _words(one.row) and _is_open(one.row, wanted)]
    if not found:
        asked = " ".join(words)
        raise UserError(f"{run.path} has no measurement that fits --condition {asked!r}; there are: {_choices(there)}")
    return found


def condition_words(row: Row) -> list[str]:
    """A condition in a few words, the most general first: ["fog", "3"], ["pgd", "linf", "1/255"]."""
    condition = row.condition
    transfer = ["transfer", _made_on(row)] if condition.get("kind") == "transfer" else []
    names = [str(condition[key]) for key in ("corruption", "severity", "attack", "norm") if key in condition]
    return [*transfer, *names, *_epsilon(row)] or [str(condition.get("kind"))]


def _words(row: Row) -> set[str]:
    named = [str(row.condition[key]) for key in NAMED if key in row.condition]
    how = row.adapted.partition(":")[2].split()
    method = ["adapted" if row.adapted else "unadapted", *(word for word in METHODS if word in how)]
    words = [*named, *_epsilon(row), *row.checkpoint.split(", "), f"top-k={row.top_k}", f"n={row.count}"]
    return {word.lower() for word in (*words, *method, _made_on(row)) if word}


def _is_open(row: Row, wanted: set[str]) -> bool:
    return row.condition.get("kind") != "transfer" or "transfer" in wanted


def _epsilon(row: Row) -> list[str]:
    condition = row.condition
    return [show(condition["epsilon"], condition["norm"])] if "epsilon" in condition else []


def _made_on(row: Row) -> str:
    """The run that images were made on to be shown to this one."""
    return str(row.condition.get("made_on", "")).partition(" (")[0]


def _unusual(row: Row) -> list[str]:
    """In what a measurement differs from the last weights with dense attention and training's statistics."""
    words = ["best"] if row.checkpoint.startswith("best") else []
    words += [f"top-k={row.top_k}"] if row.top_k != "none" else []
    return words + ([f"adapted {row.adapted}"] if row.adapted else [])


def _choices(there: Iterable[Kept]) -> str:
    """What can be asked for, sizes and severities together: "clean; fog 1 2 3; pgd linf 0 1/255"."""
    sizes: dict[str, dict[str, None]] = {}
    further: dict[str, None] = {}
    for one in there:
        *names, last = condition_words(one.row)
        general = last if not names else " ".join(names)
        sizes.setdefault(general, {}).update({last: None} if names else {})
        further |= dict.fromkeys(word.partition(" ")[0] for word in _unusual(one.row))
    listed = "; ".join(" ".join([name, *values]) for name, values in sizes.items())
    return listed + (f"; further words: {', '.join(further)}" if further else "")
