"""Images for the page: what the data are, what corruptions make of them, mistakes, attacks, attention."""

import io
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from doublevit.analysis.classes import most_confident_mistakes
from doublevit.analysis.comparison import MAX_DETAILED_RUNS, Comparison
from doublevit.analysis.corrupted import CorruptionGroup
from doublevit.analysis.evaluated import Method
from doublevit.analysis.evaluated_images import evaluated_images
from doublevit.corrupted_sets.config import CorruptionConfig
from doublevit.corrupted_sets.sets import on_the_fly
from doublevit.corruptions import SEVERITIES
from doublevit.data.dataset import Dataset
from doublevit.data.sheet import contact_sheet
from doublevit.errors import UserError
from doublevit.report.page.content import Picture
from doublevit.report.sheets import corruption_sheet, mistakes_sheet

WIDEST = 1164  # pixels: six images with captions
HIGHEST = 4000
QUALITY = 80
MISTAKES = 12


def examples(val: Dataset) -> Picture:
    """Some classes of the validation images."""
    caption = f"Validation images of {val.id.source}: some of {len(val.class_ids):,} classes, at their own size."
    return picture(contact_sheet(val, classes=6), caption, "Rows of images, one for each class, with class names")


def corruptions(val: Dataset, group: CorruptionGroup, cache: Path) -> Picture | None:
    """One image under each corruption of a group; None where such images cannot be corrupted."""
    config = CorruptionConfig(group.corruptions, SEVERITIES)
    try:
        sheet = corruption_sheet(on_the_fly(val, config, cache), 0, config)
    except UserError:
        return None
    caption = "The first validation image under each corruption, by severity, as this program makes them."
    return picture(sheet, caption, f"An image under {', '.join(config.names)}, at severities 1 to 5")


def mistakes(method: Method, val: Dataset, cache: Path) -> Picture | None:
    """What a network was surest of and wrong; None where the images are not to be had, or there are none."""
    if (found := method.first.clean_predictions()) is None:
        return None
    row, predictions = found
    shown, indices = evaluated_images(row, predictions, val, cache), most_confident_mistakes(predictions, MISTAKES)
    if shown.images is None or not len(indices):
        return None
    heading = f"{method.label}, clean images"
    sheet = mistakes_sheet(shown.images, predictions, indices, shown.class_names, heading)
    wrong = int((~predictions.correct(1)).sum())
    caption = f"{method.label}: the {len(indices)} surest of {wrong:,} mistakes (n = {row.count:,})."
    return picture(sheet, caption, f"Images that {method.label} took for another class, with both classes named")


def attacked(method: Method) -> Iterator[Picture]:
    """Adversarial images that were saved with the run."""
    for path in sorted((method.first.run.path / "attacks").glob("*/sheet.png"))[-2:]:
        caption = f"{method.label}: images, what an attack made of them, and the difference, enlarged."
        yield from _file(path, caption, f"Adversarial images against {method.label}, with what it took them for")


def attention(method: Method) -> Iterator[Picture]:
    """Attention maps that `doublevit show attention` left in the run's folder."""
    for path in sorted(method.first.run.path.glob("attention*.png"))[:2]:
        caption = f"{method.label}: where it looks (doublevit show attention)."
        yield from _file(path, caption, f"Images with {method.label}'s attention laid over them")


def every_gallery(comparison: Comparison, val: Dataset | None, cache: Path) -> dict[str, list[Picture]]:
    """All pictures that there are, by the part of the page; those of single networks of the first few.

    Args:
        comparison: what is shown.
        val: the validation images, where they can be had.
        cache: the folder of downloaded data.
    """
    shown = [method for method in comparison.distinct_methods if method.first.as_trained][:MAX_DETAILED_RUNS]
    pictures: dict[str, list[Picture]] = {"images": [], "robustness": [], "errors": []}
    if val is not None:
        pictures["images"].append(examples(val))
        groups = [corrupted.group for corrupted in comparison.corrupted[:1]]
        pictures["robustness"] += [made for group in groups if (made := corruptions(val, group, cache))]
        pictures["errors"] += [made for method in shown if (made := mistakes(method, val, cache))]
    pictures["attacks"] = [made for method in shown for made in attacked(method)]
    pictures["attention"] = [made for method in shown for made in attention(method)]
    return pictures


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
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return  # damaged, being written, or no sheet of ours
