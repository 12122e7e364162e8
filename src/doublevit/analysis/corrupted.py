"""Accuracy on corrupted images, group by group of corruptions."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

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
from doublevit.analysis.scores import Options, Score, options_of_all, row_score
from doublevit.corrupted_sets.config import GROUPS
from doublevit.runs.conditions import Clean, Corruption, CorruptionSource
from doublevit.runs.row import Row
from doublevit.statistics import Estimate, mean_accuracy, relative_change

TITLES = {
    "paper": "the paper's five corruptions",
    "common": "the fifteen common corruptions",
    "validation": "the four validation corruptions",
}
"""The groups that have names."""
Cells = Mapping[tuple[str, int], Row]
"""Rows of top-1 by corruption and severity."""


@dataclasses.dataclass(frozen=True)
class CorruptionGroup:
    """Some corruptions, home-made or of a published set; `name` is for files, `title` for people."""

    name: str
    title: str
    corruptions: tuple[str, ...]
    published: bool = False


def named_group(name: str, *, published: bool = False) -> CorruptionGroup:
    """One of the groups that have names."""
    return _group(name, TITLES[name], GROUPS[name], published=published)


def other_group(corruptions: tuple[str, ...], *, published: bool = False) -> CorruptionGroup:
    """A group of any other corruptions."""
    title = " and ".join(filter(None, [", ".join(corruptions[:-1]), corruptions[-1]])).replace("_", " ")
    return _group("-".join(corruptions), title, corruptions, published=published)


def _group(name: str, title: str, corruptions: tuple[str, ...], *, published: bool) -> CorruptionGroup:
    suffix, words = ("-published", " (published set)") if published else ("", "")
    return CorruptionGroup(name + suffix, title + words, corruptions, published)


@dataclasses.dataclass(frozen=True)
class CorruptedScores:
    """A network on a group of corruptions, all at the same severities; `clean` on the same images where they are.

    `cells` are in the order of the group; `frost` names the textures, where the group has frost.
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
        """The first of the cells."""
        return next(iter(self.cells.values()))

    @property
    def severities(self) -> tuple[int, ...]:
        """The severities that all corruptions were measured at."""
        return tuple(sorted({severity for _, severity in self.cells}))

    @property
    def matched(self) -> bool:
        """Whether the corrupted images are the clean ones."""
        return not is_published(self.first)

    @property
    def comparison_key(self) -> str:
        """The same for what may be compared: images, set, severities, and which clean images there are beside them."""
        facts = images_key(self.first), self.source, self.frost, self.severities, images_key(self.clean)
        return comparison_key(*facts)

    @property
    def description(self) -> str:
        """Images, set and severities in words; of a published set, also which clean images they are compared with."""
        source = describe_source(self.source, self.frost)
        parts = [describe_images(self.first), source, describe_severities(self.severities)]
        if images_key(self.clean) != images_key(self.first):
            parts.append(f"clean accuracy of {describe_images(self.clean)}")
        return ", ".join(parts)

    def clean_score(self) -> Score:
        """Accuracy on the clean images."""
        return row_score(self.model, self.clean, self.comparison_key, self.description)

    def mean(self, corruption: str | None = None, severity: int | None = None) -> Score:
        """Mean accuracy over the cells of a corruption, or of a severity, or over all."""
        rows = [
            row
            for (name, strength), row in self.cells.items()
            if corruption in (None, name) and severity in (None, strength)
        ]
        if len(rows) == 1:
            return row_score(self.model, rows[0], self.comparison_key, self.description)
        correct = self._correct(rows)
        if correct is None:
            value = float(np.mean([row.value for row in rows]))
            return self.score(Estimate(value, float("nan"), float("nan")))
        return self.score(mean_accuracy(correct, self.matched), correct.mean(axis=0))

    def change(self) -> Score | None:
        """The paper's % change: of the mean over all cells against the clean accuracy, as a fraction of that."""
        pair = self.clean_and_cells()
        return self.score(relative_change(*pair, matched=self.matched)) if pair else None

    def clean_and_cells(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Whether clean images were recognized, bool (M,), and those of the cells, bool (C, N); None if none can be."""
        clean, correct = self.model.correct(self.clean), self.correct()
        return (clean, correct) if clean is not None and correct is not None and clean.any() else None

    def correct(self) -> np.ndarray | None:
        """Whether the images of all cells were recognized, bool (C, N)."""
        return self._correct(list(self.cells.values()))

    def score(self, estimate: Estimate, per_image: np.ndarray | None = None) -> Score:
        """Something that was worked out of the cells."""
        return Score(
            *(estimate.value, estimate.low, estimate.high, self.first.count),
            comparison_key=self.comparison_key,
            description=self.description,
            precision=self.first.precision,
            per_image=per_image,
            seed=self.seed,
        )

    def _correct(self, rows: Sequence[Row]) -> np.ndarray | None:
        there = [correct for row in rows if (correct := self.model.correct(row)) is not None]
        return np.stack(there) if len(there) == len(rows) else None


def corrupted_scores(model: EvaluatedModel, group: CorruptionGroup) -> Options[CorruptedScores]:
    """A group of corruptions where all were measured at the same severities, by what may be compared."""
    whole = {}
    for source, frost, cells in _measured_cells(model, group):
        severities = _common_severities(cells, group.corruptions)
        kept = {(name, severity): cells[name, severity] for name in group.corruptions for severity in severities}
        if kept and (clean := _clean_beside(model, next(iter(kept.values())))):
            scores = CorruptedScores(model, clean, kept, source, frost)
            whole[scores.comparison_key] = (scores.first.count, scores)
    return whole


def measured_groups(methods: Sequence[Method]) -> list[CorruptionGroup]:
    """The groups of corruptions that any was measured on whole; of one that has none whole, all that it has."""
    by_name = [named_group(name, published=published) for published in (False, True) for name in TITLES]
    groups = dict.fromkeys(group for group in by_name if any(_has(method, group) for method in methods))
    for method in methods:
        for published in (False, True):
            whole = any(_has(method, group) for group in by_name if group.published == published)
            cells = _top1_cells(method.first, published=published)
            if cells and not whole:
                other = other_group(tuple(dict.fromkeys(cell.corruption for _, cell in cells)), published=published)
                groups |= dict.fromkeys([other] if _has(method, other) else [])
    return list(groups)


def _has(method: Method, group: CorruptionGroup) -> bool:
    return bool(options_of_all(method, lambda member: corrupted_scores(member, group)))


def _top1_cells(model: EvaluatedModel, *, published: bool) -> list[tuple[Row, Corruption]]:
    return [pair for pair in model.rows_of(Corruption, "top-1") if is_published(pair[0]) == published]


def _measured_cells(
    model: EvaluatedModel, group: CorruptionGroup
) -> Iterator[tuple[CorruptionSource, str | None, Cells]]:
    """The cells of a group that were measured alike, with their source, and the frost of those that have any."""
    alike: dict[str, list[tuple[Row, Corruption]]] = {}
    for row, cell in _top1_cells(model, published=group.published):
        if cell.corruption in group.corruptions:
            alike.setdefault(comparison_key(images_key(row), cell.source, row.precision), []).append((row, cell))
    for pairs in alike.values():
        textures: list[str | None] = list(dict.fromkeys(cell.frost for _, cell in pairs if cell.frost)) or [None]
        for frost in textures:
            cells = {(cell.corruption, cell.severity): row for row, cell in pairs if cell.frost in (None, frost)}
            yield pairs[0][1].source, frost, cells


def _common_severities(cells: Cells, names: Sequence[str]) -> list[int]:
    """The severities at which every corruption was measured."""
    severities = sorted({severity for _, severity in cells})
    return [severity for severity in severities if all((name, severity) in cells for name in names)]


def _clean_beside(model: EvaluatedModel, cell: Row) -> Row | None:
    """The clean images that a cell is compared with, in the same precision: its own, of a published set the most."""
    rows = [row for row, _ in model.rows_of(Clean, "top-1") if row.precision == cell.precision]
    if is_published(cell):
        return max(rows, key=lambda row: row.count, default=None)
    return next((row for row in reversed(rows) if images_key(row) == images_key(cell)), None)
