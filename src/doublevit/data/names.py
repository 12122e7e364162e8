"""Names of files and folders: their order, which are nobody's images, which mean a split, and how they are printed."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator

SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""What the parts of a data set are called, in any case, with or without "set", "data" or "images" behind it."""
_SPLIT_OF = {word: split for split, words in SPLITS.items() for word in words}
_BEHIND = re.compile(r"[ _-]?(set|data|images|imgs)$")

MADE_BY_SYSTEMS = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "system volume information"}
)
_OTHER = (
    "txt md rst csv tsv json jsonl xml yaml yml toml ini cfg log html htm url lnk nfo readme license py ipynb sh m mat"
    " npy npz pkl pickle pt pth h5 hdf5 parquet arrow db sqlite zip tar gz tgz bz2 xz zst 7z rar md5 sha1 sha256 doc"
    " docx xls xlsx ppt pptx mp3 wav mp4 avi mov mkv webm part crdownload bak tmp"
)
NO_IMAGES = frozenset(f".{suffix}" for suffix in _OTHER.split())
"""Suffixes of files that lie beside images and are none. What has another suffix, or none, is decoded."""
NaturalKey = tuple[list[str | tuple[int, str]], str]
_BIDI = range(0x202A, 0x202F), range(0x2066, 0x206A)


def natural_key(name: str) -> NaturalKey:
    """Return a sort key that orders numbers by value (val_10 after val_9), without ties (1.jpg and 01.jpg)."""
    return [_number(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name


def _number(digits: str) -> tuple[int, str]:
    """Return what orders digits by their value; Python makes no integers of more than 4,300 of them."""
    significant = digits.lstrip("0")
    return len(significant), significant


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden, or made by the operating system and not by the user."""
    return name.startswith(".") or name.lower() in MADE_BY_SYSTEMS


def is_no_image(name: str) -> bool:
    """Return whether a file is no image by the end of its name, such as .txt."""
    return os.path.splitext(name)[1].lower() in NO_IMAGES  # noqa: PTH122  # quicker than Path, of a million files


def split_of(name: str) -> str | None:
    """Return the split that a name means, "train", "val" or "test", as in Training, valid or test_set; None if none."""
    folded = name.casefold()
    return _SPLIT_OF.get(folded) or _SPLIT_OF.get(_BEHIND.sub("", folded))


def printable(name: str) -> str:
    r"""Return a name that can be printed in one line and written as UTF-8: café as it is, a byte 0xe9 as \xe9."""
    if name.isascii() and name.isprintable():
        return name
    return "".join(map(_printable, name))


def _printable(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, as Python carries it in the name of a file
        return f"\\x{code - 0xDC00:02x}"
    if code == 0xFEFF or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or any(code in r for r in _BIDI):
        return character.encode("unicode_escape", "backslashreplace").decode()
    return character


def same_name(name: str) -> str:
    """Return what equal names have in common whatever their case, and composed (é) or not (e and an accent)."""
    return composed(composed(name).casefold())


def composed(name: str) -> str:
    """Return a name with letters and accents in one piece: é instead of e and an accent."""
    return unicodedata.normalize("NFC", name)


def differing_in_case(names: Iterable[str]) -> Iterator[str]:
    """Yield a line on the classes that differ in upper and lower case alone, if there are any."""
    every = list(names)
    folded = Counter(map(same_name, every))
    alike = [name for name in every if folded[same_name(name)] > 1]
    if alike:
        yield f"classes that differ in upper and lower case alone are kept apart: {listed(alike)}"


def listed(names: Iterable[str], count: int = 5) -> str:
    """Return the first few names, printable, as in "cat, dog ..."."""
    every = list(names)
    return ", ".join(map(printable, every[:count])) + (" ..." if len(every) > count else "")
