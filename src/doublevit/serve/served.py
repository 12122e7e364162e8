"""What is served: models opened by name, their names and classes, and images to choose from."""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from doublevit.data.dataset import Dataset
from doublevit.data.sheet import first_name, first_of_classes
from doublevit.device import this_process
from doublevit.errors import UserError
from doublevit.jobs.load import own_images
from doublevit.jobs.model import Model
from doublevit.jobs.open_model import open_model, require_model
from doublevit.recipes import from_dict
from doublevit.runs.folder import RunFolder
from doublevit.runs.model_info import read_info
from doublevit.serve.options import ServeOptions

EXAMPLES = 8


def open_models(options: ServeOptions) -> list[Model]:
    """Open the models by name, on the device that is asked for."""
    for name in options.models:
        require_model(name)
    models = []
    for name in options.models:
        model = open_model(name, weights=options.weights, model=options.model, which=options.checkpoint)
        models.append(model.to(this_process().device))
    return models


def require_same_classes(models: Sequence[Model]) -> None:
    """Raise `UserError` unless all models know the same classes."""
    for model in models[1:]:
        first, other = models[0].info, model.info
        if set(first.class_ids) != set(other.class_ids):
            strange = sorted(set(first.class_ids) ^ set(other.class_ids))[0]
            raise UserError(
                f"expected two models of the same classes, found {len(first.class_ids):,} classes of {first.name} and"
                f" {len(other.class_ids):,} of {other.name}; for example, only one of them has the class {strange!r}"
            )


def different_names(models: Sequence[Model]) -> list[str]:
    """Return the models' names, numbered where two are the same."""
    names = [model.info.name for model in models]
    return [name if names.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(names, 1)]


def examples_of(source: str, folder: Path) -> dict[str, Path]:
    """Write validation images of some classes of a run into a folder, by their classes; none is downloaded."""
    if not (Path(source) / "recipe.json").is_file():
        return {}
    with contextlib.suppress(UserError, OSError):
        dataset = _own_images(Path(source))
        indices = first_of_classes(dataset, EXAMPLES)
        names = [first_name(dataset.class_names[label]) for label in dataset.labels[indices]]
        return {name: _write(dataset.images[indices[[number]]][0], folder) for number, name in enumerate(names)}
    return {}


def _own_images(path: Path) -> Dataset:
    run = RunFolder.open(path)
    recipe = from_dict(run.recipe())
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, download=False))
    return own_images(run, recipe, read_info(path))


def _write(image: np.ndarray, folder: Path) -> Path:
    path = folder / f"example-{len(list(folder.iterdir()))}.png"
    Image.fromarray(image).save(path)
    return path
