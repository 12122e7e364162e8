"""Training images for a merge, as they would be validated on: without augmentation, and without its margin."""

import dataclasses

import numpy as np

from doublevit import data
from doublevit.data.dataset import Dataset
from doublevit.images import checksums
from doublevit.jobs.fit import with_classes_of
from doublevit.jobs.load import LoadedModel

SEED = 0


def trained_images(loaded: LoadedModel) -> Dataset:
    """Return the images that a run was trained on.

    Raises:
        UserError: they cannot be loaded.
    """
    return _training_images(loaded, loaded.recipe.data.per_class)


def selection_images(loaded: LoadedModel, most: int) -> tuple[Dataset, bool]:
    """Return up to `most` training images, and whether the run was trained on them.

    They are images that it left out (`data.per_class`), if there are any, else some of all. Those that look the same as
    one that it was trained on are not taken for left out.

    Raises:
        UserError: they cannot be loaded.
    """
    images = _training_images(loaded, None)
    trained_on = loaded.recipe.learns
    if trained_on and loaded.recipe.data.per_class is not None:
        seen = np.isin(checksums(images.images), checksums(trained_images(loaded).images))
        if not seen.all():
            images, trained_on = images.subset(np.flatnonzero(~seen)), False
    return images.stratified(min(most, len(images)), SEED), trained_on


def _training_images(loaded: LoadedModel, per_class: int | None) -> Dataset:
    config = loaded.recipe.data
    train = data.load(dataclasses.replace(config, per_class=per_class))["train"]
    return with_classes_of(loaded.info, train.without_margin(config.margin or 0))
