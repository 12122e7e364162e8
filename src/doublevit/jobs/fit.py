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
from doublevit.errors import UserError
from doublevit.jobs.model import Model
from doublevit.runs.model_info import ModelInfo

NAMED = 5  # classes that an error names


class Among(nn.Module):
    """The logits of some of a model's classes: images (B, 3, H, W) -> (B, len(indices))."""

    indices: torch.Tensor

    def __init__(self, model: nn.Module, indices: Sequence[int]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("indices", torch.tensor(indices), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(images)
        return logits[:, self.indices]


def fit(model: Model, dataset: Dataset) -> tuple[Model, Dataset]:
    """Return a model and a data set with the same classes in the same order.

    A model that was trained here keeps all its classes, and labels are those of the model. One with a head of its own,
    such as ImageNet's, is asked which of the data set's classes an image shows, as is usual for subsets of ImageNet;
    its name then says so.

    Raises:
        UserError: the model does not know a class of the data set.
    """
    indices = class_indices(model.info, dataset)
    if model.info.model is None and len(indices) < len(model.classes):
        return _among(model, dataset, indices), dataset
    return model, with_classes_of(model.info, dataset)


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
            f" {', '.join(info.class_ids[:NAMED])}{' ...' if len(info.class_ids) > NAMED else ''}"
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


def _among(model: Model, dataset: Dataset, indices: Sequence[int]) -> Model:
    info = model.info
    name = f"{info.name}, among {len(indices)} of {len(model.classes):,} classes"
    chosen = {"class_ids": dataset.class_ids, "class_names": tuple(info.class_names[index] for index in indices)}
    values = {field: getattr(info, field) for field in info.__struct_fields__} | chosen | {"name": name}
    return Model(Among(model.network, indices), ModelInfo(**values), model.checkpoint)
