"""Sheets of images: corruptions, most confident mistakes, attention laid over images."""

import matplotlib
import numpy as np
from PIL import Image, ImageDraw

from doublevit.corrupted_sets.config import CorruptionConfig
from doublevit.corrupted_sets.sets import OnTheFly
from doublevit.data.sheet import INK, LETTERS, LINE, PAPER, WIDE_TILE, captioned_sheet, first_name, grid_sheet
from doublevit.fonts import draw_text, wrap
from doublevit.images import Images
from doublevit.runs.predictions import Predictions

COLUMNS = 6


def corruption_sheet(corrupted: OnTheFly, index: int, config: CorruptionConfig) -> Image.Image:
    """Draw the image at `index` under each of some corruptions, by severity, below the clean image."""
    indices = np.array([index])
    rows = {"clean": [corrupted.clean.images[indices][0]]}
    for name in config.names:
        title = f"{name}\n({corrupted.frost})" if name == "frost" else name
        rows[title] = [corrupted.cell((name, severity)).images[indices][0] for severity in config.severities]
    return grid_sheet(rows, [str(severity) for severity in config.severities])


def mistakes_sheet(
    images: Images, predictions: Predictions, indices: np.ndarray, class_names: tuple[str, ...], heading: str
) -> Image.Image:
    """Draw the images at `indices` in rows of six, each with its true and predicted class, below a heading."""
    captions = [_caption(predictions, index, class_names) for index in indices]
    tiles = list(zip(images[indices], captions, strict=True))
    rows = [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]
    return headed(captioned_sheet(rows), heading, LETTERS * min(COLUMNS, len(tiles)))


def _caption(predictions: Predictions, index: int, class_names: tuple[str, ...]) -> list[str]:
    true, answer = predictions.labels[index], predictions.classes[index, 0]
    confidence = np.floor(predictions.probabilities[index, 0] * 1000) / 10  # rounded down: no 100 % that is not quite
    return [
        f"true: {first_name(class_names[true])}",
        f"predicted: {first_name(class_names[answer])} {confidence:.1f} %",
    ]


def headed(sheet: Image.Image, heading: str, letters: int) -> Image.Image:
    """Draw a sheet with a heading above it, whose lines are broken after `letters` letters."""
    lines = [part for line in heading.splitlines() for part in wrap(line, letters)]
    top = (LINE + 3) * len(lines) + LINE
    whole = Image.new("RGB", (sheet.width, sheet.height + top), PAPER)
    draw = ImageDraw.Draw(whole)
    draw_text(draw, (4, LINE // 2), "\n".join(lines), LINE - 1, fill=INK, spacing=3)
    whole.paste(sheet, (0, top))
    return whole


SIDE = WIDE_TILE - 2
DIM, COVER = 0.6, 0.8  # brightness of the image below the map; opacity of the greatest weight
BRIGHTEST = 97  # percentile, since a few empty patches with much attention (Darcet et al. 2023) would outshine all


def overlay(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Lay an attention map (rows, columns) over an image uint8 (H, W, 3); returns uint8 (192, 192, 3).

    Weights are scaled up to their 97th percentile; a uniform map shows nothing bright. The image turns gray, so that
    all color is that of the map: none at the least weight, yellow at the greatest.
    """
    gray = np.asarray(Image.fromarray(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BICUBIC))[..., None]
    least, most = weights.min(), np.percentile(weights, BRIGHTEST)
    scaled = ((weights - least) / max(most - least, weights.mean() / 2, 1e-12)).clip(0, 1).astype(np.float32)
    heat = np.asarray(Image.fromarray(scaled).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    colors = 255 * np.asarray(matplotlib.colormaps["inferno"](heat.ravel())).reshape(SIDE, SIDE, 4)[..., :3]
    cover = COVER * heat[..., None]
    return ((1 - cover) * DIM * gray + cover * colors).round().astype(np.uint8)


def beside_overlays(image: np.ndarray) -> np.ndarray:
    """Resize an image uint8 (H, W, 3) to the size of its overlays, uint8 (192, 192, 3)."""
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
