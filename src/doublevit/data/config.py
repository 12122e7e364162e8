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
    """digits (embedded), tiny-imagenet, folder (train/<class>/..., val/<class>/..., or <class>/...), list (a CSV file),
    hf (Hugging Face, parquet) or wds (webdataset's tars); if only a path is given, the source that fits it."""
    path: Annotated[Path | None, tyro.conf.arg(aliases=("--data",))] = None
    """A folder of class folders, Tiny ImageNet's zip or folder, labels.csv (path,label[,split][,group]), a folder or
    file of parquet, hf:USER/SET of the hub, or "wds:shard-{000..099}.tar"; not needed for a fetched Tiny ImageNet."""
    download: bool = False
    """Fetch Tiny ImageNet (237 MB) into the cache if it is not there."""
    cache: Path = Path(os.environ.get("DOUBLEVIT_CACHE") or platformdirs.user_cache_path("doublevit"))
    """Where decoded images and downloads are kept."""
    size: int = 224
    """Side in pixels at which images of a folder are stored: shorter side resized, then center crop."""
    val_fraction: float = 0.2
    """Fraction of each class, or of the groups, kept for validation where the source has no split of its own."""
    split: Literal["hash", "count"] = "hash"
    """How they are drawn: by each file's name and contents, so that more images move no other; or by count, as older
    runs were split."""
    split_seed: int = 0
    """Seed of that random split."""
    label_column: str = ""
    """Column that holds the labels, of a list, a data set of Hugging Face or a .json in shards; if not given, the usual
    ones are looked for (label, class, ...)."""
    image_column: str = ""
    """Column that holds the images, or their paths; if not given, the usual one."""
    group_column: str = ""
    """Column of groups that are never in two splits, such as patients; if not given, the column named group."""
    names: Literal["usual", "exact"] = "usual"
    """Names that are understood: the usual ones of splits, in any case (valid, Test ...), and files that are no images
    (.txt ...) left out; or train and val exactly, and every file, as older runs were read."""
    min_per_class: int | None = None
    """Leave out classes with fewer training images than this."""
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
        if not 0 < self.val_fraction < 1:
            raise UserError(f"`data.val_fraction`: expected between 0 and 1, found {self.val_fraction}")
        if self.split_seed < 0:
            raise UserError(f"`data.split_seed`: expected 0 or more, found {self.split_seed}")
        if self.min_per_class is not None and self.min_per_class < 1:
            raise UserError(f"`data.min_per_class`: expected at least 1 image a class, found {self.min_per_class}")
        if self.per_class is not None and self.per_class < 1:
            raise UserError(f"`data.per_class`: expected at least 1 image a class, found {self.per_class}")
