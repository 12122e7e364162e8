"""Labeled images to evaluate a model on: a part of any source, as the squares that the model wants.

They are decoded once, into the same kind of store as training images.
"""

from pathlib import Path

from doublevit.data import READERS, DataConfig, load, read_parts, tell
from doublevit.data.dataset import Dataset, of_split
from doublevit.data.decode import DECODING, Decoding
from doublevit.data.listing import Listing
from doublevit.data.parts import Part, Parts, require_images
from doublevit.data.squares import geometry_of, squares
from doublevit.data.stores import load_stored
from doublevit.geometry import Geometry

SPLIT = "all"


def load_split(config: DataConfig, split: str) -> Dataset:
    """Load a split of any source: "train" and "val" as training has them, or another part by its name there.

    Raises:
        UserError: there is no such split, or its images cannot be had.
    """
    if split in ("train", "val") or config.source not in READERS:
        return of_split(load(config, quiet=False), split)
    parts = read_parts(config)
    part = parts.to_evaluate(split)
    tell((*parts.notes, *part.notes))
    return load_labeled(parts, part, geometry_of(config), config.cache, Decoding(config.bits, config.max_pixels))


def load_labeled(parts: Parts, part: Part, geometry: Geometry, cache: Path, options: Decoding = DECODING) -> Dataset:
    """Load the labeled images of a part of a source, decoded now if they never were.

    Args:
        parts: the source.
        part: of it.
        geometry: brings an image to the square that is stored.
        cache: where decoded images are kept.
        options: of decoding.

    Raises:
        UserError: a class has no image, there are too few classes, or a file cannot be read.
    """
    listing = Listing(
        name=f"labeled-{parts.name}",
        source=part.source,
        class_ids=require_images(part).class_ids,
        class_names=part.class_ids,
        splits={SPLIT: part.entries},
        read=parts.read,
        **squares(part.fingerprint, geometry, options),
    )
    return load_stored(listing, cache)[SPLIT]
