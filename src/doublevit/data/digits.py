"""scikit-learn's bundled handwritten digits: 1,797 scans of 8 x 8 pixels, available without a download."""

import zlib

import numpy as np
from PIL import Image

from doublevit.data.config import DataConfig
from doublevit.data.dataset import Dataset, Splits
from doublevit.data.identity import DatasetId
from doublevit.errors import UserError

SOURCE = "scikit-learn's bundled digits"
SIZE = 32  # enlarged from 8, so that patches, crops and blurs have pixels to work on
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def load(config: DataConfig) -> Splits:
    """Return the digits as RGB images of 32 x 32; `val_fraction` of each class, drawn by `split_seed`, is "val".

    Raises:
        UserError: `config` gives a path, or a fraction that leaves too few digits in a split.
    """
    if config.path is not None:
        raise UserError(
            f"`data.path` {config.path}: the digits are embedded and need none; for images there, add"
            " `data.source=tiny-imagenet` or `data.source=folder`"
        )
    from sklearn.datasets import load_digits  # slow imports that only this source needs
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = np.stack([_enlarge(scan) for scan in digits.images])
    if not 0.01 <= config.val_fraction <= 0.99:
        raise UserError(f"`data.val_fraction` {config.val_fraction}: too few digits for that; expected 0.01 to 0.99")
    splits = train_test_split(
        np.arange(len(images)), test_size=config.val_fraction, random_state=config.split_seed, stratify=digits.target
    )
    labels = digits.target.astype(np.int64)
    parts = zip(("train", "val"), map(np.sort, splits), strict=True)
    return {split: _dataset(split, images[indices], labels[indices]) for split, indices in parts}


def _dataset(split: str, images: np.ndarray, labels: np.ndarray) -> Dataset:
    checksum = zlib.crc32(labels.tobytes(), zlib.crc32(images.tobytes()))
    identity = DatasetId(SOURCE, f"{checksum:08x}", split)
    return Dataset(images, labels, tuple("0123456789"), NAMES, identity)


def _enlarge(scan: np.ndarray) -> np.ndarray:
    gray = Image.fromarray(np.round(scan * (255 / 16)).astype(np.uint8))
    return np.asarray(gray.resize((SIZE, SIZE), Image.Resampling.BICUBIC).convert("RGB"))
