"""Two networks compared on the same images, or on the same seeds where each was trained with several."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from doublevit.analysis.corrupted import CorruptedScores, CorruptionGroup
from doublevit.analysis.evaluated import Method
from doublevit.analysis.scores import Score, Seeded, same_seeds
from doublevit.statistics import (
    Estimate,
    change_difference,
    holm,
    mcnemar,
    over_seeds,
    paired_bootstrap,
    paired_difference,
    paired_mean_test,
)


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much more one method has than another; `p` that there is no difference; over so many seeds.

    `corrected` is p by Holm's method over all comparisons with the baseline, where this is one of them.
    """

    estimate: Estimate
    p: float
    seeds: int = 1
    corrected: float | None = None


@dataclasses.dataclass(frozen=True)
class Differences:
    """How much more each method has than the baseline, by measure: "clean", "corrupted" and "change".

    They are one family of `count` comparisons: all p values are corrected together, by Holm's method. What several
    methods have in common, being the same networks, is counted once. None where two cannot be compared.
    """

    by_measure: Mapping[str, tuple[Difference | None, ...]]
    count: int
    group: CorruptionGroup | None = None


Measured = tuple[Estimate, float] | None
"""A difference and its p value."""


def differences(
    methods: Sequence[Method],
    baseline: int,
    clean: Sequence[Sequence[Score]],
    group: CorruptionGroup | None,
    corrupted: Sequence[Sequence[CorruptedScores]],
) -> Differences:
    """All methods compared with the one of index `baseline`.

    Args:
        methods: which of these are the same networks decides what is counted once.
        baseline: the index of the method that the others are compared with.
        clean: top-1 on clean images of each seed of each method.
        group: the corruptions of `corrupted`, if there are any.
        corrupted: the same methods on corrupted images.
    """
    columns = {"clean": [compare_clean(scores, clean[baseline]) for scores in clean]}
    if group is not None:
        pairs = [(scores, corrupted[baseline]) for scores in corrupted]
        columns["corrupted"] = [_compare(*pair, _of_means) for pair in pairs]
        columns["change"] = [_compare(*pair, _of_changes) for pair in pairs]
    return _corrected(columns, [method.identity for method in methods], baseline, group)


def _corrected(
    columns: Mapping[str, Sequence[Difference | None]],
    identities: Sequence[tuple[object, ...]],
    baseline: int,
    group: CorruptionGroup | None,
) -> Differences:
    """Differences with p values corrected together; those of the baseline's own networks are None."""
    others = {
        measure: [None if own == identities[baseline] else each for each, own in zip(column, identities, strict=True)]
        for measure, column in columns.items()
    }
    family: dict[tuple[str, tuple[object, ...]], float] = {}
    for measure, column in others.items():
        for each, own in zip(column, identities, strict=True):
            if each is not None:
                family.setdefault((measure, own), each.p)
    corrected = dict(zip(family, holm(list(family.values())), strict=True))
    by_measure = {
        measure: tuple(
            each and dataclasses.replace(each, corrected=corrected[measure, own])
            for each, own in zip(column, identities, strict=True)
        )
        for measure, column in others.items()
    }
    return Differences(by_measure, len(family), group)


def compare_clean(scores: Sequence[Score], others: Sequence[Score]) -> Difference | None:
    """Top-1 on the same clean images, by McNemar's test; None where they are not of the same images."""
    return _compare(scores, others, _of_accuracies)


def negated(difference: Difference | None) -> Difference | None:
    """The same comparison the other way round."""
    if difference is None:
        return None
    value, low, high = -difference.estimate.value, -difference.estimate.high, -difference.estimate.low
    return dataclasses.replace(difference, estimate=Estimate(value, low, high))


def _compare(
    scores: Sequence[Seeded], others: Sequence[Seeded], pair: Callable[[Seeded, Seeded], Measured]
) -> Difference | None:
    measured = [each for both in same_seeds(scores, others) if (each := pair(*both))] if scores and others else []
    if len(measured) > 1:
        values = [estimate.value for estimate, _ in measured]
        p = paired_mean_test(np.array(values), np.zeros(len(values)))
        return Difference(over_seeds(values).estimate, p, len(measured))
    return Difference(*measured[0]) if measured else None


def _of_accuracies(score: Score, other: Score) -> Measured:
    correct, reference = score.per_image, other.per_image
    if correct is None or reference is None or score.comparison_key != other.comparison_key:
        return None
    if correct.shape != reference.shape:
        return None
    return paired_difference(correct, reference), mcnemar(correct, reference)


def _of_means(scores: CorruptedScores, others: CorruptedScores) -> Measured:
    correct, reference = scores.correct(), others.correct()
    if correct is None or reference is None or scores.comparison_key != others.comparison_key:
        return None
    means, other_means = correct.mean(axis=0), reference.mean(axis=0)
    return paired_bootstrap(means, other_means), paired_mean_test(means, other_means)


def _of_changes(scores: CorruptedScores, others: CorruptedScores) -> Measured:
    pair, other_pair = scores.clean_and_cells(), others.clean_and_cells()
    if pair is None or other_pair is None or scores.comparison_key != others.comparison_key:
        return None
    return change_difference(pair, other_pair, matched=scores.matched)
