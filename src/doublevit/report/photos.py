"""The very photos that a measurement was made on, found again; never others."""

import dataclasses
from pathlib import Path

import numpy as np

from doublevit.corrupted.config import CorruptionConfig
from doublevit.data.dataset import Dataset
from doublevit.errors import UserError
from doublevit.images import Images
from doublevit.results import Predictions, Row


@dataclasses.dataclass(frozen=True)
class Seen:
    """What is known of the photos of a measurement.

    `class_ids` and `class_names`; `images` uint8 (N, H, W, 3) in the order of the predictions, or none where they are
    not to be had; `remark`, what must be said of either ("" if nothing).
    """

    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    images: Images | None = None
    remark: str = ""


def numbered(predictions: Predictions, remark: str) -> Seen:
    """Classes by number, for want of the photos that would name them."""
    numbers = tuple(str(label) for label in range(_classes(predictions)))
    return Seen(numbers, tuple(f"class {number}" for number in numbers), remark=remark)


def seen(row: Row, predictions: Predictions, val: Dataset, cache: Path) -> Seen:
    """What the predictions of a row were made on, of the run's validation photos `val`."""
    if _classes(predictions) <= len(val.class_ids):
        photos = _evaluated(row, val)
        if photos is not None and np.array_equal(photos.labels, predictions.labels):
            images, remark = _images(row, photos, cache)
            return Seen(val.class_ids, val.class_names, images, remark)
        if row.condition.get("set") == "published":
            remark = "no gallery: the published set's photos are none of the run's own"
            return Seen(val.class_ids, val.class_names, remark=remark)
    return numbered(
        predictions,
        f"{val.source} is not what was measured ({row.dataset}): classes are told by number, and there is no gallery",
    )


def _classes(predictions: Predictions) -> int:
    """The least number of classes that there can be."""
    return 1 + int(max(predictions.labels.max(), predictions.classes.max()))


def _evaluated(row: Row, val: Dataset) -> Dataset | None:
    """The part of `val` that calls itself what the row calls its data."""
    rest = row.dataset.removeprefix(val.source)
    seed = rest.rpartition("seed ")[2]
    if row.count > len(val) or not row.dataset.startswith(val.source):
        return None
    part = val
    if rest.startswith(", first "):
        part = val.first(row.count)
    elif seed.isdecimal():
        part = val.stratified(row.count, int(seed))
    return part if (part.source, len(part)) == (row.dataset, row.count) else None


def _images(row: Row, photos: Dataset, cache: Path) -> tuple[Images, str]:
    kind = row.condition.get("kind")
    if kind == "corruption":
        corrupted = _corrupted(row, photos, cache)
        if corrupted is not None:
            return corrupted, ""
        return photos.images, "photos are shown clean: the model saw them corrupted"
    return photos.images, "" if kind == "clean" else "photos are shown clean, without what the attack did to them"


def _corrupted(row: Row, photos: Dataset, cache: Path) -> Images | None:
    """The same pictures made again, if all that decides them is the same."""
    from doublevit.corrupted.sets import condition_of, on_the_fly
    from doublevit.corruptions.registry import CORRUPTIONS

    cell = name, severity = row.condition["corruption"], row.condition["severity"]
    try:
        config = CorruptionConfig((name,), (severity,), row.condition.get("corruption_seed", 0))
        corrupted = on_the_fly(photos, config, cache)
    except UserError:
        return None
    made, asked = condition_of(corrupted, cell), dict(row.condition)
    if not CORRUPTIONS[name].wants_textures:  # nothing is frosted, whatever the frost
        made.pop("frost")
        asked.pop("frost", None)
    return corrupted.cell(cell).images if made == asked else None
