"""Small images of the files that a check found something in."""

import io
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

from doublevit.data.check.duplicates import Group
from doublevit.data.check.scan import Scan
from doublevit.data.decode import BadImage, Decoding, decode_upright
from doublevit.errors import UserError
from doublevit.progress import bar
from doublevit.report.page.content import Tile, TileGroup
from doublevit.report.tables.data_check import where

SIDE = 160  # pixels of the longer side
SMALL = 64  # an image that has fewer is enlarged so that its pixels are seen
MOST = 6
"""Images of a group that are shown."""
QUALITY = 80
CROSS = (150, 150, 150)


def galleries(scan: Scan, shown: Mapping[str, Sequence[Group]], options: Decoding) -> dict[str, tuple[TileGroup, ...]]:
    """Return the pictures of groups, by the name of their finding."""
    total = sum(len(groups) for groups in shown.values())
    made: dict[str, tuple[TileGroup, ...]] = {}
    with bar("drawing", total, "pictures") as progress:
        for name, groups in shown.items():
            made[name] = tuple(_tile_group(scan, group, options) for group in groups)
            progress.advance(len(groups))
    return made


def _tile_group(scan: Scan, group: Group, options: Decoding) -> TileGroup:
    tiles = tuple(_tile(scan, index, options) for index in group.indices[:MOST])
    more = len(group.indices) - len(tiles)
    caption = ", ".join(filter(None, (group.detail, f"and {more:,} more" if more else "")))
    return TileGroup(tiles, caption)


def _tile(scan: Scan, index: int, options: Decoding) -> Tile:
    try:
        pixels = decode_upright(scan.source.read(scan.source.names[index]), options)
        image = Image.fromarray(pixels)
    except (BadImage, OSError, UserError):
        image = _crossed_out()
    if max(image.size) <= SMALL:
        image = image.resize((2 * image.width, 2 * image.height), Image.Resampling.NEAREST)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, format="WEBP", quality=QUALITY)
    return Tile(file.getvalue(), where(scan, index), image.width, image.height)


def _crossed_out() -> Image.Image:
    """Draw what stands in the place of an image that cannot be read."""
    image = Image.new("RGB", (SIDE, SIDE), (240, 240, 240))
    draw = ImageDraw.Draw(image)
    for line in ((0, 0, SIDE, SIDE), (0, SIDE, SIDE, 0)):
        draw.line(line, CROSS, 2)
    return image
