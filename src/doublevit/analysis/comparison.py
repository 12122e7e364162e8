"""Methods with the choices made of what is compared with what, for tables, plots, the sentence and the page."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

from doublevit.analysis.attacked import (
    AttackKey,
    AttackSetting,
    TransferMatrix,
    attack_settings,
    measured_attacks,
    transfer_matrices,
)
from doublevit.analysis.corrupted import CorruptedScores, CorruptionGroup, corrupted_scores, measured_groups
from doublevit.analysis.costs import Costs, costs
from doublevit.analysis.descriptions import images_key
from doublevit.analysis.differences import Difference, Differences, compare_clean, differences, negated
from doublevit.analysis.evaluated import EvaluatedModel, Method
from doublevit.analysis.scores import Score, ScoreColumn, choose, options_of_all, row_score, same_seeds
from doublevit.runs.conditions import Clean, CorruptionMean, Transfer
from doublevit.runs.row import Row
from doublevit.statistics import relative_error

MOST_RUNS = 6
"""Runs of which each has plots and galleries of its own, so that a page of many stays small."""


@dataclasses.dataclass(frozen=True)
class CorruptedComparison:
    """All methods on a group of corruptions: of each method one of each seed, () where it was not measured.

    `baseline` is the index of the method that errors are divided by.
    """

    group: CorruptionGroup
    scores: tuple[tuple[CorruptedScores, ...], ...]
    baseline: int
    repeated: frozenset[int] = frozenset()

    @functools.cached_property
    def usual(self) -> CorruptedScores:
        """Those of the first method that was measured as most were."""
        return next(own[0] for index, own in enumerate(self.scores) if self.clean.is_usual(index))

    @property
    def severities(self) -> list[int]:
        """The severities at which any was measured."""
        return sorted({severity for own in self.scores if own for severity in own[0].severities})

    @functools.cached_property
    def clean(self) -> ScoreColumn:
        """Accuracy on clean images, the same as the corrupted ones where these are the run's own."""
        return self._column(CorruptedScores.clean_score)

    @functools.cached_property
    def average(self) -> ScoreColumn:
        """Mean accuracy over all corruptions and severities."""
        return self._column(CorruptedScores.mean)

    @functools.cached_property
    def change(self) -> ScoreColumn:
        """The paper's % change, as a fraction."""
        return self._column(CorruptedScores.change)

    def of_corruption(self, name: str) -> ScoreColumn:
        """Mean accuracy over the severities of a corruption."""
        return self._column(lambda scores: scores.mean(name))

    def at_severity(self, severity: int) -> ScoreColumn:
        """Mean accuracy over the corruptions at a severity."""
        return self._column(lambda own: own.mean(severity=severity) if severity in own.severities else None)

    @functools.cached_property
    def relative_error(self) -> ScoreColumn:
        """Mean over corruptions of the error summed over severities, divided by the baseline's."""
        base = self.scores[self.baseline]
        pairs = [same_seeds(own, base) if own and base else [] for own in self.scores]
        ratios = [tuple(score for pair in several if (score := _relative_error(*pair))) for several in pairs]
        return ScoreColumn(tuple(ratios), rising=False, repeated=self.repeated)

    def _column(self, read: Callable[[CorruptedScores], Score | None]) -> ScoreColumn:
        scores = [tuple(score for each in own if (score := read(each))) for own in self.scores]
        return ScoreColumn(tuple(scores), repeated=self.repeated)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Methods, in the order in which they were named, with the choices made of what is compared with what.

    `baseline` is the index of the method that the others are compared with. `title` is that of the whole; `note`, what
    a study says of itself; `remarks`, what must be said of the files. What is measured is aligned with the methods.
    """

    title: str
    methods: tuple[Method, ...]
    baseline: int = 0
    note: str = ""
    remarks: tuple[str, ...] = ()

    @functools.cached_property
    def repeated(self) -> frozenset[int]:
        """The indices of methods that are the same run as another."""
        return frozenset(index for index, method in enumerate(self.methods) if method.same_as)

    @functools.cached_property
    def as_trained(self) -> tuple[int, ...]:
        """The indices of methods without other uses of the same networks; all where there are no others."""
        indices = tuple(index for index, method in enumerate(self.methods) if method.first.as_trained)
        return indices or tuple(range(len(self.methods)))

    @functools.cached_property
    def alone(self) -> tuple[int, ...]:
        """The indices of the methods that show each network once, as it was trained."""
        return tuple(index for index in self.as_trained if index not in self.repeated)

    @property
    def shown_alone(self) -> tuple[Method, ...]:
        """The methods that plots and galleries of single networks are about: those of `alone`."""
        return tuple(self.methods[index] for index in self.alone)

    @property
    def members(self) -> tuple[EvaluatedModel, ...]:
        """The networks of all methods."""
        return tuple(member for method in self.methods for member in method.members)

    @functools.cached_property
    def clean(self) -> Mapping[str, ScoreColumn]:
        """Top-1, top-3 and top-5 on clean images, where they can be on the same ones."""
        chosen = choose([options_of_all(method, _clean_rows) for method in self.methods])
        return {metric: self._clean_column(metric, chosen) for metric in ("top-1", "top-3", "top-5")}

    @functools.cached_property
    def corrupted(self) -> tuple[CorruptedComparison, ...]:
        """Every group of corruptions that any method was measured on."""
        return tuple(self._corrupted(group) for group in measured_groups(self.methods))

    @functools.cached_property
    def attacks(self) -> Mapping[AttackKey, tuple[AttackSetting, ...]]:
        """Every attack with the settings that methods, as they were trained, were measured in; the usual one first."""
        kept = [self.methods[index] for index in self.as_trained]
        return {attack: tuple(map(self._aligned, attack_settings(kept, attack))) for attack in measured_attacks(kept)}

    @functools.cached_property
    def transfers(self) -> tuple[TransferMatrix, ...]:
        """Images made on one method and shown to another, by attack and epsilon."""
        labels: dict[str, str] = {}
        for method in self.methods:
            labels.setdefault(method.first.run.name, method.label)
        shown = ((method.label, row) for method in self.shown_alone for row, _ in method.first.rows_of(Transfer))
        return tuple(transfer_matrices(shown, labels))

    @functools.cached_property
    def costs(self) -> tuple[Costs, ...]:
        """Speed, memory, size and seconds of an epoch, of the first seed."""
        return tuple(costs(method.first) for method in self.methods)

    @functools.cached_property
    def means(self) -> tuple[tuple[Method, Row, CorruptionMean], ...]:
        """What was aggregated over corruptions when it was measured, of the first seed of each method."""
        return tuple((method, *pair) for method in self.methods for pair in method.first.rows_of(CorruptionMean))

    @functools.cached_property
    def differences(self) -> Differences:
        """All methods against the baseline: clean, and on the first group of corruptions."""
        corrupted = self.corrupted[0] if self.corrupted else None
        group, scores = (corrupted.group, corrupted.scores) if corrupted else (None, ())
        return differences(self.methods, self.baseline, self.clean["top-1"].scores, group, scores)

    def lead(self, index: int, other: int) -> Difference | None:
        """How much more accurate on clean images a method is than another; corrected where one is the baseline."""
        of_family = self.differences.by_measure["clean"]
        if other == self.baseline:
            return of_family[index]
        if index == self.baseline:
            return negated(of_family[other])
        scores = self.clean["top-1"].scores
        return compare_clean(scores[index], scores[other])

    def _clean_column(self, metric: str, chosen: Sequence[Sequence[Mapping[str, Row]] | None]) -> ScoreColumn:
        columns = []
        for method, rows in zip(self.methods, chosen, strict=True):
            pairs = list(zip(method.members, rows or (), strict=False))
            whole = all(metric in own for _, own in pairs)
            columns.append(tuple(row_score(member, own[metric]) for member, own in pairs) if whole else ())
        return ScoreColumn(tuple(columns), repeated=self.repeated)

    def _corrupted(self, group: CorruptionGroup) -> CorruptedComparison:
        chosen = choose(
            [options_of_all(method, lambda member: corrupted_scores(member, group)) for method in self.methods]
        )
        return CorruptedComparison(group, tuple(scores or () for scores in chosen), self.baseline, self.repeated)

    def _aligned(self, setting: AttackSetting) -> AttackSetting:
        """A setting of the methods as trained, with () for all others."""
        by_index = dict(zip(self.as_trained, setting.scores, strict=True))
        return dataclasses.replace(setting, scores=tuple(by_index.get(i, ()) for i in range(len(self.methods))))


def _clean_rows(model: EvaluatedModel) -> dict[str, tuple[int, dict[str, Row]]]:
    """Rows of clean images by metric, by which images they are of."""
    found: dict[str, dict[str, Row]] = {}
    for row, _ in model.rows_of(Clean):
        found.setdefault(images_key(row), {})[row.metric] = row
    return {key: (next(iter(rows.values())).count, rows) for key, rows in found.items()}


def _relative_error(scores: CorruptedScores, base: CorruptedScores) -> Score | None:
    correct, others = scores.correct(), base.correct()
    if scores.comparison_key != base.comparison_key or correct is None or others is None:
        return None
    try:
        estimate = relative_error(correct, others, [name for name, _ in scores.cells])
    except ValueError:  # the reference makes no error on some corruption
        return None
    return scores.score(estimate)
