"""Labeled images to evaluate a model on: a part of any source, as the squares that the model wants.

They are decoded once, into the same kind of store as training images.
"""

from pathlib import Path

from doublevit.data.dataset import Dataset
from doublevit.data.decode import DECODING, Decoding
from doublevit.data.listing import Listing
from doublevit.data.parts import Part, Parts, require_images
from doublevit.data.squares import squares
from doublevit.data.stores import load_stored
from doublevit.geometry import Geometry

SPLIT = "all"


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
