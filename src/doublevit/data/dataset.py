"""The data set as everything after decoding uses it: images, labels, class names, and their origin."""

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

import msgspec
import numpy as np

from doublevit.data.identity import DatasetId, Subset
from doublevit.errors import UserError
from doublevit.images import Images, LazyImages, WithoutMargin


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Images at their own resolution, with labels.

    `images` are uint8 (N, H, W, 3), often memory-mapped; `labels` are int64 (N,), indices into `class_ids`;
    `class_ids` are folder names or wnids; `class_names` are for people; `id` identifies the images.

    Raises:
        ValueError: shapes, types or label range do not fit together.
    """

    images: Images
    labels: np.ndarray
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    id: DatasetId

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[-1] != 3:
            raise ValueError(f"expected uint8 (N, H, W, 3), found {self.images.dtype} {self.images.shape}")
        if self.labels.shape != (len(self.images),):
            raise ValueError(f"expected {len(self.images)} labels, found {self.labels.shape}")
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.class_ids):
            raise ValueError(f"expected labels below {len(self.class_ids)}, found up to {self.labels.max()}")
        if len(self.class_names) != len(self.class_ids):
            raise ValueError(f"{len(self.class_ids)} class ids, but {len(self.class_names)} names")

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: np.ndarray) -> "Dataset":
        """Return the samples at `indices`, copied into memory unless they are stored encoded; their `id` stays."""
        images = self.images.part(indices) if isinstance(self.images, LazyImages) else self.images[indices]
        return dataclasses.replace(self, images=images, labels=self.labels[indices])

    def without_margin(self, margin: int) -> "Dataset":
        """Return the samples without `margin` pixels on each side of their images."""
        return dataclasses.replace(self, images=WithoutMargin(self.images, margin)) if margin else self

    def first(self, count: int) -> "Dataset":
        """Return the first `count` samples, as `subset` does; the `id` records the subset.

        Raises:
            UserError: there are fewer samples.
        """
        if not 1 <= count <= len(self):
            raise UserError(f"`first` {count}: expected 1 to {len(self):,}, as many as there are")
        if count == len(self):
            return self
        return self._part(np.arange(count), Subset("first", count))

    def stratified(self, count: int, seed: int = 0) -> "Dataset":
        """Return `count` samples drawn by `seed`, classes in proportion, in their old order; the `id` records it.

        A smaller count gives a subset of a larger one's. Which classes are rounded up is drawn as well.

        Raises:
            UserError: there are fewer samples.
        """
        if not 1 <= count <= len(self):
            raise UserError(f"`samples` {count}: expected 1 to {len(self):,}, as many as there are")
        if count == len(self):
            return self
        return self._part(np.sort(self._strata(seed)[:count]), Subset("stratified", count, seed))

    def _part(self, indices: np.ndarray, subset: Subset) -> "Dataset":
        return dataclasses.replace(self.subset(indices), id=msgspec.structs.replace(self.id, subset=subset))

    def _strata(self, seed: int) -> np.ndarray:
        """Return all indices in an order whose every prefix holds the classes in proportion, to within one sample."""
        random = np.random.default_rng([seed, len(self)])
        shuffled = random.permutation(len(self))
        shuffled = shuffled[np.argsort(self.labels[shuffled], kind="stable")]
        sizes = np.bincount(self.labels)
        rank = np.arange(len(self)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # within its class
        tie = np.repeat(random.permutation(len(sizes)), sizes)
        return shuffled[np.lexsort([tie, (rank + 0.5) / np.repeat(sizes, sizes)])]

    def per_class(self, count: int, seed: int = 0) -> "Dataset":
        """Return `count` samples of each class, in their old order; a smaller count gives a subset of a larger one's.

        Raises:
            UserError: a class has fewer samples.
        """
        return self.subset(self.indices_per_class(count, seed))

    def indices_per_class(self, count: int, seed: int = 0) -> np.ndarray:
        """Return the indices of the samples that `per_class` takes, int64, rising."""
        return np.sort(np.concatenate([self._of_class(label, count, seed) for label in range(len(self.class_ids))]))

    def _of_class(self, label: int, count: int, seed: int) -> np.ndarray:
        members = np.flatnonzero(self.labels == label)
        if len(members) < count:
            raise UserError(
                f"`data.per_class` {count}: class {self.class_names[label]!r} has only {len(members)} images;"
                " ask for fewer"
            )
        return np.random.default_rng([seed, label]).permutation(members)[:count]


Splits = dict[str, Dataset]
"""The data set's parts by name: "train" and "val"."""


Part = TypeVar("Part")


def of_split(splits: Mapping[str, Part], split: str) -> Part:
    """Return a part of a data set by its name.

    Raises:
        UserError: there is no such part.
    """
    if split not in splits:
        raise UserError(f"`split` {split}: expected one of {', '.join(splits)}")
    return splits[split]
