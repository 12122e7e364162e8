"""Methods aligned in columns of comparable scores, for tables, plots, the sentence and the page."""

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
from doublevit.analysis.corrupted import (
    CorruptedScores,
    CorruptionGroup,
    alexnet_score,
    corrupted_scores,
    measured_groups,
)
from doublevit.analysis.costs import Costs, costs
from doublevit.analysis.descriptions import comparison_key, describe_images, images_key
from doublevit.analysis.differences import Difference, Differences, compare_clean, differences, negated
from doublevit.analysis.evaluated import EvaluatedModel, Method
from doublevit.analysis.scores import Score, ScoreColumn, choose_comparable, row_score, same_seeds, shared_options
from doublevit.runs.conditions import Clean, CorruptionMean, Gap, Transfer
from doublevit.runs.row import Row
from doublevit.statistics import mean_corruption_error

MAX_DETAILED_RUNS = 6
"""As many runs get plots and galleries of their own, so that a page of many stays small."""


CLEAN_METRICS = ("top-1", "top-3", "top-5", "balanced accuracy", "macro-F1")


@dataclasses.dataclass(frozen=True)
class CorruptedComparison:
    """Compares all methods on a group of corruptions, `scores[method][seed]`, () for a method without.

    `baseline` is the index of the method whose errors are the divisors of `mean_corruption_error`.
    """

    group: CorruptionGroup
    scores: tuple[tuple[CorruptedScores, ...], ...]
    baseline: int
    duplicates: frozenset[int] = frozenset()

    @functools.cached_property
    def usual_scores(self) -> CorruptedScores:
        """The scores of the first method with the comparison key that most methods have."""
        return next(seeds[0] for index, seeds in enumerate(self.scores) if self.clean.is_usual(index))

    @property
    def severities(self) -> list[int]:
        """The severities that a method was measured at, rising."""
        return sorted({severity for seeds in self.scores if seeds for severity in seeds[0].severities})

    @functools.cached_property
    def clean(self) -> ScoreColumn:
        """Accuracy on clean images; those of the cells, unless the set is a published one."""
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
        """Return the mean accuracy over the severities of a corruption."""
        return self._column(lambda scores: scores.mean(name))

    def at_severity(self, severity: int) -> ScoreColumn:
        """Return the mean accuracy over the corruptions at a severity."""
        return self._column(lambda scores: scores.mean(severity=severity) if severity in scores.severities else None)

    @functools.cached_property
    def mean_corruption_error(self) -> ScoreColumn:
        """Mean corruption error, with the baseline as reference."""
        base = self.scores[self.baseline]
        errors = [
            tuple(score for pair in same_seeds(seeds, base) if (score := _mean_corruption_error(*pair)))
            for seeds in self.scores
        ]
        return ScoreColumn(tuple(errors), higher_is_better=False, duplicates=self.duplicates)

    @functools.cached_property
    def alexnet_relative_error(self) -> ScoreColumn:
        """Mean corruption error relative to AlexNet's published errors, where these are of the same kind of images."""
        column = self._column(alexnet_score)
        return ScoreColumn(column.scores, higher_is_better=False, duplicates=self.duplicates)

    def _column(self, read: Callable[[CorruptedScores], Score | None]) -> ScoreColumn:
        column = [tuple(score for scores in seeds if (score := read(scores))) for seeds in self.scores]
        return ScoreColumn(tuple(column), duplicates=self.duplicates)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Holds methods in the order in which they were named, with columns of scores aligned with them.

    `baseline` is the index of the method that the others are compared with. `note` is a study's; `remarks`
    tell of missing, damaged or unfinished results.
    """

    title: str
    methods: tuple[Method, ...]
    baseline: int = 0
    note: str = ""
    remarks: tuple[str, ...] = ()

    @functools.cached_property
    def duplicates(self) -> frozenset[int]:
        """The indices of methods that are the same run as an earlier one."""
        return frozenset(index for index, method in enumerate(self.methods) if method.same_as)

    @functools.cached_property
    def as_trained(self) -> tuple[int, ...]:
        """The indices of the methods with weights, attention and batch norm as trained; all indices where none has."""
        indices = tuple(index for index, method in enumerate(self.methods) if method.first.as_trained)
        return indices or tuple(range(len(self.methods)))

    @functools.cached_property
    def distinct(self) -> tuple[int, ...]:
        """The indices of the methods that show each run once, as it was trained."""
        return tuple(index for index in self.as_trained if index not in self.duplicates)

    @property
    def distinct_methods(self) -> tuple[Method, ...]:
        """The methods of the indices `distinct`."""
        return tuple(self.methods[index] for index in self.distinct)

    @property
    def members(self) -> tuple[EvaluatedModel, ...]:
        """The models of all methods."""
        return tuple(member for method in self.methods for member in method.members)

    @functools.cached_property
    def clean(self) -> Mapping[str, ScoreColumn]:
        """The metrics of clean images, the same for all methods where possible."""
        chosen = choose_comparable([shared_options(method, _clean_rows) for method in self.methods])
        return {metric: self._clean_column(metric, chosen) for metric in CLEAN_METRICS}

    @functools.cached_property
    def gap(self) -> ScoreColumn:
        """Top-1 minus that on clean images of the same classes, where these were measured beside a set."""
        chosen = choose_comparable([shared_options(method, _gaps) for method in self.methods])
        return ScoreColumn(tuple(scores or () for scores in chosen), duplicates=self.duplicates)

    @functools.cached_property
    def corrupted(self) -> tuple[CorruptedComparison, ...]:
        """All methods on every group of corruptions that a method was measured on."""
        return tuple(self._corrupted(group) for group in measured_groups(self.methods))

    @functools.cached_property
    def attacks(self) -> Mapping[AttackKey, tuple[AttackSetting, ...]]:
        """Every attack with its settings, the most widely used first; only methods as trained have scores."""
        methods = [self.methods[index] for index in self.as_trained]
        return {
            attack: tuple(map(self._aligned, attack_settings(methods, attack))) for attack in measured_attacks(methods)
        }

    @functools.cached_property
    def transfers(self) -> tuple[TransferMatrix, ...]:
        """Transfers of adversarial examples from method to method, by attack and epsilon."""
        labels: dict[str, str] = {}
        for method in self.methods:
            labels.setdefault(method.first.run.name, method.label)
        target_rows = (
            (method.label, row) for method in self.distinct_methods for row, _ in method.first.rows_of(Transfer)
        )
        return tuple(transfer_matrices(target_rows, labels))

    @functools.cached_property
    def costs(self) -> tuple[Costs, ...]:
        """Costs of the first seed of each method."""
        return tuple(costs(method.first) for method in self.methods)

    @functools.cached_property
    def corruption_means(self) -> tuple[tuple[Method, Row, CorruptionMean], ...]:
        """The rows that evaluation aggregated over corruptions, of the first seed of each method."""
        return tuple((method, *pair) for method in self.methods for pair in method.first.rows_of(CorruptionMean))

    @functools.cached_property
    def differences(self) -> Differences:
        """Differences from the baseline on clean images, and on the first group of corruptions."""
        corrupted = self.corrupted[0] if self.corrupted else None
        group, scores = (corrupted.group, corrupted.scores) if corrupted else (None, ())
        return differences(self.methods, self.baseline, self.clean["top-1"].scores, group, scores)

    def clean_difference(self, index: int, other: int) -> Difference | None:
        """Return clean top-1 of a method minus another's; with a corrected p value where one is the baseline."""
        from_baseline = self.differences.by_measure["clean"]
        if other == self.baseline:
            return from_baseline[index]
        if index == self.baseline:
            return negated(from_baseline[other])
        scores = self.clean["top-1"].scores
        return compare_clean(scores[index], scores[other])

    def _clean_column(self, metric: str, chosen: Sequence[Sequence[Mapping[str, Row]] | None]) -> ScoreColumn:
        columns = []
        for method, rows in zip(self.methods, chosen, strict=True):
            pairs = list(zip(method.members, rows or (), strict=False))
            complete = all(metric in by_metric for _, by_metric in pairs)
            columns.append(
                tuple(row_score(member, by_metric[metric]) for member, by_metric in pairs) if complete else ()
            )
        return ScoreColumn(tuple(columns), duplicates=self.duplicates)

    def _corrupted(self, group: CorruptionGroup) -> CorruptedComparison:
        chosen = choose_comparable(
            [shared_options(method, lambda member: corrupted_scores(member, group)) for method in self.methods]
        )
        return CorruptedComparison(group, tuple(scores or () for scores in chosen), self.baseline, self.duplicates)

    def _aligned(self, setting: AttackSetting) -> AttackSetting:
        """Align a setting of the methods as trained with all methods, with () for the others."""
        by_index = dict(zip(self.as_trained, setting.scores, strict=True))
        return dataclasses.replace(setting, scores=tuple(by_index.get(i, ()) for i in range(len(self.methods))))


def _clean_rows(model: EvaluatedModel) -> dict[str, tuple[int, dict[str, Row]]]:
    """Return a model's clean rows by metric as options: by their images, with the number of these."""
    options: dict[str, dict[str, Row]] = {}
    for row, _ in model.rows_of(Clean):
        options.setdefault(images_key(row), {})[row.metric] = row
    return {key: (next(iter(rows.values())).count, rows) for key, rows in options.items()}


def _gaps(model: EvaluatedModel) -> dict[str, tuple[int, Score]]:
    """Return a model's gaps as options: by the images of both accuracies, with the number of the set's."""
    options = {}
    for row, gap in model.rows_of(Gap):
        key = comparison_key(images_key(row), gap.clean.key, gap.clean_count)
        options[key] = row.count, row_score(model, row, key, f"{describe_images(row)}, clean: {gap.clean}")
    return options


def _mean_corruption_error(scores: CorruptedScores, base: CorruptedScores) -> Score | None:
    correct, reference = scores.correct(), base.correct()
    if scores.comparison_key != base.comparison_key or correct is None or reference is None:
        return None
    try:
        estimate = mean_corruption_error(correct, reference, [name for name, _ in scores.cells])
    except ValueError:  # the reference makes no error on some corruption
        return None
    return scores.score(estimate)
