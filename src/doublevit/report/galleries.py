"""Photos for the page: what the data are, what corruptions make of them, mistakes, attacks, attention."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from doublevit.corrupted.config import CorruptionConfig
from doublevit.corrupted.sets import on_the_fly
from doublevit.corrupted.sheet import corruption_sheet
from doublevit.corruptions import SEVERITIES
from doublevit.data.dataset import Dataset
from doublevit.data.sheet import contact_sheet
from doublevit.errors import UserError
from doublevit.report.candidates import Candidate, Contender, predictions_of
from doublevit.report.figures import MOST_RUNS, most_clean
from doublevit.report.gallery import mistakes, mistakes_sheet
from doublevit.report.groups import Group
from doublevit.report.page import Picture
from doublevit.report.photos import seen

WIDEST = 1164  # pixels: six photos with captions
HIGHEST = 4000
QUALITY = 80
MISTAKES = 12


def photos(val: Dataset) -> Picture:
    """Some classes of the validation photos."""
    caption = f"Validation photos of {val.source}: some of {len(val.class_ids):,} classes, at their own size."
    return picture(contact_sheet(val, classes=6), caption, "Rows of photos, one for each class, with class names")


def corruptions(val: Dataset, group: Group, cache: Path) -> Picture | None:
    """One photo under each corruption of a group; None where such photos cannot be corrupted."""
    config = CorruptionConfig(group.corruptions, SEVERITIES)
    try:
        sheet = corruption_sheet(on_the_fly(val, config, cache), 0, config)
    except UserError:
        return None
    caption = "The first validation photo under each corruption, by severity, as this program makes them."
    return picture(sheet, caption, f"A photo under {', '.join(config.names)}, at severities 1 to 5")


def surest_mistakes(one: Contender, val: Dataset, cache: Path) -> Picture | None:
    """What a network was surest of and wrong; None where the photos are not to be had, or there are none."""
    row = most_clean(one.first)
    predictions = predictions_of(one.first.run, row) if row else None
    if row is None or predictions is None:
        return None
    shown, places = seen(row, predictions, val, cache), mistakes(predictions, MISTAKES)
    if shown.images is None or not len(places):
        return None
    sheet = mistakes_sheet(shown.images, predictions, places, shown.class_names, f"{one.label}, clean photos")
    said = (
        f"{one.label}: the {len(places)} surest of {int((~predictions.hits(1)).sum()):,} mistakes (n = {row.count:,})."
    )
    return picture(sheet, said, f"Photos that {one.label} took for another class, with both classes named")


def attacked(one: Contender) -> Iterator[Picture]:
    """Adversarial images that were saved with the run."""
    for path in sorted((one.first.run.path / "attacks").glob("*/sheet.png"))[-2:]:
        caption = f"{one.label}: photos, what an attack made of them, and the difference, enlarged."
        yield from _file(path, caption, f"Adversarial images against {one.label}, with what it took them for")


def attention(one: Candidate, label: str) -> Iterator[Picture]:
    """Attention maps that `doublevit show attention` left in the run's folder."""
    for path in sorted(one.run.path.glob("attention*.png"))[:2]:
        caption = f"{label}: where it looks (doublevit show attention)."
        yield from _file(path, caption, f"Photos with {label}'s attention laid over them")


def of_runs(contenders: Sequence[Contender]) -> list[Contender]:
    """The contenders whose own galleries are shown."""
    return [one for one in contenders if one.first.as_trained][:MOST_RUNS]


def picture(sheet: Image.Image, caption: str, description: str) -> Picture:
    """A sheet, made small enough for a page."""
    scale = min(1.0, WIDEST / sheet.width, HIGHEST / sheet.height)
    if scale < 1:
        size = max(1, round(sheet.width * scale)), max(1, round(sheet.height * scale))
        sheet = sheet.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    sheet.convert("RGB").save(file, format="WEBP", quality=QUALITY)
    return Picture(file.getvalue(), caption, description, sheet.width, sheet.height)


def _file(path: Path, caption: str, description: str) -> Iterator[Picture]:
    try:
        with Image.open(path) as sheet:
            yield picture(sheet, caption, description)
    except (
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
    ):  # damaged, being written, or no sheet of ours
        return
