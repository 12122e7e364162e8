"""A model and a data set brought together by the names of their classes, never by position."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import nn

from doublevit.data.dataset import Dataset
from doublevit.data.identity import DatasetId
from doublevit.data.imagenet_sets import wnids_of
from doublevit.errors import UserError
from doublevit.jobs.model import Model
from doublevit.jobs.published import knows_imagenet
from doublevit.runs.model_info import AMONG, ModelInfo

NAMED = 5  # classes that an error names


class Among(nn.Module):
    """The logits of some of a model's classes: images (B, 3, H, W) -> (B, len(groups)), the largest of each group."""

    indices: torch.Tensor

    def __init__(self, model: nn.Module, groups: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.model = model
        longest = max(map(len, groups))
        padded = [[*group, *[group[0]] * (longest - len(group))] for group in groups]
        self.register_buffer("indices", torch.tensor(padded), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(images)
        return logits[:, self.indices].amax(dim=2) if self.indices.shape[1] > 1 else logits[:, self.indices[:, 0]]


def fit(model: Model, dataset: Dataset) -> tuple[Model, Dataset]:
    """Return a model and a data set with the same classes in the same order.

    A model that was trained here keeps all its classes, and labels are those of the model. One with a head of its own,
    or any with ImageNet's thousand classes, is asked which of the data set's classes an image shows, as is usual for
    subsets of ImageNet; its name then says so. A class that is several of the model's has the largest of their logits.

    Raises:
        UserError: the model does not know a class of the data set.
    """
    if any(len(wnids_of(class_id)) > 1 for class_id in dataset.class_ids):
        groups = [[*map(ranks_of(model.info), wnids_of(class_id))] for class_id in dataset.class_ids]
        return _among(model, dataset, groups)
    indices = class_indices(model.info, dataset)
    if len(indices) < len(model.classes) and (model.info.model is None or knows_imagenet(model.info)):
        return _among(model, dataset, [[index] for index in indices])
    return model, with_classes_of(model.info, dataset)


def ranks_of(info: ModelInfo) -> Callable[[str], int]:
    """Return a function that returns the index of a model's class by its id.

    Raises:
        UserError: by that function, there is no such class.
    """
    ranks = {class_id: index for index, class_id in enumerate(info.class_ids)}

    def rank(class_id: str) -> int:
        if class_id not in ranks:
            raise UserError(f"{info.name} does not know the class {class_id}")
        return ranks[class_id]

    return rank


def with_classes_of(info: ModelInfo, dataset: Dataset) -> Dataset:
    """Return the data set with a model's classes, its labels being indices of these.

    Raises:
        UserError: the model does not know a class of the data set.
    """
    if dataset.class_ids == info.class_ids:
        return dataset
    labels = np.asarray(class_indices(info, dataset))[dataset.labels]
    return dataclasses.replace(dataset, labels=labels, class_ids=info.class_ids, class_names=info.class_names)


class HasClasses(Protocol):
    """What has classes, and comes from somewhere."""

    @property
    def class_ids(self) -> tuple[str, ...]: ...

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def id(self) -> DatasetId: ...


def class_indices(info: ModelInfo, dataset: HasClasses) -> list[int]:
    """Return where each class of a data set is among a model's, matched by id (wnid, folder) or by name.

    Raises:
        UserError: a class is not among them.
    """
    pairs = list(zip(dataset.class_ids, dataset.class_names, strict=True))
    indices = [_index(info, *pair) for pair in pairs]
    unknown = [class_id for class_id, index in zip(dataset.class_ids, indices, strict=True) if index is None]
    if unknown:
        whole = (
            "knows none of the classes"
            if len(unknown) == len(indices)
            else f"does not know {len(unknown)} of the classes"
        )
        more = " ..." if len(unknown) > NAMED else ""
        raise UserError(
            f"{info.name} {whole} of {dataset.id.source}: {', '.join(unknown[:NAMED])}{more}; it knows"
            f" {', '.join(info.class_ids[:NAMED])}{' ...' if len(info.class_ids) > NAMED else ''}: call"
            " the classes as it does, or train a network on them"
        )
    found = [index for index in indices if index is not None]
    if len(set(found)) != len(found):
        twice = next(name for name, index in zip(dataset.class_ids, found, strict=True) if found.count(index) > 1)
        raise UserError(f"two classes of {dataset.id.source} are one of {info.name}, {twice!r} among them")
    return found


def _index(info: ModelInfo, class_id: str, name: str) -> int | None:
    """Return where a class is among a model's: by id, by name, and then by either whatever its case."""
    for fold in (str, str.casefold):
        for names in (info.class_ids, info.class_names):
            ranks = _unique_ranks(names, fold)
            for word in (class_id, name):
                if (index := ranks.get(fold(word))) is not None:
                    return index
    return None


@functools.lru_cache(maxsize=16)
def _unique_ranks(names: tuple[str, ...], fold: Callable[[str], str]) -> dict[str, int]:
    """Return the index of each name that one class alone has: ImageNet has a crane that flies and one that lifts."""
    folded = [fold(name) for name in names]
    counts = Counter(folded)
    return {name: index for index, name in enumerate(folded) if counts[name] == 1}


def _among(model: Model, dataset: Dataset, groups: Sequence[Sequence[int]]) -> tuple[Model, Dataset]:
    info, count = model.info, sum(map(len, groups))
    merged = f"{len(groups)} merged from " if count > len(groups) else ""
    name = f"{info.name}{AMONG}{merged}{count} of {len(model.classes):,} classes"
    names = tuple(" or ".join(info.class_names[index] for index in group) for group in groups)
    chosen = {"class_ids": dataset.class_ids, "class_names": names}
    values = {field: getattr(info, field) for field in info.__struct_fields__} | chosen | {"name": name}
    among = Model(Among(model.network, groups), ModelInfo(**values), model.checkpoint)
    among.top_k = model.top_k
    return among, dataclasses.replace(dataset, class_names=names) if merged else dataset
