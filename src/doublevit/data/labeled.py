"""Labeled images to evaluate a model on: a part of any source, at the size and by the transform that the model wants.

They are decoded once, into the same kind of store as training images.
"""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from doublevit.data import store
from doublevit.data.dataset import Dataset
from doublevit.data.decode import BadImage, decode
from doublevit.data.listing import Listing
from doublevit.data.parts import Part, Parts, require_images

SPLIT = "all"

Prepare = Callable[[np.ndarray], np.ndarray]


def load_labeled(parts: Parts, part: Part, side: int, prepare: Prepare, geometry: str, cache: Path) -> Dataset:
    """Load the labeled images of a part of a source, decoded now if they never were.

    Args:
        parts: the source.
        part: of it.
        side: of the stored images in pixels.
        prepare: brings an image uint8 (H, W, 3) to (side, side, 3).
        geometry: tells what `prepare` does from other ways, as text.
        cache: where decoded images are kept.

    Raises:
        UserError: a class has no image, there are too few classes, or a file cannot be read.
    """
    listing = Listing(
        name=f"labeled-{parts.name}",
        source=part.source,
        side=side,
        class_ids=require_images(part).class_ids,
        class_names=part.class_ids,
        splits={SPLIT: part.entries},
        read=parts.read,
        decode=functools.partial(_decode, prepare=prepare),
        fingerprint=hashlib.sha256(f"{part.fingerprint} {geometry}".encode()).hexdigest(),
    )
    return store.open_store(store.prepare(listing, cache, skip_bad=False), listing.source)[SPLIT]


def _decode(data: bytes, prepare: Prepare) -> np.ndarray:
    try:
        return prepare(decode(data))
    except (ValueError, MemoryError) as error:
        raise BadImage(str(error) or "too narrow") from error
