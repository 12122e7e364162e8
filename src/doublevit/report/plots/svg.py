"""A figure as part of an HTML page: it follows the page's colors and gets in the way of nothing else there."""

import hashlib
import io
import re
from xml.etree import ElementTree

from matplotlib.figure import Figure

from doublevit.report.plots.style import DARK, reproducible

INK = {"black", "#000000", DARK.lower()}  # axes and text: of the page's own color
PAPER = {"white", "#ffffff"}  # gaps and hollow markers: nothing
GLOBAL = "stroke-linejoin: round; stroke-linecap: butt; fill: currentColor"  # what is drawn without a color is ink


def inline_svg(figure: Figure, label: str) -> str:
    """A figure as an <svg> element to be put into an HTML page, the same text for the same figure.

    It has no size (CSS scales it), no background, and no ids in common with other figures of the page. Ink and text
    take the page's color, so that they can be read on light and dark pages.

    Args:
        figure: to be drawn; black, "#222222" and white are replaced, other colors stay.
        label: what there is to see, for those who cannot see it.
    """
    buffer = io.StringIO()
    with reproducible():
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())  # noqa: S314 (it is our own)
    for element in list(root.iter()):
        for child in list(element):
            if _local(child.tag) in ("metadata", "style"):  # its style would be that of the whole page
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
    """A name without its namespace, which HTML does not know."""
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
    """Give ids and all that refers to them a prefix."""
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
