"""A sheet of the mistakes that a model was surest of."""

import textwrap

import numpy as np
from PIL import Image, ImageDraw

from doublevit.data.sheet import INK, LETTERS, LINE, PAPER, captioned_sheet
from doublevit.images import Images
from doublevit.results import Predictions

COLUMNS = 6


def mistakes(predictions: Predictions, count: int) -> np.ndarray:
    """Places of up to `count` photos for which the answer was wrong, the surest answer first, int (n,)."""
    wrong = np.flatnonzero(~predictions.hits(1))
    return wrong[np.argsort(-predictions.probabilities[wrong, 0], kind="stable")][:count]


def mistakes_sheet(
    images: Images, predictions: Predictions, places: np.ndarray, class_names: tuple[str, ...], heading: str
) -> Image.Image:
    """Those photos in rows of six, each with its true class and the answer; `heading` above all."""
    captions = [_caption(predictions, place, class_names) for place in places]
    tiles = list(zip(images[places], captions, strict=True))
    rows = [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]
    return headed(captioned_sheet(rows), heading, LETTERS * min(COLUMNS, len(tiles)))


def first_name(name: str) -> str:
    """The first of the names that a class has: "goldfish" of "goldfish, Carassius auratus"."""
    return name.partition(",")[0].strip() or name


def _caption(predictions: Predictions, place: int, class_names: tuple[str, ...]) -> list[str]:
    true, said = predictions.labels[place], predictions.classes[place, 0]
    sure = np.floor(predictions.probabilities[place, 0] * 1000) / 10  # never more than was said
    return [f"true: {first_name(class_names[true])}", f"said: {first_name(class_names[said])} {sure:.1f} %"]


def headed(sheet: Image.Image, heading: str, letters: int) -> Image.Image:
    """A sheet with lines of text above it, broken after so many letters."""
    lines = [part for line in heading.splitlines() for part in textwrap.wrap(line, letters)]
    top = (LINE + 3) * len(lines) + LINE
    whole = Image.new("RGB", (sheet.width, sheet.height + top), PAPER)
    draw = ImageDraw.Draw(whole)
    draw.multiline_text((4, LINE // 2), "\n".join(lines), fill=INK, font_size=LINE - 1, spacing=3)
    whole.paste(sheet, (0, top))
    return whole
