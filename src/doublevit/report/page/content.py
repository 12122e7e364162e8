"""What stands on the page, and its HTML. Words are escaped; the plots' SVG, which is ours, is taken as it is."""

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
    """A plot: its SVG element, what it shows, and the most pixels that it is to be wide."""

    svg: str
    caption: str
    width: int


@dataclasses.dataclass(frozen=True)
class Picture:
    """A gallery as the bytes of a WebP image; `description` is read out to those who cannot see it."""

    image: bytes
    caption: str
    description: str
    width: int
    height: int

    @property
    def source(self) -> str:
        """The image inside the page."""
        return f"data:image/webp;base64,{base64.b64encode(self.image).decode()}"


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and what is below it; `folded` tables are shown when asked for."""

    name: str
    title: str
    paragraphs: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    pictures: tuple[Picture, ...] = ()
    folded: tuple[Table, ...] = ()
    points: tuple[str, ...] = ()
    """A list."""
    commands: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing is there to be shown but words about it."""
        parts = (self.tables, self.figures, self.pictures, self.folded, self.points, self.commands)
        return not any(parts)


@dataclasses.dataclass(frozen=True)
class Page:
    """The whole: `result` in one sentence, `remarks` on the files, sections in order."""

    title: str
    result: str
    made: str
    sections: tuple[Section, ...]
    note: str = ""
    remarks: tuple[str, ...] = ()


def render(page: Page) -> str:
    """One self-contained HTML document: style and script inside, nothing fetched."""
    sections = [section for section in page.sections if not section.empty]
    return TEMPLATES.get_template("page.html").render(page=page, sections=sections, letter=letter)
