"""Galleries of the page: validation images, corruptions, mistakes, attacks, attention."""

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
from doublevit.image_files import BadImage, open_image
from doublevit.report.page.content import Picture
from doublevit.report.sheets import corruption_sheet, mistakes_sheet

MAX_WIDTH = 1164  # pixels: six images with captions
MAX_HEIGHT = 4000
WEBP_QUALITY = 80
MISTAKES = 12


def examples(val: Dataset) -> Picture:
    """Draw validation images of some classes."""
    caption = f"Validation images of {val.id.source}: some of {len(val.class_ids):,} classes, at their own size."
    return picture(contact_sheet(val, classes=6), caption, "Rows of images, one for each class, with class names")


def corruptions(val: Dataset, group: CorruptionGroup, cache: Path) -> Picture | None:
    """Draw one image under each corruption of a group; None if such images cannot be corrupted."""
    config = CorruptionConfig(group.corruptions, SEVERITIES)
    try:
        sheet = corruption_sheet(on_the_fly(val, config, cache), 0, config)
    except UserError:
        return None
    caption = "The first validation image under each corruption, by severity, as this program makes them."
    return picture(sheet, caption, f"An image under {', '.join(config.names)}, at severities 1 to 5")


def mistakes(method: Method, val: Dataset, cache: Path) -> Picture | None:
    """Draw a network's most confident mistakes; None if there are none, or the images cannot be loaded."""
    if (measurement := method.first.clean_predictions()) is None:
        return None
    row, predictions = measurement
    measured, indices = evaluated_images(row, predictions, val, cache), most_confident_mistakes(predictions, MISTAKES)
    if measured.images is None or not len(indices):
        return None
    heading = f"{method.label}, clean images"
    sheet = mistakes_sheet(measured.images, predictions, indices, measured.class_names, heading)
    wrong = int((~predictions.correct(1)).sum())
    caption = f"{method.label}: the {len(indices)} surest of {wrong:,} mistakes (n = {row.count:,})."
    return picture(sheet, caption, f"Images that {method.label} took for another class, with both classes named")


def attacked(method: Method) -> Iterator[Picture]:
    """Yield adversarial images that were saved with the run."""
    for path in sorted((method.first.run.path / "attacks").glob("*/sheet.png"))[-2:]:
        caption = f"{method.label}: images, what an attack made of them, and the difference, enlarged."
        yield from _file(path, caption, f"Adversarial images against {method.label}, with what it took them for")


def attention(method: Method) -> Iterator[Picture]:
    """Yield attention maps that `doublevit show attention` wrote into the run's folder."""
    for path in sorted(method.first.run.path.glob("attention*.png"))[:2]:
        caption = f"{method.label}: where it looks (doublevit show attention)."
        yield from _file(path, caption, f"Images with {method.label}'s attention laid over them")


def every_gallery(comparison: Comparison, val: Dataset | None, cache: Path) -> dict[str, list[Picture]]:
    """Return all pictures that there are, by section of the page; pictures of single networks only for the first few.

    Args:
        comparison: the networks.
        val: the validation images, if they can be loaded.
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
    """Make a picture of a sheet, scaled down to fit a page."""
    scale = min(1.0, MAX_WIDTH / sheet.width, MAX_HEIGHT / sheet.height)
    if scale < 1:
        size = max(1, round(sheet.width * scale)), max(1, round(sheet.height * scale))
        sheet = sheet.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    sheet.convert("RGB").save(file, format="WEBP", quality=WEBP_QUALITY)
    return Picture(file.getvalue(), caption, description, sheet.width, sheet.height)


def _file(path: Path, caption: str, description: str) -> Iterator[Picture]:
    try:
        with open_image(path) as sheet:
            yield picture(sheet, caption, description)
    except (OSError, ValueError, SyntaxError, BadImage):
        return  # damaged, being written, or no sheet of ours
