"""What a check of a data set found: as a page, with a gallery for each finding, and as a list of files."""

import datetime
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from doublevit.data.check.duplicates import Group
from doublevit.data.check.findings import DataFinding, Findings
from doublevit.data.check.scan import Scan
from doublevit.data.decode import BadImage, Decoding, decode_upright
from doublevit.data.names import printable
from doublevit.errors import UserError
from doublevit.progress import bar
from doublevit.report.error_files import write_csv
from doublevit.report.formats.plain import FORMULA
from doublevit.report.page.content import Page, Section, Tile, TileGroup, render
from doublevit.report.tables.data_check import class_table, finding_table, kind_table, size_table, where
from doublevit.version import __version__

SHOWN = 24
"""Groups of images that a gallery shows of a finding."""
LEVELS = {"error": "Error", "warning": "Warning", "note": "Note"}
COLUMNS = ("finding", "level", "group", "file", "split", "class", "detail")
SIDE = 160  # pixels of the longer side
SMALL = 64  # an image that has fewer is enlarged so that its pixels are seen
MOST = 6
"""Images of a group that are shown."""
QUALITY = 80
CROSS = (150, 150, 150)


def check_page(findings: Findings, options: Decoding, words: Callable[[str], str] = str) -> str:
    """Return the page as HTML that fetches nothing; `words` turns arguments in texts into what the user types."""
    scan = findings.scan
    numbers = Section(
        "images",
        "Images",
        tables=(size_table(scan), kind_table(scan)),
        folded=(class_table(scan),),
        points=tuple(map(printable, scan.source.notes)),
    )
    shown = {finding.name: finding.groups[:SHOWN] for finding in findings.found}
    tiles = galleries(scan, shown, options)
    sections = [_section(finding, tiles[finding.name], words) for finding in findings.found]
    page = Page(
        title=printable(scan.source.name),
        result=result_sentence(findings),
        made=f"Made by doublevit {__version__} on {datetime.date.today():%Y-%m-%d}.",
        sections=(Section("findings", "Findings", tables=(finding_table(findings),)), numbers, *sections),
        brand="doublevit data check",
    )
    return render(page)


def result_sentence(findings: Findings) -> str:
    """Return what was looked at and found in one sentence."""
    scan = findings.scan
    splits = " and ".join(
        f"{split} {(scan.source.splits == i).sum():,}" for i, split in enumerate(scan.source.split_names)
    )
    counts = {level: sum(each.level == level for each in findings.found) for level in LEVELS}
    counted = ", ".join(f"{count} {level}{'s' * (count != 1)}" for level, count in counts.items())
    return f"{len(scan.source):,} files ({splits}) of {len(scan.source.class_ids):,} classes: {counted}."


def _section(finding: DataFinding, groups: tuple[TileGroup, ...], words: Callable[[str], str]) -> Section:
    number = f" ({finding.images:,})" if finding.groups else ""
    more = len(finding.groups) - len(groups)
    paragraphs = [words(finding.advice)]
    if groups and more > 0:
        paragraphs.append(f"Shown are the first {len(groups):,} of {len(finding.groups):,}; findings.csv names all.")
    title = f"{LEVELS[finding.level]}: {finding.title}{number}"
    points = () if groups else (words(finding.advice),)
    return Section(finding.name, title, tuple(paragraphs) if groups else (), points=points, groups=groups)


def write_findings(path: Path, findings: Findings) -> None:
    """Write findings.csv; files of one group have the same number."""
    write_csv(path, COLUMNS, _rows(findings))


def _rows(findings: Findings) -> Iterator[list[object]]:
    source = findings.scan.source
    for finding in findings.found:
        for number, group in enumerate(finding.groups, 1):
            for index in group.indices:
                place = (
                    _harmless(_text(source.names[index])),
                    source.split_of(index),
                    _harmless(source.class_of(index)),
                )
                yield [finding.name, finding.level, number, *place, group.detail]


def _text(name: str) -> str:
    """Return a file's name as UTF-8 holds it, a byte that is none as an escape; otherwise unchanged."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _harmless(text: str) -> str:
    """Quote a text that a spreadsheet would take for a formula."""
    return f"'{text}" if text[:1] in FORMULA else text


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
