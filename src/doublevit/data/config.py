"""Options of the data set, common to all sources."""

import dataclasses
import os
import re
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
import tyro

from doublevit.errors import UserError
from doublevit.image_files import MAX_PIXELS


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
    size: int | None = None
    """Side in pixels at which images of a folder are stored; if not given, that of the network's input, else 224."""
    fit: Literal["crop", "squash", "pad", "older"] | None = None
    """How they become square: their center is cut (crop), they are squashed, or padded to be whole; older: as runs did
    that have no geometry of their checkpoint. If not given, as the checkpoint was evaluated."""
    crop: float | None = None
    """Fraction of the resized side that is left (timm's crop_pct); if not given, the checkpoint's, else 1."""
    interpolation: Literal["bicubic", "bilinear"] | None = None
    """How they are resized; if not given, as the checkpoint was evaluated, else bicubic."""
    fill: tuple[int, int, int] | None = None
    """Color, 0 to 255, of the borders by pad; if not given, the mean of the checkpoint's normalization, else black."""
    margin: int | None = None
    """Pixels more on each side in stored training images, into which random crops move; if not given, what crop leaves
    off, where augmentation crops."""
    bits: int | None = None
    """Bits of integer levels in files of 16 bits: 12 for 12-bit data, which would be nearly black; if not given, 16."""
    max_pixels: int = MAX_PIXELS
    """The most pixels of an image file; larger ones are refused before they take memory."""
    store: Literal["auto", "decoded", "encoded", "none"] = "auto"
    """How images of files are kept: decoded in one file; encoded, packed as they are and decoded in every epoch; none,
    read where they are. If not given, the one that is there, else as size and free disk suggest."""
    shrink: int | None = None
    """Encode training images whose shorter side is longer than this again, at this size (JPEG, quality 95); with
    --data.store encoded."""
    val_fraction: float = 0.2
    """Fraction of each class, or of the groups, kept for validation where the source has no split of its own."""
    split: Literal["hash", "count"] = "hash"
    """How they are drawn: by each file's name and contents, so that more images move no other; or by count, as older
    runs were split."""
    split_seed: int = 0
    """Seed of that random split."""
    val_sets: tuple[str, ...] = ()
    """More sets to validate on after each epoch, as NAME=PATH, each path as `--data` takes it: they are logged beside
    val, which alone decides which weights are the best."""
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
        self._check_geometry()
        self.val_set_paths()
        least = (self.size or 8) / (self.crop or 1)
        if self.shrink is not None and (self.shrink < int(least) or self.store != "encoded"):
            raise UserError(
                f"`data.shrink` {self.shrink}: expected at least {int(least)}, to which images are resized, with"
                " `data.store=encoded`"
            )
        if not 0 < self.val_fraction < 1:
            raise UserError(f"`data.val_fraction`: expected between 0 and 1, found {self.val_fraction}")
        if self.split_seed < 0:
            raise UserError(f"`data.split_seed`: expected 0 or more, found {self.split_seed}")
        if self.min_per_class is not None and self.min_per_class < 1:
            raise UserError(f"`data.min_per_class`: expected at least 1 image a class, found {self.min_per_class}")
        if self.per_class is not None and self.per_class < 1:
            raise UserError(f"`data.per_class`: expected at least 1 image a class, found {self.per_class}")

    def val_set_paths(self) -> dict[str, str]:
        """Return the path of each of `val_sets` by its name.

        Raises:
            UserError: an entry is not NAME=PATH, or a name is there twice or that of a split.
        """
        paths: dict[str, str] = {}
        for entry in self.val_sets:
            name, _, path = entry.partition("=")
            if not path or not re.fullmatch(r"[\w.-]+", name):
                raise UserError(f"`data.val_sets`: expected NAME=PATH, such as night=photos-at-night, found {entry!r}")
            if name in paths or name in ("train", "val"):
                raise UserError(f"`data.val_sets`: expected names of their own, found {name} twice")
            paths[name] = path
        return paths

    def _check_geometry(self) -> None:
        bounds = {
            "size": (8, 4096),
            "crop": (0.05, 1),
            "margin": (0, 4096),
            "bits": (8, 16),
            "max_pixels": (1, 1 << 40),
        }
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                kind = " is the side in pixels" if name == "size" else ""
                raise UserError(f"`data.{name}`{kind}: expected {least:g} to {most:,}, found {value:,}")
        side = (self.size or 0) + 2 * (self.margin or 0)
        if side > bounds["size"][1]:
            raise UserError(f"`data.margin`: expected images of at most 4,096 pixels with it, found {side:,}")
        if self.fill is not None and not all(0 <= value <= 255 for value in self.fill):
            raise UserError(f"`data.fill`: expected three numbers of 0 to 255, found {self.fill}")
        if self.fit == "older" and (self.crop or self.interpolation or self.margin):
            raise UserError("`data.fit=older` cuts without `data.crop`, `data.interpolation` and `data.margin`")
        if self.margin and self.fit not in (None, "crop"):
            raise UserError(f"`data.margin` is for images that are cut: expected `data.fit=crop`, found {self.fit}")
