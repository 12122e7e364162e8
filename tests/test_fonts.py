"""Letters beyond ASCII: drawn where a font has them, else as escapes that can be read."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from doublevit import fonts
from doublevit.data.sheet import captioned_sheet
from doublevit.report.plots import style

NAMES = ("Гепард", "żółw błotny", "γάτα", "naïve café")


@pytest.fixture
def only_dejavu(monkeypatch):
    monkeypatch.setattr(fonts, "families", lambda: ("DejaVu Sans",))


def drawn(text: str) -> np.ndarray:
    sheet = Image.new("L", (400, 20))
    fonts.draw_text(ImageDraw.Draw(sheet), (2, 2), text, fill=255)
    return np.asarray(sheet)


@pytest.mark.parametrize("name", NAMES)
def test_european_letters_are_drawn_and_no_two_alike(name, only_dejavu):
    assert fonts.readable(name) == name
    pictures = {letter: drawn(f"ж{letter}") for letter in set(name) - {" "}}  # all in the same font
    assert len({picture.tobytes() for picture in pictures.values()}) == len(pictures)
    assert not any(np.array_equal(picture, drawn("ж\ufffe")) for picture in pictures.values())


def test_what_no_font_has_is_an_escape(only_dejavu):
    assert fonts.readable("猫 cat") == "\\u732b cat"
    assert fonts.readable("𠀋") == "\\U0002000b"
    assert fonts.readable("cafe\u0301") == "café"
    assert np.array_equal(drawn("猫 cat"), drawn("\\u732b cat"))
    assert style.short("猫") == "\\u732b"


def test_an_installed_font_is_used_where_dejavu_lacks_a_letter(monkeypatch):
    letter = next(code for code in sorted(fonts.letters_of("STIXGeneral") - fonts.letters_of("DejaVu Sans")))
    monkeypatch.setattr(fonts, "families", lambda: ("DejaVu Sans", "STIXGeneral"))
    monkeypatch.setattr(style, "families", fonts.families)
    assert fonts.readable(chr(letter)) == chr(letter)
    assert fonts._font(f"a{chr(letter)}", 10).getname()[0] == "STIXGeneral"
    figure = Figure()
    text = figure.text(0.5, 0.5, chr(letter))
    style.use_every_font(figure)
    assert text.get_fontfamily() == ["DejaVu Sans", "STIXGeneral"]


def test_lines_are_broken_by_width_and_escapes_stay_whole(only_dejavu, monkeypatch):
    assert fonts.wrap("a plain line of words", 10) == ["a plain", "line of", "words"]
    assert fonts.wrap("żółw błotny żyje", 15) == ["żółw błotny", "żyje"]
    assert fonts.wrap("猫猫猫 neko", 15) == ["\\u732b\\u732b", "\\u732b neko"]
    monkeypatch.setattr(fonts, "_has", lambda code: True)
    assert fonts.wrap("猫猫猫猫猫猫", 8) == ["猫猫猫猫", "猫猫"]


@pytest.mark.parametrize("name", [*NAMES, "猫" * 12, "naïve " * 9])
def test_captions_stay_below_their_own_image(name):
    image = np.full((8, 8, 3), 255, np.uint8)
    sheet = np.asarray(captioned_sheet([[(image, [f"true: {name}"]), (image, ["x"])]]))
    assert sheet[194:, 188:194].min() == 255


def test_plain_text_is_drawn_as_before():
    sheet = Image.new("L", (400, 20))
    ImageDraw.Draw(sheet).text((2, 2), "goldfish 12", fill=255, font_size=10)
    assert np.array_equal(drawn("goldfish 12"), np.asarray(sheet))
