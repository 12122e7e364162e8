"""A recipe: everything that a run needs to know, as data."""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tyro

from doublevit.augment import AugmentConfig
from doublevit.data.config import DataConfig
from doublevit.errors import UserError
from doublevit.models.config import ModelConfig
from doublevit.models.top_k import NONE
from doublevit.train.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Data, augmentation, model and training, by name."""

    name: tyro.conf.Suppress[str]
    note: tyro.conf.Suppress[str]
    seed: int = 0
    """Decides every draw: new weights, order of the photos, augmentation, dropout."""
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise UserError(f"--seed: expected 0 or more, and below 2**32, found {self.seed}")
        if self.train.narrow_epochs:
            self._require_narrowing()
        if self.augment.consistency and not self.train.consistency:
            raise UserError("--train.consistency 0 makes nothing of augmix-jsd's views; choose --augment.policy basic")
        if self.train.consistency != TrainConfig.consistency and not self.augment.consistency:
            raise UserError(
                f"--train.consistency compares views of a photo, and {self.augment.policy} makes one; add"
                " --augment.policy augmix-jsd"
            )

    def _require_narrowing(self) -> None:
        epochs = self.train.narrow_epochs
        if self.model.top_k == NONE:
            raise UserError(f"--train.narrow-epochs {epochs:g} narrows sparse attention: expected --model.top-k too")
        if epochs > self.train.epochs:
            raise UserError(f"--train.narrow-epochs {epochs:g}: expected at most all epochs, {self.train.epochs}")


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON can hold it."""
    return {key: _plain(value) for key, value in dataclasses.asdict(recipe).items()}


def from_dict(entries: Mapping[str, Any]) -> Recipe:
    """The recipe that `to_dict` wrote.

    Raises:
        UserError: a field is unknown, missing or of another kind: another version wrote it.
    """
    try:
        recipe: Recipe = _build(Recipe, entries)
    except (TypeError, KeyError, AttributeError) as error:
        raise UserError(f"recipe.json is not of this version of doublevit ({error})") from error
    return recipe


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


def _build(kind: Any, value: Any) -> Any:
    """`value`, read from JSON, as the field type `kind`: dataclasses, tuples and paths need making."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _build(hints[name], inner) for name, inner in value.items()})
    if isinstance(kind, types.UnionType):
        return None if value is None else _build(kind.__args__[0], value)
    if typing.get_origin(kind) is tuple:
        return tuple(value)
    return Path(value) if kind is Path else value


def with_changes(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with other values in some fields, named by dotted paths as in {"model.cross.after": (9,)}.

    Raises:
        UserError: values do not fit together.
        TypeError: there is no such field.
    """
    changed: Recipe = _changed(recipe, changes)
    return changed


def flat(recipe: Recipe) -> dict[str, Any]:
    """Every value by its dotted path."""
    return dict(_flat(recipe, ""))


NO_MATTER = ("name", "note", "data.cache", "data.download")
"""Fields that no result depends on."""


def differences(recipe: Recipe, other: Recipe) -> dict[str, tuple[Any, Any]]:
    """Of all fields that decide what a run gives, those in which two recipes differ, with both values."""
    mine, others = flat(recipe), flat(other)
    return {
        path: (value, others[path]) for path, value in mine.items() if path not in NO_MATTER and value != others[path]
    }


def _changed(part: Any, changes: Mapping[str, Any]) -> Any:
    """All changes of a part at once, so that values are checked together."""
    values: dict[str, Any] = {path: value for path, value in changes.items() if "." not in path}
    for name in {path.partition(".")[0] for path in changes if "." in path}:
        inner = {path.partition(".")[2]: value for path, value in changes.items() if path.startswith(f"{name}.")}
        values[name] = _changed(getattr(part, name), inner)
    return dataclasses.replace(part, **values)


def _flat(part: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if dataclasses.is_dataclass(value):
            yield from _flat(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, value
