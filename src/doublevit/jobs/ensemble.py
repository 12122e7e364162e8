"""The ensemble of several models: the mean of their probabilities, as a model to compare others with."""

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch
from torch import nn

from doublevit.data.dataset import Dataset
from doublevit.errors import UserError
from doublevit.jobs.fit import ranks_of
from doublevit.jobs.load import own_images, require_same_images
from doublevit.jobs.model import Model
from doublevit.recipes import from_dict
from doublevit.runs.folder import RunFolder
from doublevit.runs.model_info import read_info

JOIN = "+"
"""What stands between the names of an ensemble's members."""


class MeanProbabilities(nn.Module):
    """Images (B, 3, H, W) -> logits (B, classes): the logarithm of the mean of the members' probabilities.

    This is the ensemble of Lakshminarayanan et al. (2017). `orders` holds, for each member, which of its logits belong
    to the classes (classes,).
    """

    orders: torch.Tensor

    def __init__(self, members: Sequence[nn.Module], orders: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.register_buffer("orders", torch.tensor(orders), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = [member(images)[:, order] for member, order in zip(self.members, self.orders, strict=True)]
        return torch.stack(logits).float().log_softmax(dim=2).logsumexp(dim=0) - math.log(len(logits))


def ensemble(models: Sequence[Model]) -> Model:
    """Make a model of several, whose probabilities are the mean of theirs.

    Args:
        models: of the same classes, in any order, that want their images alike.

    Raises:
        UserError: there are fewer than two models, or their classes or geometries differ.

    Example:
        >>> import doublevit
        >>> runs = [doublevit.train("digits-vit", epochs=0, seed=seed, name=f"member-{seed}") for seed in (0, 1)]
        >>> model = doublevit.ensemble([run.model for run in runs])
        >>> len(model.classes)
        10
    """
    if len(models) < 2:
        raise UserError(f"`models`: expected at least two models for an ensemble, found {len(models)}")
    first = models[0].info
    for other in (model.info for model in models[1:]):
        if set(other.class_ids) != set(first.class_ids):
            raise UserError(
                f"an ensemble is of models of the same classes; {first.name} and {other.name} differ in theirs"
            )
        if (other.geometry, other.bits) != (first.geometry, first.bits):
            raise UserError(
                f"an ensemble is of models that are given the same images: {first.name} and {other.name} want theirs"
                " brought to them in different ways; train both with the same `data.size` and `data.fit`"
            )
    orders = [[*map(ranks_of(model.info), first.class_ids)] for model in models]
    info = msgspec.structs.replace(
        first,
        name=JOIN.join(model.info.name for model in models),
        normalization={
            f"{model.info.name} {name}": value for model in models for name, value in model.info.normalization.items()
        },
        model=None,
    )
    runs = [run for model in models for run in model.runs]
    return Model(MeanProbabilities([model.network for model in models], orders), info, runs=runs)


def member_names(name: str | Path) -> list[str]:
    """Return the names of the members in that of an ensemble, as in runs/first+runs/second; none in another name."""
    text = str(name)
    return text.split(JOIN) if JOIN in text and not Path(name).exists() else []


def shared_images(paths: Sequence[str]) -> Dataset:
    """Load the validation images of several runs.

    Raises:
        UserError: one is no run, or they do not have the same images.
    """
    runs = [RunFolder.open(Path(path)) for path in paths]
    sets = [own_images(run, from_dict(run.recipe()), read_info(runs[0].path)) for run in runs]
    for run, images in zip(runs[1:], sets[1:], strict=True):
        require_same_images(runs[0], sets[0], run, images)
    return sets[0]
