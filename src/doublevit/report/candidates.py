"""Networks as they were measured: what a row of a table is about."""

import dataclasses
import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from doublevit.errors import UserError
from doublevit.models.top_k import alike, mention
from doublevit.report.conditions import Kept
from doublevit.results import Predictions, Row
from doublevit.run_folder import RunFolder

CHECKSUM = re.compile(r"\[[0-9a-f]{8}\]")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A run's weights, used in one way: `rows`, the newest of each measurement.

    `recipe` as recipe.json has it; `top_k` and `adapted` as the rows say. `best`: not the last weights, but those that
    did best on the validation photos.
    """

    run: RunFolder
    recipe: Mapping[str, Any]
    rows: tuple[Row, ...]
    best: bool = False

    @property
    def top_k(self) -> str:
        """The sparse attention that it was measured with."""
        return self.rows[0].top_k

    @property
    def adapted(self) -> str:
        """How its batch norm was adapted."""
        return self.rows[0].adapted

    @property
    def seed(self) -> int:
        """Of its training."""
        return int(self.recipe["seed"])

    @property
    def as_trained(self) -> bool:
        """Whether these are the last weights, used as they were trained."""
        return not self.best and not self.adapted and self.top_k == trained_top_k(self.recipe)

    def of_kind(self, kind: str, metric: str | None = None) -> list[Row]:
        """The rows of a kind of condition, and of a metric."""
        return [row for row in self.rows if row.condition.get("kind") == kind and metric in (None, row.metric)]

    def scores(self, row: Row) -> np.ndarray | None:
        """Whether each photo was recognised, bool (N,); None where the predictions were not kept."""
        return _hits(self.run, json.dumps(dataclasses.asdict(row), sort_keys=True))


@dataclasses.dataclass(frozen=True)
class Contender:
    """A row of the tables: one network, or as many as there are seeds, under one name, in a group of rows."""

    label: str
    group: str
    members: tuple[Candidate, ...]

    @property
    def first(self) -> Candidate:
        """Of the first seed."""
        return self.members[0]


@functools.lru_cache(maxsize=4096)
def _hits(run: RunFolder, row_as_text: str) -> np.ndarray | None:
    row = Row(**json.loads(row_as_text))
    predictions = predictions_of(run, row)
    return None if predictions is None else predictions.hits(Kept(row, run.predictions(row)).top)


def predictions_of(run: RunFolder, row: Row) -> Predictions | None:
    """What was said of each photo; None where that was not kept, or is damaged, which the collection remarks on."""
    kept = Kept(row, run.predictions(row))
    try:
        return kept.predictions() if kept.path.is_file() else None
    except UserError:
        return None


def candidates(run: RunFolder) -> list[Candidate]:
    """The present weights of a run, and the best where these are others, in every way of use; as trained first.

    Raises:
        UserError: the run has no results.
    """
    rows, recipe = run.rows(), run.recipe()
    if not rows:
        raise UserError(f"{run.path} has no results yet; first give: doublevit evaluate {run.path}")
    found, present = [], _present(rows)
    for weights in present:
        mine = [row for row in rows if _weights(row) == weights]
        for way in dict.fromkeys((row.top_k, row.adapted) for row in mine):
            used = _newest(row for row in mine if (row.top_k, row.adapted) == way)
            found.append(Candidate(run, recipe, used, best=weights != present[0]))
    return sorted(found, key=lambda one: not one.as_trained)


def way_of_use(candidate: Candidate) -> str:
    """What must be said beside the name of a network that was not used as trained."""
    method = re.search(r"batch|whole set|momentum", candidate.adapted.partition(":")[2])
    adapted = f", adapted ({method.group() if method else 'batch norm'})" if candidate.adapted else ""
    dense = ", dense" if candidate.top_k == "none" != trained_top_k(candidate.recipe) else ""
    other = candidate.top_k != trained_top_k(candidate.recipe)
    best = ", best checkpoint" if candidate.best else ""
    return best + (dense or (mention(candidate.top_k, ", ") if other else "")) + adapted


def trained_top_k(recipe: Mapping[str, Any]) -> str:
    """The sparse attention that a recipe trains with."""
    return alike(recipe["model"].get("top_k", "none"))


def photo_set(row: Row) -> tuple[str, str]:
    """Which data a row is of, by their checksum where they have one, and which part of them ("" for all)."""
    found = CHECKSUM.search(row.dataset)
    if found:
        return found.group(), row.dataset[found.end() :].strip(", ")
    base, comma, part = row.dataset.partition(", first ")
    match = re.search(r", [\d,]+ of [\d,]+ stratified", row.dataset)
    if match:
        return row.dataset[: match.start()], row.dataset[match.start() :].strip(", ")
    return base, (comma + part).strip(", ")


def _present(rows: Sequence[Row]) -> list[str]:
    """The newest weights that are the last of their training (or any), and the newest that were its best."""
    newest = [[row for row in rows if row.checkpoint.startswith(which)] for which in ("last", "best")]
    return list(dict.fromkeys(_weights(some[-1]) for some in newest if some)) or [_weights(rows[-1])]


def _weights(row: Row) -> str:
    return row.checkpoint.rpartition(", ")[2]


def _newest(rows: Iterable[Row]) -> tuple[Row, ...]:
    newest: dict[str, Row] = {}
    for row in rows:
        key = json.dumps([photo_set(row), row.count, dict(row.condition), row.metric, row.precision], sort_keys=True)
        newest.pop(key, None)
        newest[key] = row
    return tuple(newest.values())
