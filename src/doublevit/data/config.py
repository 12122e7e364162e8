"""Options of the data set, common to all sources."""

import dataclasses
import os
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
import tyro

from doublevit.errors import UserError


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which images to use, and where they are kept once decoded."""

    source: str = "digits"
    """digits (embedded), tiny-imagenet, or folder (train/<class>/..., val/<class>/..., or <class>/...); if only a path
    is given, the source that fits it."""
    path: Annotated[Path | None, tyro.conf.arg(aliases=("--data",))] = None
    """The folder or official zip to read; not needed for Tiny ImageNet that was downloaded before."""
    download: bool = False
    """Fetch Tiny ImageNet (237 MB) into the cache if it is not there."""
    cache: Path = Path(os.environ.get("DOUBLEVIT_CACHE") or platformdirs.user_cache_path("doublevit"))
    """Where decoded images and downloads are kept."""
    size: int = 224
    """Side in pixels at which images of a folder are stored: shorter side resized, then center crop."""
    store: Literal["auto", "decoded", "encoded", "none"] = "auto"
    """How images of files are kept: decoded in one file; encoded, packed as they are and decoded in every epoch; none,
    read where they are. If not given, the one that is there, else as size and free disk suggest."""
    shrink: int | None = None
    """Encode training images whose shorter side is longer than this again, at this size (JPEG, quality 95); with
    --data.store encoded."""
    val_fraction: float = 0.2
    """Fraction of each class kept for validation where the source has no split of its own."""
    split: Literal["hash", "count"] = "hash"
    """How they are drawn: by each file's name and contents, so that more images move no other; or by count, as older
    runs were split."""
    split_seed: int = 0
    """Seed of that random split."""
    per_class: int | None = None
    """Train on only this many images of each class (the same ones every time; fewer are a subset of more)."""
    workers: Annotated[int | None, tyro.conf.arg(aliases=("--workers",))] = None
    """Number of threads that decode images and of processes that corrupt them; if not given, one for each core."""
    skip_bad: bool = False
    """Leave out files that cannot be read, count and name them, instead of stopping at the first."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UserError(f"`data.workers`: expected at least 1, found {self.workers}")
        if self.size < 8:
            raise UserError(f"`data.size` is the side in pixels: expected at least 8, found {self.size}")
        if self.shrink is not None and (self.shrink < self.size or self.store != "encoded"):
            raise UserError(
                f"`data.shrink` {self.shrink}: expected at least `data.size`, {self.size}, with `data.store=encoded`"
            )
        if not 0 < self.val_fraction < 1:
            raise UserError(f"`data.val_fraction`: expected between 0 and 1, found {self.val_fraction}")
        if self.split_seed < 0:
            raise UserError(f"`data.split_seed`: expected 0 or more, found {self.split_seed}")
        if self.per_class is not None and self.per_class < 1:
            raise UserError(f"`data.per_class`: expected at least 1 image a class, found {self.per_class}")
