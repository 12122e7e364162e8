r"""Fonts for letters beyond ASCII: matplotlib's DejaVu Sans (Greek, Cyrillic, accents), and the system's for the rest.

Chinese, Japanese and Korean are drawn if a font that has them is installed. What no font has is written as an escape
that can be read and looked up, such as \u4e2d, instead of an empty box.
"""

import functools
import re
import textwrap
import unicodedata
from typing import Any

from PIL import ImageDraw, ImageFont

WELL_KNOWN = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans SC", "Noto Sans JP", "Noto Sans KR",
    "Source Han Sans SC", "Source Han Sans", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback",
    "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo", "Microsoft YaHei", "SimHei", "Yu Gothic", "Malgun Gothic",
    "Arial Unicode MS", "Noto Sans", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai",
)  # fmt: skip
"""Families that are looked for, by preference; they have scripts that DejaVu Sans lacks."""
ASCII = 128  # the letters that Pillow's own font has
UNITS = re.compile(r"\\u[0-9a-f]{4}|\\U[0-9a-f]{8}|.")
WIDER = 1.2  # letters of DejaVu Sans and digits of escapes, in average letters of Pillow's own font


@functools.cache
def families() -> tuple[str, ...]:
    """Return DejaVu Sans and those of `WELL_KNOWN` that are installed."""
    from matplotlib.font_manager import fontManager  # slow, and few names need it

    return ("DejaVu Sans", *(name for name in WELL_KNOWN if name in set(fontManager.get_font_names())))


@functools.cache
def font_file(family: str) -> str:
    """Return the file of an installed family."""
    from matplotlib.font_manager import findfont

    return str(findfont(family))


@functools.cache
def letters_of(family: str) -> frozenset[int]:
    """Return the code points that a family has."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(font_file(family)).get_charmap())


def readable(text: str) -> str:
    r"""Return `text` with escapes such as \u4e2d in the place of the letters that no font has."""
    if text.isascii():
        return text
    return "".join(
        letter if _has(ord(letter)) else _escape(ord(letter)) for letter in unicodedata.normalize("NFC", text)
    )


def _has(code: int) -> bool:
    return code < ASCII or any(code in letters_of(family) for family in families())


def _escape(code: int) -> str:
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


def wrap(text: str, width: int) -> list[str]:
    """Break a text, made readable, into lines as wide as `width` average letters: at spaces, else within words.

    Wide letters of CJK count as two; an escape stays whole.
    """
    if text.isascii():
        return textwrap.wrap(text, width)
    lines: list[str] = []
    line, used = "", 0.0
    for unit in UNITS.findall(" ".join(readable(text).split())):
        size = 2 if _is_wide(unit) else WIDER * len(unit)
        if used + size > width and line:
            full, space, rest = line.rpartition(" ")
            lines.append(full if space else line)
            line = rest if space else ""
            used = sum(2 if _is_wide(letter) else WIDER for letter in line)
        line, used = line + unit, used + size
    return [*lines, line] if line else lines


def _is_wide(unit: str) -> bool:
    return len(unit) == 1 and unicodedata.east_asian_width(unit) in ("W", "F")


def draw_text(draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size: int = 10, **options: Any) -> None:
    """Draw a text, of several lines perhaps, in the first font that has its letters; `options` as Pillow's."""
    text = readable(text)
    draw.text(place, text, font=_font(text, size), **options)


def _font(text: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    codes = {ord(letter) for letter in text if not letter.isspace()}
    if max(codes, default=0) < ASCII:
        return ImageFont.load_default(size)
    best = max(families(), key=lambda family: len(codes & letters_of(family)))  # the first of equals
    return ImageFont.truetype(font_file(best), size)
