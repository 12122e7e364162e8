"""The images that a model is evaluated on, from a path, arrays or a data set."""

import dataclasses
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from doublevit.data import DataConfig, load, source_at, tell
from doublevit.data.dataset import Dataset, of_split
from doublevit.data.decode import Decoding
from doublevit.data.identity import DatasetId
from doublevit.data.imagenet_sets import only_classes
from doublevit.data.labeled import load_labeled
from doublevit.errors import UserError, first_line
from doublevit.jobs.model import Model
from doublevit.jobs.published import read_published
from doublevit.runs.model_info import ModelInfo

Data = str | Path | Dataset | tuple[Any, Any]
"""What `DataConfig.path` may be, "digits", a `Dataset`, or (images, labels)."""


def load_for(
    model: Model,
    data: Data,
    split: str = "",
    options: DataConfig | None = None,
    classes: tuple[str, ...] = (),
) -> Dataset:
    """Load the images to evaluate a model on, at the size that it wants, with the classes that the data have.

    Args:
        model: its size and transform decide how files are stored.
        data: see `Data`; arrays are images uint8 (N, H, W, 3) and labels (N,): names, ids, or indices of the model's
            own classes.
        split: the part of the data, such as "val" or "test"; "" for its val, its test if it has no val, or all of it.
        options: how a source is read, such as which column holds labels, and the cache; its path and source are those
            of `data`.
        classes: only images of these, of a source of files; all, if none is given.

    Raises:
        UserError: the images cannot be had, or arrays are not as they should be.
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, tuple):
        return _from_arrays(model, *_pair(data))
    if not isinstance(data, str | Path):
        raise UserError(f"expected data as a path, a `Dataset` or (images, labels), found {type(data).__name__}")
    options = options or DataConfig()
    return load_at(model.info, data, split, options, classes)


def load_at(
    info: ModelInfo, data: str | Path, split: str, options: DataConfig, classes: tuple[str, ...] = ()
) -> Dataset:
    """Load the images at a path, or "digits", for a model that `info` describes, as `load_for` does.

    Raises:
        UserError: there are no images, or no such part of them.
    """
    path = Path(data)
    if str(data) == "digits" and not path.exists():
        return of_split(load(DataConfig("digits")), split or "val")
    config = dataclasses.replace(options, source=source_at(path), path=path)
    if config.source == "tiny-imagenet":
        return of_split(load(config), split or "val")
    parts, part, border = read_published(config, split, info)
    part = only_classes(part, classes) if classes else part
    tell((*parts.notes, *part.notes))
    decoding = Decoding(info.bits, config.max_pixels, border=border)
    return load_labeled(parts, part, info.geometry, config.cache, decoding)


def _pair(data: tuple[Any, ...]) -> tuple[Any, Any]:
    if len(data) != 2:
        raise UserError(f"expected (images, labels), found {len(data)} parts")
    return data[0], data[1]


def _from_arrays(model: Model, images: Any, labels: Any) -> Dataset:
    try:
        pixels, numbers_or_names = np.asarray(images), np.asarray(labels)
    except ValueError as error:  # of images of several sizes
        raise UserError(
            f"expected images uint8 (N, H, W, 3) of one size and labels (N,): {first_line(error)}"
        ) from error
    if numbers_or_names.ndim != 1:
        raise UserError(f"expected labels (N,), found {numbers_or_names.shape}")
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[-1] != 3:
        raise UserError(f"expected images uint8 (N, H, W, 3), found {pixels.dtype} {pixels.shape}")
    if len(numbers_or_names) != len(pixels) or not len(pixels):
        raise UserError(f"expected a label for each of the images, found {len(numbers_or_names)} for {len(pixels):,}")
    if not pixels.size:
        raise UserError(f"expected images of at least 1 x 1 pixels, found {pixels.shape}")
    if pixels.shape[1] != pixels.shape[2]:  # as `predict` does
        pixels = np.stack([model.prepare(image) for image in pixels])
    class_ids, class_names, numbers = _classes_of(model, numbers_or_names)
    checksum = zlib.crc32(numbers.tobytes(), zlib.crc32(np.ascontiguousarray(pixels).tobytes()))
    return Dataset(pixels, numbers, class_ids, class_names, DatasetId("arrays", f"{checksum:08x}"))


def _classes_of(model: Model, array: np.ndarray) -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray]:
    """Class ids and names, and labels as their indices; names are those of the labels, numbers are the model's own."""
    if array.dtype.kind in "US":
        ids, numbers = np.unique(array, return_inverse=True)
        names = tuple(map(str, ids))
        return names, names, numbers.astype(np.int64)
    info, count = model.info, len(model.info.class_ids)
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= count:
        raise UserError(
            f"expected labels as names, or as indices from 0 to {count - 1:,}, found {array.dtype} up to {array.max()}"
        )
    return info.class_ids, info.class_names, array.astype(np.int64)
