"""Sources in miniature, and how tests list them."""

from pathlib import Path

import numpy as np

from conftest import random_image
from doublevit import data
from doublevit.data import DataConfig, source_at
from doublevit.data.listing import Listing


def config(path: Path | str, cache: Path, **options) -> DataConfig:
    path = Path(path)
    return DataConfig(source_at(path), path, cache=cache, size=16, **options)


def listing(path: Path | str, tmp_path: Path, **options) -> Listing:
    chosen = config(path, tmp_path / "cache", **options)
    return data.LISTINGS[chosen.source](chosen)


def names(path: Path | str, tmp_path: Path, **options) -> dict[str, list[str]]:
    return {split: entries.names for split, entries in listing(path, tmp_path, **options).splits.items()}


def images_of_classes(root: Path, **counts: int) -> Path:
    generator = np.random.default_rng(0)
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            random_image(generator, (20, 20)).save(root / name / f"{i}.png")
    return root
