"""HTML from the page's content. All words are escaped; only the plots' SVG, which is ours, is taken as it is."""

import jinja2

from doublevit.report.page.content import Page
from doublevit.report.table import letter

TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("doublevit.report.page"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(page: Page) -> str:
    """One self-contained HTML document: style and script inside, nothing fetched."""
    sections = [section for section in page.sections if not section.empty]
    return TEMPLATES.get_template("page.html").render(page=page, sections=sections, letter=letter)
