"""Figures inside an HTML page: they take the page's colors and have no ids in common with others."""

import hashlib
import io
import re
from xml.etree import ElementTree

from matplotlib.figure import Figure

from doublevit.report.plots.style import DARK, reproducible, use_every_font

INK = {"black", "#000000", DARK.lower()}  # axes and text, in the color of the page
PAPER = {"white", "#ffffff"}  # gaps and hollow markers, which become transparent
GLOBAL = "stroke-linejoin: round; stroke-linecap: butt; fill: currentColor"  # what is drawn without a color is ink


def inline_svg(figure: Figure, label: str) -> str:
    """Return a figure as an <svg> element for an HTML page, the same text for the same figure.

    It has no size (CSS scales it), no background, and no ids in common with other figures of the page. Axes and text
    take the page's color, so that they can be read on light and dark pages.

    Args:
        figure: the figure; black, "#222222" and white are replaced, other colors stay.
        label: the text for those who cannot see it.
    """
    buffer = io.StringIO()
    use_every_font(figure)
    with reproducible():
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())  # noqa: S314 (it is our own)
    for element in list(root.iter()):
        for child in list(element):
            if _local(child.tag) in ("metadata", "style"):  # its <style> would apply to the whole page
                element.remove(child)
        element.tag = _local(element.tag)
        _set_colors(element)
    prefix = "p" + hashlib.sha256(ElementTree.tostring(root)).hexdigest()[:10] + "-"
    for element in root.iter():
        _rename(element, prefix)
    root.attrib = {
        "xmlns": "http://www.w3.org/2000/svg",
        "role": "img",
        "aria-label": label,
        "viewBox": root.attrib["viewBox"],
        "style": GLOBAL,
    }
    return ElementTree.tostring(root, encoding="unicode")


def _local(name: str) -> str:
    """Return a name without its namespace, which HTML does not know."""
    return name.rpartition("}")[2]


def _set_colors(element: ElementTree.Element) -> None:
    for name in ("fill", "stroke"):
        if name in element.attrib:
            element.set(name, _color(element.attrib[name]))
    if "style" in element.attrib:
        pairs = (part.partition(":") for part in element.attrib["style"].split(";") if part.strip())
        element.set(
            "style", "; ".join(f"{name.strip()}: {_value(name.strip(), value.strip())}" for name, _, value in pairs)
        )


def _value(name: str, value: str) -> str:
    return _color(value) if name in ("fill", "stroke") else value


def _color(value: str) -> str:
    if value in INK:
        return "currentColor"
    return "none" if value in PAPER else value


def _rename(element: ElementTree.Element, prefix: str) -> None:
    """Put a prefix before ids and all references to them."""
    changed = {}
    for name, value in element.attrib.items():
        match _local(name):
            case "id":
                changed["id"] = prefix + value
            case "href":
                changed["href"] = re.sub("^#", f"#{prefix}", value)
            case other:
                changed[other] = value.replace("url(#", f"url(#{prefix}")
    element.attrib = changed
