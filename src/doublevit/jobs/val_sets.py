"""The sets that a recipe names to validate on after each epoch, loaded as an evaluation of its run loads them."""

import dataclasses

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


def load_val_sets(recipe: Recipe, network: Classifier, info: ModelInfo) -> tuple[ValSet, ...]:
    """Load each of `data.val_sets`, at the size that a network wants, with its classes.

    Raises:
        UserError: the images cannot be had, or the network does not know their classes.
    """
    config, sets = dataclasses.replace(recipe.data, names="usual"), []
    for name, path in recipe.data.val_set_paths().items():
        try:
            fitted, dataset = fit(Model(network, info, UNTRAINED), load_at(info, path, "", config))
        except UserError as error:
            raise UserError(f"`data.val_sets` {name}: {error}") from error
        sets.append(ValSet(name, fitted, dataset))
    return tuple(sets)
