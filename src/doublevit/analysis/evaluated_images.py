"""The very images that saved predictions are of, loaded again; never others."""

import dataclasses
from pathlib import Path

import numpy as np

from doublevit.analysis.descriptions import is_published
from doublevit.corrupted_sets.config import CorruptionConfig
from doublevit.data.dataset import Dataset
from doublevit.errors import UserError
from doublevit.images import Images
from doublevit.runs.conditions import Clean, Corruption
from doublevit.runs.model_info import ModelInfo
from doublevit.runs.predictions import Predictions
from doublevit.runs.row import Row


@dataclasses.dataclass(frozen=True)
class EvaluatedImages:
    """Holds the classes and images that saved predictions are of.

    `images` are uint8 (N, H, W, 3) in the order of the predictions, or None where they cannot be loaded; `remark` says
    what is missing or differs from what the model saw ("" if nothing).
    """

    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    images: Images | None = None
    remark: str = ""


def without_images(predictions: Predictions, remark: str, info: ModelInfo | None = None) -> EvaluatedImages:
    """Name the classes as `info` does, else by number, for predictions whose images cannot be loaded."""
    if info is not None and _least_class_count(predictions) <= len(info.class_ids):
        return EvaluatedImages(info.class_ids, info.class_names, remark=remark)
    numbers = tuple(str(label) for label in range(_least_class_count(predictions)))
    return EvaluatedImages(numbers, tuple(f"class {number}" for number in numbers), remark=remark)


def evaluated_images(row: Row, predictions: Predictions, val: Dataset, cache: Path) -> EvaluatedImages:
    """Return what the predictions of a row are of, taken from the run's validation images `val`."""
    if _least_class_count(predictions) <= len(val.class_ids):
        part = _evaluated_part(row, val)
        if part is not None and np.array_equal(part.labels, predictions.labels):
            images, remark = _images(row, part, cache)
            return EvaluatedImages(val.class_ids, val.class_names, images, remark)
        if is_published(row):
            remark = "no gallery: the published set's images are none of the run's own"
            return EvaluatedImages(val.class_ids, val.class_names, remark=remark)
    return without_images(
        predictions,
        f"{val.id} is not what was measured ({row.dataset}): classes are told by number, and there is no gallery",
    )


def _least_class_count(predictions: Predictions) -> int:
    """Return the least number of classes that the data set can have."""
    return 1 + int(max(predictions.labels.max(), predictions.classes.max()))


def _evaluated_part(row: Row, val: Dataset) -> Dataset | None:
    """Return the part of `val` that a row was measured on; None if it was measured on other images."""
    if row.dataset is None or row.count > len(val):
        return None
    part, subset = val, row.dataset.subset
    if subset is not None and subset.kind == "first":
        part = val.first(row.count)
    elif subset is not None:
        part = val.stratified(row.count, subset.seed or 0)
    return part if (part.id.key, len(part)) == (row.dataset.key, row.count) else None


def _images(row: Row, part: Dataset, cache: Path) -> tuple[Images, str]:
    if isinstance(row.condition, Corruption):
        corrupted = _corrupted(row.condition, part, cache)
        if corrupted is not None:
            return corrupted, ""
        return part.images, "images are shown clean: the model saw them corrupted"
    is_clean = isinstance(row.condition, Clean)
    return part.images, "" if is_clean else "images are shown clean, without what the attack did to them"


def _corrupted(condition: Corruption, part: Dataset, cache: Path) -> Images | None:
    """Corrupt the images again; None unless everything that decides the result is as it was."""
    from doublevit.corrupted_sets.sets import condition_of, on_the_fly

    cell = condition.corruption, condition.severity
    try:
        corrupted = on_the_fly(part, CorruptionConfig(cell[:1], cell[1:], condition.source.seed or 0), cache)
    except UserError:
        return None
    return corrupted.cell(cell).images if condition_of(corrupted, cell) == condition else None
