"""A recipe: the whole configuration of a run, as data."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tyro

from doublevit import strict_json
from doublevit.augment import AugmentConfig
from doublevit.data.address import absolute, absolute_name
from doublevit.data.config import DataConfig
from doublevit.errors import UserError
from doublevit.models.config import ModelConfig
from doublevit.models.top_k import NONE, TopK
from doublevit.training.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Configures data, augmentation, model and training of a run."""

    name: tyro.conf.Suppress[str]
    note: tyro.conf.Suppress[str]
    seed: int = 0
    """Decides every draw: new weights, order of the images, augmentation, dropout."""
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise UserError(f"`seed`: expected 0 or more, and below 2**32, found {self.seed}")
        if self.train.narrow_epochs:
            self._require_narrowing()
        self._require_stages()
        if self.train.adversarial != "none":
            self._require_attackable()
        if self.augment.consistency and not self.train.consistency:
            raise UserError("`train.consistency=0` makes nothing of augmix-jsd's views; choose `augment.policy=basic`")
        if self.train.consistency != TrainConfig.consistency and not self.augment.consistency:
            raise UserError(
                f"`train.consistency` compares views of an image, and {self.augment.policy} makes one; add"
                " `augment.policy=augmix-jsd`"
            )

    @property
    def learns(self) -> bool:
        """Whether any weight depends on the training images, by epochs or by a linear probe."""
        return self.train.epochs > 0 or self.model.head_init == "probe"

    def _require_stages(self) -> None:
        """Stages of sparse attention are known by their numbers of keys, which must be those of evaluation."""
        top_k = TopK.parse(self.model.top_k)
        if top_k is None or len(top_k.parts) == 1:
            return
        for name, value in (("train.image_size", self.train.image_size), ("model.patch_drop", self.model.patch_drop)):
            if value:
                raise UserError(
                    f"`{name}` {value}: expected one `model.top_k` for all stages, found {self.model.top_k}, as it"
                    " changes the number of keys by which stages are known"
                )

    def _require_narrowing(self) -> None:
        epochs = self.train.narrow_epochs
        if self.model.top_k == NONE:
            raise UserError(f"`train.narrow_epochs` {epochs:g} narrows sparse attention: expected `model.top_k` too")
        if epochs > self.train.epochs:
            raise UserError(f"`train.narrow_epochs` {epochs:g}: expected at most all epochs, {self.train.epochs}")

    def _require_attackable(self) -> None:
        name = f"`train.adversarial={self.train.adversarial}`"
        if self.augment.place == "input":
            raise UserError(
                f"{name} attacks images at their own size, as evaluation does: expected `augment.place=image`"
            )
        if self.augment.consistency:
            raise UserError(
                f"{name} and `augment.policy={self.augment.policy}`: expected one of them, as only one view is attacked"
            )


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as objects that JSON can hold."""
    return dict(strict_json.to_builtins(recipe))


def from_dict(entries: Mapping[str, Any]) -> Recipe:
    """Return the recipe that `to_dict` wrote.

    Raises:
        UserError: a field is unknown, missing or of another type (another version wrote it), or values do not fit
            together.
    """
    try:
        return strict_json.convert(entries, Recipe)
    except ValueError as error:
        if isinstance(error.__cause__, UserError):  # from the checks of a config, which name the argument
            raise error.__cause__ from None
        raise UserError(f"recipe.json is not of this version of doublevit ({error})") from error


def with_changes(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Return the recipe with changed fields, named by dotted paths as in {"model.cross.after": (9,)}.

    Raises:
        UserError: values do not fit together.
        TypeError: there is no such field.
    """
    changed: Recipe = _changed(recipe, changes)
    return changed


def flat(recipe: Recipe) -> dict[str, Any]:
    """Return every value by its dotted path."""
    return dict(_flat(recipe, ""))


IRRELEVANT = ("name", "note", "data.cache", "data.download", "data.max_pixels", "data.val_sets", "data.workers")
"""Fields on which no result depends."""


def differences(recipe: Recipe, other: Recipe) -> dict[str, tuple[Any, Any]]:
    """Return the fields that results depend on and in which two recipes differ, with both values."""
    values, others = flat(recipe), flat(other)
    return {
        path: (value, others[path])
        for path, value in values.items()
        if path not in IRRELEVANT and value != others[path]
    }


def _changed(part: Any, changes: Mapping[str, Any]) -> Any:
    """Return the part with all changes made at once, so that values are checked together."""
    values: dict[str, Any] = {path: value for path, value in changes.items() if "." not in path}
    for name in {path.partition(".")[0] for path in changes if "." in path}:
        nested = {path.partition(".")[2]: value for path, value in changes.items() if path.startswith(f"{name}.")}
        values[name] = _changed(getattr(part, name), nested)
    return dataclasses.replace(part, **values)


def _flat(part: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if dataclasses.is_dataclass(value):
            yield from _flat(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, value


def with_data_at(recipe: Recipe, path: Path) -> Recipe:
    """Return the recipe with its images in another place."""
    return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, path=absolute(path)))


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """Return the recipe with absolute paths, so that the run can be resumed and evaluated from any folder."""
    data, model = recipe.data, recipe.model
    val_sets = tuple(f"{name}={absolute_name(path)}" for name, path in data.val_set_paths().items())
    data = dataclasses.replace(
        data, path=data.path and absolute(data.path), cache=data.cache.absolute(), val_sets=val_sets
    )
    weights = [_absolute_weights(entry) for entry in (model.weights, model.coarse_weights)]
    model = dataclasses.replace(model, weights=weights[0] or "hub", coarse_weights=weights[1])
    return dataclasses.replace(recipe, data=data, model=model)


def _absolute_weights(entry: str | None) -> str | None:
    return entry if entry in (None, "hub", "none") else str(Path(str(entry)).expanduser().absolute())
