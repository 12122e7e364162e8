"""Content of the page, and its HTML. Texts are escaped; the SVG of our plots is inserted as it is."""

import base64
import dataclasses

import jinja2

from doublevit.report.table import Table, letter

TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("doublevit.report.page"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclasses.dataclass(frozen=True)
class Figure:
    """Holds a plot: its SVG element, its caption, and its greatest width in pixels."""

    svg: str
    caption: str
    width: int


@dataclasses.dataclass(frozen=True)
class EmbeddedImage:
    """Holds the bytes of a WebP image that is part of the page."""

    image: bytes

    @property
    def source(self) -> str:
        """The image as a data URL."""
        return _data_url(self.image)


@dataclasses.dataclass(frozen=True)
class Picture(EmbeddedImage):
    """Holds a gallery as one image; `description` is the text for those who cannot see it."""

    caption: str
    description: str
    width: int
    height: int


@dataclasses.dataclass(frozen=True)
class Tile(EmbeddedImage):
    """Holds a small image of a gallery, and the lines of text below it."""

    lines: tuple[str, ...]
    width: int
    height: int


@dataclasses.dataclass(frozen=True)
class TileGroup:
    """Holds images that belong together, and what joins them; "" where they only stand in a row."""

    tiles: tuple[Tile, ...]
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """Holds a heading and what is below it; `folded` tables are shown on a click."""

    name: str
    title: str
    paragraphs: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    pictures: tuple[Picture, ...] = ()
    folded: tuple[Table, ...] = ()
    points: tuple[str, ...] = ()
    """Items of a list."""
    commands: tuple[str, ...] = ()
    groups: tuple[TileGroup, ...] = ()
    """Small images, in as many columns as the window has room for."""

    @property
    def empty(self) -> bool:
        """Whether the section has nothing but paragraphs."""
        parts = (self.tables, self.figures, self.pictures, self.folded, self.points, self.commands, self.groups)
        return not any(parts)


@dataclasses.dataclass(frozen=True)
class Page:
    """Holds a page: the `result` in one sentence, `remarks` on the runs, sections in order."""

    title: str
    result: str
    made: str
    sections: tuple[Section, ...]
    note: str = ""
    remarks: tuple[str, ...] = ()
    brand: str = "doublevit report"


def render(page: Page) -> str:
    """Return a self-contained HTML document: style and script are inside, nothing is fetched."""
    sections = [section for section in page.sections if not section.empty]
    return TEMPLATES.get_template("page.html").render(page=page, sections=sections, letter=letter)


def _data_url(image: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(image).decode()}"
