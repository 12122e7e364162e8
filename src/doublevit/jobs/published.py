"""Published sets that models of ImageNet are measured on, read as they are: ImageNet-A, -R, -V2, -Sketch, ObjectNet."""

import dataclasses
from pathlib import Path

from doublevit.data import DataConfig, objectnet, read_parts
from doublevit.data.imagenet_sets import recognized
from doublevit.data.parts import Part, Parts
from doublevit.errors import UserError
from doublevit.jobs.wrap import imagenet_ids, imagenet_names
from doublevit.runs.model_info import ModelInfo


def read_published(config: DataConfig, split: str, info: ModelInfo) -> tuple[Parts, Part, int]:
    """Read a source and list the part to evaluate on, with wnids as classes if its set and model are of ImageNet.

    Returns:
        the source, its part, and how many pixels of a border are cut off each image.

    Raises:
        UserError: there is no such part, or it cannot be read.
    """
    root = objectnet.root_of(config.path) if config.source == "folder" and config.path else None
    if root is not None and knows_imagenet(info):
        return _objectnet(config, root)
    parts = read_parts(config)
    part = parts.to_evaluate(split)
    return parts, recognized(part, imagenet_ids()) if knows_imagenet(info) else part, 0


def knows_imagenet(info: ModelInfo) -> bool:
    """Return whether a model's classes are ImageNet's thousand, by wnid."""
    return len(info.class_ids) == len(imagenet_ids()) and {*info.class_ids} == {*imagenet_ids()}


def _objectnet(config: DataConfig, root: Path) -> tuple[Parts, Part, int]:
    indices = objectnet.imagenet_indices(root)
    _require_same_order(root, {index for several in indices.values() for index in several})
    parts = read_parts(dataclasses.replace(config, path=root / "images"))
    return parts, objectnet.mapped(parts.to_evaluate(), indices, imagenet_ids()), objectnet.BORDER


def _require_same_order(root: Path, used: set[int]) -> None:
    """Raise `UserError` where most labels in `mappings` are not what the logits of their indices are called."""
    words = objectnet.first_words(root)
    same = sum(words.get(index) == imagenet_names()[index] for index in used)
    if 2 * same < len(used):
        raise UserError(
            f"{root / 'mappings'} numbers ImageNet's classes in another order: expected that of a network's logits,"
            f" which {same} of {len(used)} labels fit; unpack ObjectNet again"
        )
