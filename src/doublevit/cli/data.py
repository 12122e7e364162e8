"""`doublevit data check`, `prepare`, `verify`, `corrupt` and `show`."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from doublevit.augment import AugmentConfig
from doublevit.cli.check import check
from doublevit.cli.corrupted import corrupt, show_corruptions, verify_set
from doublevit.cli.parse import RENAMED, asks_help, parse, with_source
from doublevit.cli.terminal import say
from doublevit.corrupted_sets.config import CorruptionConfig
from doublevit.data import SOURCES, DataConfig, load, verify
from doublevit.errors import UserError, unknown
from doublevit.files import whole_file
from doublevit.recipes.named import get_recipe


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """Options that say which images."""

    data: DataConfig = DataConfig()


@dataclasses.dataclass(frozen=True)
class Prepare(DataOptions):
    """Check images and store them in the cache, decoded or encoded, unless they are there already."""

    model: str | None = None
    """Network or recipe, as `doublevit run` takes it: images are stored as its run wants them; if not given, as --data
    options say, at 224 pixels."""


@dataclasses.dataclass(frozen=True)
class Verify(DataOptions):
    """Check that a source is complete, or that a corrupted set is, and that every byte is as it should be."""

    corrupted_set: Path | None = None
    """Check this instead: published Tiny-ImageNet-C, as folder or tar, or what `data corrupt` wrote."""
    download_corrupted_set: Literal["common", "validation"] | None = None
    """Fetch the published fifteen, or the other four, into the cache (the repaired archives) and check that."""

    def __post_init__(self) -> None:
        if self.corrupted_set and self.download_corrupted_set:
            raise UserError("--corrupted-set and --download-corrupted-set: expected one of them")


@dataclasses.dataclass(frozen=True)
class Show(DataOptions):
    """Write a contact sheet: images of some classes; views of them as trained on; or one image, corrupted."""

    output: Path = Path("contact-sheet.png")
    """The PNG to write."""
    split: str = "train"
    """Which part of the data set: train, val, test or any other that it has."""
    classes: int = 10
    """Rows: this many classes, spread over all of them."""
    images: int = 8
    """Images of each class; with --augment, views of its first image."""
    augment: str | None = None
    """Show views by this policy (see `doublevit recipes`) with its defaults, at the size of the images."""
    corruption: tuple[str, ...] = ()
    """Show one image under these corruptions (names, or common, validation, paper, all), by severity."""
    index: int = 0
    """Index of the image, with --corruption."""
    frost_textures: Path | None = None
    """Folder with the published frost textures, with --corruption."""

    def __post_init__(self) -> None:
        if min(self.classes, self.images) < 1:
            raise UserError("--classes and --images: expected at least 1")
        if self.output.suffix.lower() != ".png":
            raise UserError(f"--output {self.output}: expected a name that ends in .png")
        if self.augment is not None and self.corruption:
            raise UserError("--augment and --corruption: expected one of them")


def data(arguments: Sequence[str]) -> None:
    """Check, prepare, verify, corrupt or show images: `data check|prepare|verify|corrupt|show [options]`."""
    if asks_help(arguments):
        say(f"usage: doublevit data {'|'.join(ACTIONS)} [options]\n\nsources: {', '.join(SOURCES)}")
    elif arguments[0] not in ACTIONS:
        raise unknown("command", f"data {arguments[0]}", [f"data {name}" for name in ACTIONS])
    else:
        ACTIONS[arguments[0]](arguments[1:])


def _prepare(arguments: Sequence[str]) -> None:
    options = parse(Prepare, "doublevit data prepare", arguments)
    config = with_source(options.data, arguments)
    if options.model is not None:
        from doublevit.jobs.geometry import with_geometry

        config = with_geometry(dataclasses.replace(get_recipe(options.model), data=config)).data
    splits = load(config, quiet=False)
    for split, dataset in splits.items():
        height, width = dataset.images.shape[1:3]
        say(f"{split}: {len(dataset):,} images of {height} x {width}, {len(dataset.class_ids)} classes")
    say(f"from {splits['val'].id.source}")


def _verify(arguments: Sequence[str]) -> None:
    options = parse(Verify, "doublevit data verify", arguments)
    path = options.corrupted_set
    if options.download_corrupted_set:
        from doublevit.data.tiny_imagenet_c import fetch_published

        path = fetch_published(options.data.cache, validation=options.download_corrupted_set == "validation")
    if path is None:
        say(verify(with_source(options.data, arguments)))
    else:
        verify_set(path)


def _show(arguments: Sequence[str]) -> None:
    options = parse(Show, "doublevit data show", arguments, RENAMED | {"--photos": "--images"})
    config = CorruptionConfig(options.corruption, frost_textures=options.frost_textures)
    augment = None if options.augment is None else AugmentConfig(options.augment)
    from doublevit.data.labeled import load_split
    from doublevit.data.sheet import contact_sheet

    dataset = load_split(with_source(options.data, arguments), options.split)

    if options.corruption:
        sheet = show_corruptions(dataset, options.index, config, options.data.cache)
    elif augment is None:
        sheet = contact_sheet(dataset, options.classes, options.images)
    else:
        from doublevit.jobs.sheet import views_sheet

        sheet = views_sheet(dataset, augment, options.classes, options.images)
    with whole_file(options.output) as file:
        sheet.save(file, format="PNG")
    say(f"written: {options.output}")


ACTIONS: dict[str, Callable[[Sequence[str]], None]] = {
    "check": check,
    "prepare": _prepare,
    "verify": _verify,
    "corrupt": corrupt,
    "show": _show,
}
