"""Networks as they were evaluated: what a row of a table is about."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from doublevit import strict_json
from doublevit.analysis.descriptions import describe_attention, images_key
from doublevit.errors import UserError
from doublevit.models.top_k import Recorded, recorded
from doublevit.runs.conditions import AdaptationId, Clean, Record
from doublevit.runs.folder import RunFolder, read_predictions
from doublevit.runs.predictions import Predictions
from doublevit.runs.row import Row, row_from

Kind = TypeVar("Kind", bound=Record)


@dataclasses.dataclass(frozen=True)
class EvaluatedModel:
    """A run's weights, used in one way: `rows`, the newest of each measurement.

    `recipe` is as recipe.json has it. `best`: these are not the last weights, but those that did best in validation.
    """

    run: RunFolder
    recipe: Mapping[str, Any]
    rows: tuple[Row, ...]
    best: bool = False

    @property
    def top_k(self) -> Recorded:
        """The sparse attention that it was evaluated with."""
        return self.rows[0].top_k

    @property
    def adapted(self) -> AdaptationId | None:
        """How its batch norm was adapted."""
        return self.rows[0].adapted

    @property
    def seed(self) -> int:
        """The seed of the training run."""
        return int(self.recipe["seed"])

    @property
    def identity(self) -> tuple[object, ...]:
        """The same for the same network used in the same way, whatever tables call it."""
        return self.run.path.resolve(), self.rows[0].checkpoint.weights, self.top_k, self.adapted

    @property
    def as_trained(self) -> bool:
        """Whether these are the last weights, used as they were trained."""
        return not self.best and not self.adapted and self.top_k == trained_top_k(self.recipe)

    def clean_predictions(self) -> tuple[Row, Predictions] | None:
        """Top-1 on the most clean images, and what was predicted for them; None where either is missing or damaged."""
        row = max((row for row, _ in self.rows_of(Clean, "top-1")), key=lambda row: row.count, default=None)
        predictions = _predictions(self.run.predictions_path(row), row) if row else None
        return (row, predictions) if row and predictions else None

    def rows_of(self, kind: type[Kind], metric: str | None = None) -> list[tuple[Row, Kind]]:
        """The rows with a kind of condition, and of a metric, each with its condition."""
        return [
            (row, row.condition)
            for row in self.rows
            if isinstance(row.condition, kind) and metric in (None, row.metric)
        ]

    def correct(self, row: Row) -> np.ndarray | None:
        """Whether each image was recognized, bool (N,); None where the predictions are not there, or damaged."""
        return _correct(self.run.predictions_path(row), strict_json.encode(row))


@dataclasses.dataclass(frozen=True)
class Method:
    """A row of the tables: one network, or as many as there are seeds, under one name, in a group of rows.

    `same_as` names another method that is the same run, "" if there is none.
    """

    label: str
    group: str
    members: tuple[EvaluatedModel, ...]
    same_as: str = ""

    @property
    def first(self) -> EvaluatedModel:
        """The network of the first seed."""
        return self.members[0]

    @property
    def identity(self) -> tuple[object, ...]:
        """The same for methods that are the same networks."""
        return tuple(member.identity for member in self.members)


@functools.lru_cache(maxsize=4096)
def _correct(path: Path, row_as_json: bytes) -> np.ndarray | None:
    row = row_from(strict_json.decode(row_as_json, dict))
    predictions = _predictions(path, row)
    return None if predictions is None else predictions.correct(row.top)


def _predictions(path: Path, row: Row) -> Predictions | None:
    """What was predicted for each image; None where that is not there, or damaged, which the comparison remarks on."""
    try:
        return read_predictions(path, row) if path.is_file() else None
    except UserError:
        return None


def evaluated_models(run: RunFolder, rows: Sequence[Row]) -> list[EvaluatedModel]:
    """The newest weights in `rows`, and the best where these are others, in every way of use; as trained first."""
    recipe, models, present = run.recipe(), [], _present(rows)
    for weights in present:
        of_weights = [row for row in rows if row.checkpoint.weights == weights]
        for use in dict.fromkeys((row.top_k, row.adapted) for row in of_weights):
            used = _newest(row for row in of_weights if (row.top_k, row.adapted) == use)
            models.append(EvaluatedModel(run, recipe, used, best=weights != present[0]))
    return sorted(models, key=lambda model: not model.as_trained)


def variants(models: Sequence[EvaluatedModel]) -> list[str]:
    """What must be said of each of a run's models beside its name, where it was not used as trained."""
    short = [_variant(model, model.adapted and model.adapted.method) for model in models]
    alike = Counter(short)
    return [
        text if alike[text] == 1 else _variant(model, model.adapted) for text, model in zip(short, models, strict=True)
    ]


def _variant(model: EvaluatedModel, adapted: object) -> str:
    best = ", best checkpoint" if model.best else ""
    other = f", {describe_attention(model.top_k)}" if model.top_k != trained_top_k(model.recipe) else ""
    return best + other + (f", adapted ({adapted})" if adapted else "")


def trained_top_k(recipe: Mapping[str, Any]) -> Recorded:
    """The sparse attention that a recipe trains with."""
    return recorded(recipe["model"].get("top_k", "none"))


def _present(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The newest weights that are the last of their training (or any), and the newest that were its best."""
    newest = [[row for row in rows if row.checkpoint.which == which] for which in ("last", "best")]
    return list(dict.fromkeys(some[-1].checkpoint.weights for some in newest if some))


def _newest(rows: Iterable[Row]) -> tuple[Row, ...]:
    newest: dict[bytes, Row] = {}
    for row in rows:
        key = strict_json.canonical([images_key(row), row.condition, row.metric, row.precision])
        newest.pop(key, None)
        newest[key] = row
    return tuple(newest.values())
