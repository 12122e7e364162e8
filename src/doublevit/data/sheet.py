"""Contact sheets: a picture of what is in a data set, to be looked at before anything is trained on it."""

import numpy as np
from PIL import Image, ImageDraw

from doublevit.data.dataset import Dataset

TILE = 96
CAPTION = 14
INK, PAPER = (30, 30, 30), (255, 255, 255)


def contact_sheet(dataset: Dataset, classes: int = 10, photos: int = 8) -> Image.Image:
    """A row of the first `photos` of each of up to `classes` classes, spread over all of them, with their names."""
    photos = min(photos, int(np.bincount(dataset.labels).max()))
    classes = min(classes, len(dataset.class_ids))
    shown = np.unique(np.linspace(0, len(dataset.class_ids) - 1, classes).round().astype(int))
    sheet = Image.new("RGB", (photos * TILE, len(shown) * (TILE + CAPTION)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, label in enumerate(shown):
        top = row * (TILE + CAPTION)
        draw.text((2, top), f"{label}  {dataset.class_names[label]}  ({dataset.class_ids[label]})", fill=INK)
        for column, index in enumerate(np.flatnonzero(dataset.labels == label)[:photos]):
            sheet.paste(_tile(dataset.images[index]), (column * TILE, top + CAPTION))
    return sheet


def _tile(image: np.ndarray) -> Image.Image:
    # Nearest neighbour: the sheet shows the pixels that the network gets, not a smoothed idea of them.
    return Image.fromarray(image).resize((TILE - 2, TILE - 2), Image.Resampling.NEAREST)
