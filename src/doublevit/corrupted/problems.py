"""What can be wrong with the cells of a set of files, each in one line."""

import collections
from collections.abc import Iterable

from doublevit.data.tiny_imagenet_c import Cell, PublishedFiles, class_of

WHOLE, WHOLE_CLASSES, DEFECTIVE_CLASSES = 10_000, 200, 1000
PUBLISHED_ADVICE = "fetch the repaired archive, Zenodo 8206060"
WRITTEN_ADVICE = "delete that folder, if it is there, and give doublevit data corrupt again"


def problems(
    files: PublishedFiles,
    cells: Iterable[Cell],
    class_ids: Iterable[str],
    count: int | None = None,
    advice: str = PUBLISHED_ADVICE,
) -> list[str]:
    """What is wrong with the asked-for cells, a line each, with `advice`; empty where all is as it should be.

    `count` is how many photos a cell should have; if not given, 10,000 of 200 classes, or as many as most have.
    """
    expected = frozenset(class_ids)
    usual = collections.Counter(map(_photos, files.cells.values())).most_common(1)[0][0]
    count = count or (WHOLE if len(expected) == WHOLE_CLASSES else len(usual))
    found = ((cell, _problem(files.cells.get(cell, []), usual, expected, count)) for cell in cells)
    return [f"{files.path}: {name}/{severity} {problem}; {advice}" for (name, severity), problem in found if problem]


def _problem(names: list[str], usual: frozenset[str], class_ids: frozenset[str], count: int) -> str:
    """What is wrong with a cell, in a few words, or nothing."""
    if not names:
        return "is missing"
    found = {class_of(name) for name in names}
    if found != class_ids:
        return _wrong_classes(found, class_ids)
    if len(names) != count:
        return f"holds {len(names):,} photos, expected {count:,}"
    other = _photos(names) - usual
    return f"holds other photos than most cells, {min(other)} among them" if other else ""


def _wrong_classes(found: set[str], class_ids: frozenset[str]) -> str:
    if strange := found - class_ids:
        known = " (the defect of frost in Zenodo 2536630)" if len(found) == DEFECTIVE_CLASSES else ""
        return f"holds {len(found):,} classes, {min(strange)} among them, expected {len(class_ids)}{known}"
    absent = class_ids - found
    return f"lacks {len(absent)} of {len(class_ids)} classes, {min(absent)} first"


def _photos(names: Iterable[str]) -> frozenset[str]:
    """Class and file of each name, without the folders above and without what kind of file it is."""
    return frozenset("/".join(name.split("/")[-2:]).rpartition(".")[0] for name in names)
