"""The page: one HTML file that needs nothing but a browser."""

from doublevit.report.page.content import Figure, Page, Picture, Section
from doublevit.report.page.render import render

__all__ = ["Figure", "Page", "Picture", "Section", "render"]
