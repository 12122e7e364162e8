"""Formats of tables, for people and programs."""

from collections.abc import Callable

from doublevit.report.formats.latex import latex
from doublevit.report.formats.markdown import markdown
from doublevit.report.formats.plain import as_csv, as_json
from doublevit.report.formats.terminal import fitted, print_tables, terminal
from doublevit.report.table import Table

FORMATS: dict[str, tuple[str, Callable[[Table], str]]] = {
    "markdown": ("md", markdown),
    "latex": ("tex", latex),
    "csv": ("csv", as_csv),
    "json": ("json", as_json),
}
"""Suffix of the file and the function that makes its text, by format."""

__all__ = ["FORMATS", "fitted", "print_tables", "terminal"]
