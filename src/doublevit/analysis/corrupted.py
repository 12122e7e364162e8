"""Accuracy of models on groups of corruptions."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from doublevit.analysis.descriptions import (
    comparison_key,
    describe_images,
    describe_severities,
    describe_source,
    images_key,
    is_published,
)
from doublevit.analysis.evaluated import EvaluatedModel, Method
from doublevit.analysis.scores import Options, Score, row_score, shared_options
from doublevit.corrupted_sets.config import GROUPS
from doublevit.corruptions import SEVERITIES
from doublevit.corruptions.config import IMAGENET
from doublevit.data.imagenet_sets import CLASSES, WNID
from doublevit.runs.conditions import Clean, Corruption, CorruptionSource
from doublevit.runs.model_info import AMONG, FILE, read_info
from doublevit.runs.row import Row
from doublevit.statistics import Estimate, mean_accuracy, relative_change
from doublevit.statistics.robustness import ALEXNET_ERRORS, alexnet_relative_error

ALEXNET_SIDE = 224  # pixels of the images that AlexNet was measured on
TITLES = {
    "paper": "the paper's five corruptions",
    "common": "the fifteen common corruptions",
    "validation": "the four validation corruptions",
}
"""Titles of the named groups of `GROUPS`."""
Cells = Mapping[tuple[str, int], Row]
"""Rows of top-1 by corruption and severity."""


@dataclasses.dataclass(frozen=True)
class CorruptionGroup:
    """Names corruptions, home-made or of a published set: `name` is for file names, `title` for captions."""

    name: str
    title: str
    corruptions: tuple[str, ...]
    published: bool = False


def named_group(name: str, *, published: bool = False) -> CorruptionGroup:
    """Return the group of a name in `TITLES`."""
    return _group(name, TITLES[name], GROUPS[name], published=published)


def other_group(corruptions: tuple[str, ...], *, published: bool = False) -> CorruptionGroup:
    """Return a group of any corruptions, named after them."""
    title = " and ".join(filter(None, [", ".join(corruptions[:-1]), corruptions[-1]])).replace("_", " ")
    return _group("-".join(corruptions), title, corruptions, published=published)


def _group(name: str, title: str, corruptions: tuple[str, ...], *, published: bool) -> CorruptionGroup:
    suffix, words = ("-published", " (published set)") if published else ("", "")
    return CorruptionGroup(name + suffix, title + words, corruptions, published)


@dataclasses.dataclass(frozen=True)
class CorruptedScores:
    """Holds a model's rows on a group of corruptions at the same severities, and the row of its `clean` images.

    `cells` are in the order of the group; `frost` names the textures, where the group has frost. Clean images are those
    of the cells where the set is home-made.
    """

    model: EvaluatedModel
    clean: Row
    cells: Cells
    source: CorruptionSource
    frost: str | None = None

    @property
    def seed(self) -> int:
        """The seed of the training run."""
        return self.model.seed

    @property
    def first(self) -> Row:
        """The row of the first cell."""
        return next(iter(self.cells.values()))

    @property
    def severities(self) -> tuple[int, ...]:
        """The severities of the cells, rising."""
        return tuple(sorted({severity for _, severity in self.cells}))

    @property
    def matched(self) -> bool:
        """Whether the corrupted images are the clean ones."""
        return not is_published(self.first)

    @property
    def comparison_key(self) -> str:
        """A key that is the same for the same images, set and severities, with the same clean images beside them."""
        facts = images_key(self.first), self.source, self.frost, self.severities, images_key(self.clean)
        return comparison_key(*facts)

    @property
    def description(self) -> str:
        """Images, set and severities in words; for a published set, also the clean images."""
        source = describe_source(self.source, self.frost)
        parts = [describe_images(self.first), source, describe_severities(self.severities)]
        if images_key(self.clean) != images_key(self.first):
            parts.append(f"clean accuracy of {describe_images(self.clean)}")
        return ", ".join(parts)

    def clean_score(self) -> Score:
        """Return the accuracy on the clean images."""
        return row_score(self.model, self.clean, self.comparison_key, self.description)

    def mean(self, corruption: str | None = None, severity: int | None = None) -> Score:
        """Return the mean accuracy over all cells, or over those of a corruption or of a severity."""
        rows = [
            row for cell, row in self.cells.items() if corruption in (None, cell[0]) and severity in (None, cell[1])
        ]
        if len(rows) == 1:
            return row_score(self.model, rows[0], self.comparison_key, self.description)
        correct = self._correct(rows)
        if correct is None:
            value = float(np.mean([row.value for row in rows]))
            return self.score(Estimate(value, float("nan"), float("nan")))
        return self.score(mean_accuracy(correct, self.matched), correct.mean(axis=0))

    def change(self) -> Score | None:
        """Return the paper's % change of the mean over all cells, as a fraction; None where it has no value."""
        pair = self.clean_and_cells()
        return self.score(relative_change(*pair, matched=self.matched)) if pair else None

    def clean_and_cells(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return what was recognized: clean images, bool (M,), and cells, bool (C, N).

        None where predictions are missing, or where no clean image was recognized.
        """
        clean, correct = self.model.correct(self.clean), self.correct()
        return (clean, correct) if clean is not None and correct is not None and clean.any() else None

    def correct(self) -> np.ndarray | None:
        """Return whether each image was recognized in each cell, bool (C, N); None where predictions are missing."""
        return self._correct(list(self.cells.values()))

    def score(self, estimate: Estimate, per_image: np.ndarray | None = None) -> Score:
        """Return an estimate from the cells as a score."""
        return Score(
            *(estimate.value, estimate.low, estimate.high, self.first.count),
            comparison_key=self.comparison_key,
            description=self.description,
            precision=self.first.precision,
            per_image=per_image,
            seed=self.seed,
        )

    def _correct(self, rows: Sequence[Row]) -> np.ndarray | None:
        known = [correct for row in rows if (correct := self.model.correct(row)) is not None]
        return np.stack(known) if len(known) == len(rows) else None


def corrupted_scores(model: EvaluatedModel, group: CorruptionGroup) -> Options[CorruptedScores]:
    """Return a model's scores on a group, at the severities it has of every corruption, by comparison key."""
    options = {}
    for source, frost, cells in _measured_cells(model, group):
        severities = _common_severities(cells, group.corruptions)
        common = {(name, severity): cells[name, severity] for name in group.corruptions for severity in severities}
        if common and (clean := _clean_row(model, next(iter(common.values())))):
            scores = CorruptedScores(model, clean, common, source, frost)
            options[scores.comparison_key] = (scores.first.count, scores)
    return options


def measured_groups(methods: Sequence[Method]) -> list[CorruptionGroup]:
    """List the named groups that a method was measured on completely; for one that has none, all its corruptions."""
    named = [named_group(name, published=published) for published in (False, True) for name in TITLES]
    groups = dict.fromkeys(group for group in named if any(_has_all_of(method, group) for method in methods))
    for method in methods:
        for published in (False, True):
            has_named = any(_has_all_of(method, group) for group in named if group.published == published)
            cells = _top1_cells(method.first, published=published)
            if cells and not has_named:
                other = other_group(tuple(dict.fromkeys(cell.corruption for _, cell in cells)), published=published)
                groups |= dict.fromkeys([other] if _has_all_of(method, other) else [])
    return list(groups)


def _has_all_of(method: Method, group: CorruptionGroup) -> bool:
    return bool(shared_options(method, lambda member: corrupted_scores(member, group)))


def _top1_cells(model: EvaluatedModel, *, published: bool) -> list[tuple[Row, Corruption]]:
    return [pair for pair in model.rows_of(Corruption, "top-1") if is_published(pair[0]) == published]


def _measured_cells(
    model: EvaluatedModel, group: CorruptionGroup
) -> Iterator[tuple[CorruptionSource, str | None, Cells]]:
    """Yield source, frost textures and cells of a group, for all that share images, set, precision and textures."""
    by_key: dict[str, list[tuple[Row, Corruption]]] = {}
    for row, cell in _top1_cells(model, published=group.published):
        if cell.corruption in group.corruptions:
            by_key.setdefault(comparison_key(images_key(row), cell.source, row.precision), []).append((row, cell))
    for pairs in by_key.values():
        textures: list[str | None] = list(dict.fromkeys(cell.frost for _, cell in pairs if cell.frost)) or [None]
        for frost in textures:
            cells = {(cell.corruption, cell.severity): row for row, cell in pairs if cell.frost in (None, frost)}
            yield pairs[0][1].source, frost, cells


def _common_severities(cells: Cells, names: Sequence[str]) -> list[int]:
    """Return the severities at which every corruption was measured, rising."""
    severities = sorted({severity for _, severity in cells})
    return [severity for severity in severities if all((name, severity) in cells for name in names)]


def _clean_row(model: EvaluatedModel, cell: Row) -> Row | None:
    """Return the clean row of a cell's images in its precision; for a published set, that of the most clean images."""
    rows = [row for row, _ in model.rows_of(Clean, "top-1") if row.precision == cell.precision]
    if is_published(cell):
        return max(rows, key=lambda row: row.count, default=None)
    return next((row for row in reversed(rows) if images_key(row) == images_key(cell)), None)


def alexnet_score(scores: CorruptedScores) -> Score | None:
    """Return the mCE relative to AlexNet; None where AlexNet was measured on something else, or predictions miss.

    It was measured on the fifteen common corruptions at five severities, on images of 224 pixels of ImageNet's thousand
    classes, all of which it was asked for. Images that were corrupted here, by the same constants, are close to
    ImageNet-C's but not the same.
    """
    if {name for name, _ in scores.cells} != {*ALEXNET_ERRORS} or scores.severities != SEVERITIES:
        return None
    if scores.source.constants != IMAGENET.name or not _is_imagenet(scores.model.run.path):
        return None
    if AMONG in scores.first.model:
        return None
    correct = scores.correct()
    if correct is None:
        return None
    return scores.score(alexnet_relative_error(correct, [name for name, _ in scores.cells]))


@functools.cache
def _is_imagenet(run: Path) -> bool:
    """Return whether a run's model tells ImageNet's thousand classes apart, on images of 224 pixels."""
    if not (run / FILE).is_file():
        return False
    info = read_info(run)
    return info.side == ALEXNET_SIDE and len(info.class_ids) == CLASSES and all(map(WNID.fullmatch, info.class_ids))
