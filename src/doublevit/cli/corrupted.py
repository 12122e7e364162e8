"""`doublevit data corrupt`, and what `data verify` and `data show` do with corruptions."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from doublevit.cli.parse import parse, with_source
from doublevit.cli.terminal import fail, say
from doublevit.corrupted_sets.config import CorruptionConfig
from doublevit.data import DataConfig, Dataset, load
from doublevit.data.stores.choice import threads
from doublevit.errors import UserError
from doublevit.progress import console

if TYPE_CHECKING:
    from PIL.Image import Image

DEFAULT = CorruptionConfig(("common",))


@dataclasses.dataclass(frozen=True)
class Corrupt:
    """Write a corrupted set: validation images by corruption and severity; what is there already is kept."""

    data: DataConfig = DataConfig()
    output: Path = Path("corrupted")
    """Folder for the set, to be made, or one to go on with."""
    format: Literal["jpeg", "store"] = "jpeg"
    """jpeg: the published layout, quality 85; store: arrays, exact and fast to read, six times as large."""
    first: int | None = None
    """Only the first so many images."""
    corruption: Annotated[CorruptionConfig, tyro.conf.arg(name="")] = DEFAULT

    def __post_init__(self) -> None:
        if not self.corruption.corruptions:
            raise UserError("--corruptions: expected at least one; for the fifteen: common")


def corrupt(arguments: Sequence[str]) -> None:
    """Write a corrupted set: `data corrupt [options]`."""
    options = parse(Corrupt, "doublevit data corrupt", arguments)
    from doublevit.corrupted_sets.manifest import Manifest
    from doublevit.corrupted_sets.sets import on_the_fly
    from doublevit.corrupted_sets.write import write
    from doublevit.corruptions.config import table_for

    clean, config = load(with_source(options.data, arguments))["val"], options.corruption
    clean = clean if options.first is None else clean.first(options.first)
    textures = on_the_fly(clean, config, options.data.cache).textures
    height, width = clean.images.shape[1:3]
    manifest = Manifest(
        source=str(clean.id),
        count=len(clean),
        side=(height, width),
        class_ids=clean.class_ids,
        class_names=clean.class_names,
        seed=config.corruption_seed,
        constants=table_for(height, width).name,
        frost=textures.name,
        kept_as=options.format,
    )
    workers = threads(options.data.workers)
    made = write(clean, manifest, textures, options.output, config.cells, workers)
    say(f"{options.output}: {len(config.cells)} cells of {len(clean):,} images, {made} of them made now")
    say(f"constants {manifest.constants}, seed {manifest.seed}, frost: {manifest.frost}")


def verify_set(path: Path) -> None:
    """Print the problems of a corrupted set, a line each, and end with code 2; or print that there are none."""
    from doublevit.corrupted_sets.verify import verify

    verified = verify(path)
    for problem in verified.problems:
        console.print(problem, markup=False, highlight=False, soft_wrap=True)
    if verified.problems:
        fail(f"{path}: {len(verified.problems)} of its parts are not right ({verified.found})", 2)
    say(f"{path}: {verified.found}; every one is there and can be read")


def show_corruptions(dataset: Dataset, index: int, config: CorruptionConfig, cache: Path) -> "Image":
    """Draw the image at `index` under each of some corruptions, by severity."""
    from doublevit.corrupted_sets.sets import on_the_fly
    from doublevit.report.sheets import corruption_sheet

    if not 0 <= index < len(dataset):
        raise UserError(f"--index {index}: expected 0 to {len(dataset) - 1:,}")
    return corruption_sheet(on_the_fly(dataset, config, cache), index, config)
