"""The sets that a recipe names to validate on after each epoch, loaded as an evaluation of its run loads them."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping

from doublevit.data.dataset import Dataset
from doublevit.errors import UserError
from doublevit.jobs.eval_data import load_at
from doublevit.jobs.fit import fit
from doublevit.jobs.model import Model
from doublevit.models.classifier import Classifier
from doublevit.recipes import Recipe
from doublevit.runs.conditions import CheckpointId
from doublevit.runs.model_info import ModelInfo
from doublevit.training.val_sets import ValSet

UNTRAINED = CheckpointId(which="last", name="", digest="")
"""Of weights that training changes: a digest would be that of a moment."""


ValSetsOf = Callable[[Classifier], tuple[ValSet, ...]]
"""Returns the sets that a recipe names to validate on, for a network."""


def load_val_sets(recipe: Recipe, info: ModelInfo, network: Classifier) -> ValSetsOf:
    """Load each of `data.val_sets`, at the size that a model wants; return what fits them to it, as its average too.

    Raises:
        UserError: the images cannot be had, or the model does not know their classes.
    """
    config, datasets = dataclasses.replace(recipe.data, names="usual"), {}
    for name, path in recipe.data.val_set_paths().items():
        with _naming(name):
            datasets[name] = load_at(info, path, "", config)
    val_sets = functools.partial(_fit_all, datasets, info)
    val_sets(network)  # raises what does not fit
    return val_sets


def _fit_all(datasets: Mapping[str, Dataset], info: ModelInfo, network: Classifier) -> tuple[ValSet, ...]:
    sets = []
    for name, dataset in datasets.items():
        with _naming(name):
            sets.append(ValSet(name, *fit(Model(network, info, UNTRAINED), dataset)))
    return tuple(sets)


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"`data.val_sets` {name}: {error}") from error
