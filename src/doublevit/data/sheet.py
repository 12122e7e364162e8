"""Contact sheets: pictures of the images of a data set, to look at before training on them."""

import numpy as np
from PIL import Image, ImageDraw

from doublevit.data.dataset import Dataset
from doublevit.fonts import draw_text, wrap

TILE = 96  # pixels, as all sizes here
CAPTION = 14
NAME = 110
WIDE_TILE, LINE, LETTERS = 194, 14, 34  # of captioned pictures: side, height of a line, characters in a line
INK, PAPER = (30, 30, 30), (255, 255, 255)


def contact_sheet(dataset: Dataset, classes: int = 10, images_per_class: int = 8) -> Image.Image:
    """Draw the first images of up to `classes` classes, spread over all of them: a row for each, under its name."""
    images_per_class = min(images_per_class, int(np.bincount(dataset.labels).max()))
    shown = spread(dataset, classes)
    sheet = Image.new("RGB", (images_per_class * TILE, len(shown) * (TILE + CAPTION)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, label in enumerate(shown):
        top = row * (TILE + CAPTION)
        draw_text(draw, (2, top), f"{label}  {dataset.class_names[label]}  ({dataset.class_ids[label]})", fill=INK)
        for column, index in enumerate(np.flatnonzero(dataset.labels == label)[:images_per_class]):
            sheet.paste(_tile(dataset.images[index]), (column * TILE, top + CAPTION))
    return sheet


def grid_sheet(rows: dict[str, list[np.ndarray]], columns: list[str]) -> Image.Image:
    """Draw rows of images, uint8 (H, W, 3), with the name of each row before it and of each column above it."""
    sheet = Image.new("RGB", (NAME + len(columns) * TILE, CAPTION + len(rows) * TILE), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, name in enumerate(columns):
        draw_text(draw, (NAME + column * TILE + TILE // 2, 1), name, fill=INK, anchor="ma")
    for row, (name, images) in enumerate(rows.items()):
        draw_text(draw, (4, CAPTION + row * TILE + TILE // 2), name.replace("_", " "), 9, fill=INK, anchor="lm")
        for column, image in enumerate(images):
            sheet.paste(_tile(image), (NAME + column * TILE, CAPTION + row * TILE))
    return sheet


def _tile(image: np.ndarray, size: int = TILE) -> Image.Image:
    # Nearest neighbor: the sheet shows the pixels that the network gets, not a smoothed idea of them.
    return Image.fromarray(image).resize((size - 2, size - 2), Image.Resampling.NEAREST)


def spread(dataset: Dataset, count: int) -> np.ndarray:
    """Return up to `count` labels that occur, spread over all of them, int64 (n,)."""
    present = np.unique(dataset.labels)
    return present[np.unique(np.linspace(0, len(present) - 1, min(count, len(present))).round().astype(int))]


def first_of_classes(dataset: Dataset, count: int) -> np.ndarray:
    """Return the index of the first image of each of up to `count` classes, spread over all of them, int64 (n,)."""
    return np.array([np.argmax(dataset.labels == label) for label in spread(dataset, count)])


def captioned_sheet(rows: list[list[tuple[np.ndarray, list[str]]]]) -> Image.Image:
    """Draw rows of images, uint8 (H, W, 3) of any size, each with its lines of text below; long lines are wrapped."""
    texts = [[[part for line in lines for part in wrap(line, LETTERS)] for _, lines in row] for row in rows]
    heights = [WIDE_TILE + LINE * max(map(len, row)) + LINE for row in texts]
    sheet = Image.new("RGB", (WIDE_TILE * max(map(len, rows)), sum(heights)), PAPER)
    draw, top = ImageDraw.Draw(sheet), 0
    for row, row_texts, height in zip(rows, texts, heights, strict=True):
        for column, ((image, _), lines) in enumerate(zip(row, row_texts, strict=True)):
            left = column * WIDE_TILE
            sheet.paste(_tile(image, WIDE_TILE), (left, top))
            draw_text(draw, (left + 2, top + WIDE_TILE), "\n".join(lines), LINE - 3, fill=INK, spacing=3)
        top += height
    return sheet


def first_name(name: str) -> str:
    """Return the first of a class's comma-separated names: "goldfish" of "goldfish, Carassius auratus"."""
    return name.partition(",")[0].strip() or name
