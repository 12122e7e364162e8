"""`doublevit data prepare`, `verify` and `show`."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from doublevit.augment import AugmentConfig
from doublevit.cli.parse import parse
from doublevit.cli.terminal import say
from doublevit.data import SOURCES, DataConfig, Dataset, load, verify
from doublevit.errors import UserError, unknown
from doublevit.files import whole_file

if TYPE_CHECKING:
    from doublevit.augment.views import View


@dataclasses.dataclass(frozen=True)
class Which:
    """Which photos."""

    data: DataConfig = DataConfig()


@dataclasses.dataclass(frozen=True)
class Show(Which):
    """Write a contact sheet: the first photos of some classes, with their names, or views of them as trained on."""

    output: Path = Path("contact-sheet.png")
    """The PNG to write."""
    split: Literal["train", "val"] = "train"
    """Which part of the data set."""
    classes: int = 10
    """Rows: this many classes, spread over all of them."""
    photos: int = 8
    """Photos of each; with --augment, views of the first one."""
    augment: str | None = None
    """A policy (see `doublevit recipes`), with its defaults, at the photo's own size: show views and operations."""


def data(arguments: Sequence[str]) -> None:
    """Prepare, verify or show photos: `data prepare|verify|show [options]`."""
    if not arguments or arguments[0] in ("-h", "--help"):
        say(f"usage: doublevit data {'|'.join(ACTIONS)} [options]\n\nsources: {', '.join(SOURCES)}")
    elif arguments[0] not in ACTIONS:
        raise unknown("command", f"data {arguments[0]}", [f"data {name}" for name in ACTIONS])
    else:
        ACTIONS[arguments[0]](arguments[1:])


def _prepare(arguments: Sequence[str]) -> None:
    """Decode photos into the cache, or find them there."""
    config = parse(Which, "doublevit data prepare", arguments, description=_prepare.__doc__).data
    splits = load(config)
    for split, dataset in splits.items():
        height, width = dataset.images.shape[1:3]
        say(f"{split}: {len(dataset):,} photos of {height} x {width}, {len(dataset.class_ids)} classes")
    say(f"from {splits['val'].source.removesuffix(', val')}")


def _verify(arguments: Sequence[str]) -> None:
    """Check that the source is complete and that every byte in the cache is as it was decoded."""
    config = parse(Which, "doublevit data verify", arguments, description=_verify.__doc__).data
    say(verify(config))


def _show(arguments: Sequence[str]) -> None:
    options = parse(Show, "doublevit data show", arguments)
    if min(options.classes, options.photos) < 1:
        raise UserError("--classes and --photos: expected at least 1")
    if options.output.suffix.lower() != ".png":
        raise UserError(f"--output {options.output}: expected a name that ends in .png")
    augment = None if options.augment is None else AugmentConfig(options.augment)
    dataset = load(options.data)[options.split]
    from doublevit.data.sheet import captioned_sheet, contact_sheet

    if augment is None:
        sheet = contact_sheet(dataset, options.classes, options.photos)
    else:
        sheet = captioned_sheet(_with_views(dataset, augment, options))
    with whole_file(options.output) as file:
        sheet.save(file, format="PNG")
    say(f"written: {options.output}")


def _with_views(dataset: Dataset, augment: AugmentConfig, options: Show) -> "list[list[View]]":
    """The first photo of each of some classes, followed by views of it."""
    from doublevit.augment.views import described_views
    from doublevit.data.sheet import spread

    chosen = np.array([np.argmax(dataset.labels == label) for label in spread(dataset, options.classes)])
    photos = dataset.images[chosen]
    views = described_views(photos, chosen, len(dataset), augment, options.photos)
    names = [dataset.class_names[label] for label in dataset.labels[chosen]]
    originals = zip(photos, names, strict=True)
    return [[(image, [name]), *own] for (image, name), own in zip(originals, views, strict=True)]


ACTIONS: dict[str, Callable[[Sequence[str]], None]] = {"prepare": _prepare, "verify": _verify, "show": _show}
