"""Evaluated models, and methods: one or several of them as a row of the tables."""

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

Condition = TypeVar("Condition", bound=Record)


@dataclasses.dataclass(frozen=True)
class EvaluatedModel:
    """Holds a run's weights with one attention and one adaptation: the newest row of each condition and metric.

    `recipe` is as recipe.json has it. `best` tells that these are the best weights in validation, and not the last.
    """

    run: RunFolder
    recipe: Mapping[str, Any]
    rows: tuple[Row, ...]
    best: bool = False

    @property
    def top_k(self) -> Recorded:
        """The sparse attention of the evaluation."""
        return self.rows[0].top_k

    @property
    def adapted(self) -> AdaptationId | None:
        """How batch norm was adapted; None where it was not."""
        return self.rows[0].adapted

    @property
    def seed(self) -> int:
        """The seed of the training run."""
        return int(self.recipe["seed"])

    @property
    def identity(self) -> tuple[object, ...]:
        """A key that is the same for the same weights, attention and adaptation, whatever tables call the model."""
        return self.run.path.resolve(), self.rows[0].checkpoint.weights, self.top_k, self.adapted

    @property
    def as_trained(self) -> bool:
        """Whether these are the last weights, with the attention of training and not adapted."""
        return not self.best and not self.adapted and self.top_k == trained_top_k(self.recipe)

    def clean_predictions(self) -> tuple[Row, Predictions] | None:
        """Return top-1 on the most clean images with its predictions; None where either is missing or damaged."""
        row = max((row for row, _ in self.rows_of(Clean, "top-1")), key=lambda row: row.count, default=None)
        predictions = _predictions(self.run.predictions_path(row), row) if row else None
        return (row, predictions) if row and predictions else None

    def rows_of(self, condition: type[Condition], metric: str | None = None) -> list[tuple[Row, Condition]]:
        """List the rows with a type of condition, and with a metric if given, each with its condition."""
        return [
            (row, row.condition)
            for row in self.rows
            if isinstance(row.condition, condition) and metric in (None, row.metric)
        ]

    def correct(self, row: Row) -> np.ndarray | None:
        """Return whether each image of a row was recognized, bool (N,); None without readable predictions."""
        if not row.is_accuracy:
            return None
        return _correct(self.run.predictions_path(row), strict_json.encode(row))


@dataclasses.dataclass(frozen=True)
class Method:
    """Stands for a row of the tables: a model trained with one seed or with several, its `members`.

    `same_as` is the label of an earlier method that is the same run, "" if there is none.
    """

    label: str
    group: str
    members: tuple[EvaluatedModel, ...]
    same_as: str = ""

    @property
    def first(self) -> EvaluatedModel:
        """The model of the first seed."""
        return self.members[0]

    @property
    def identity(self) -> tuple[object, ...]:
        """A key that is the same for methods with the same members."""
        return tuple(member.identity for member in self.members)


@functools.lru_cache(maxsize=4096)  # by JSON, since rows cannot be hashed
def _correct(path: Path, row_as_json: bytes) -> np.ndarray | None:
    row = row_from(strict_json.decode(row_as_json, dict))
    predictions = _predictions(path, row)
    return None if predictions is None else predictions.correct(row.top)


def _predictions(path: Path, row: Row) -> Predictions | None:
    """Read predictions; None where they are missing or damaged, which `compare_runs` remarks on."""
    try:
        return read_predictions(path, row) if path.is_file() else None
    except UserError:
        return None


def evaluated_models(run: RunFolder, rows: Sequence[Row]) -> list[EvaluatedModel]:
    """Return a model for each variant (attention, adaptation) of the newest last and best weights; as trained first."""
    recipe, models, last_and_best = run.recipe(), [], _last_and_best_weights(rows)
    for weights in last_and_best:
        of_weights = [row for row in rows if row.checkpoint.weights == weights]
        for variant in dict.fromkeys((row.top_k, row.adapted) for row in of_weights):
            of_variant = _newest_rows(row for row in of_weights if (row.top_k, row.adapted) == variant)
            models.append(EvaluatedModel(run, recipe, of_variant, best=weights != last_and_best[0]))
    return sorted(models, key=lambda model: not model.as_trained)


def variants(models: Sequence[EvaluatedModel]) -> list[str]:
    """Describe each model of a run, to follow its name: "" as trained, else such as ", best checkpoint, top-k 8"."""
    short = [_describe_variant(model, model.adapted and model.adapted.method) for model in models]
    counts = Counter(short)
    return [
        text if counts[text] == 1 else _describe_variant(model, model.adapted)
        for text, model in zip(short, models, strict=True)
    ]


def _describe_variant(model: EvaluatedModel, adapted: AdaptationId | str | None) -> str:
    best = ", best checkpoint" if model.best else ""
    attention = f", {describe_attention(model.top_k)}" if model.top_k != trained_top_k(model.recipe) else ""
    return best + attention + (f", adapted ({adapted})" if adapted else "")


def trained_top_k(recipe: Mapping[str, Any]) -> Recorded:
    """Return the sparse attention that a recipe trains with."""
    return recorded(recipe["model"].get("top_k", "none"))


def _last_and_best_weights(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Return the newest last weights, if any, then the newest best weights, if any and not the same."""
    by_checkpoint = [[row for row in rows if row.checkpoint.which == which] for which in ("last", "best")]
    return list(dict.fromkeys(of_checkpoint[-1].checkpoint.weights for of_checkpoint in by_checkpoint if of_checkpoint))


def _newest_rows(rows: Iterable[Row]) -> tuple[Row, ...]:
    newest: dict[bytes, Row] = {}
    for row in rows:
        key = strict_json.canonical([images_key(row), row.condition, row.metric, row.precision])
        newest.pop(key, None)
        newest[key] = row
    return tuple(newest.values())
