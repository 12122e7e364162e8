"""Differences from the baseline, tested on the same images, or on the same seeds where there are several."""

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
    """Holds the score of one method minus another's, over so many `seeds`, and the p value `p` that it is zero.

    `corrected_p` is p by Holm's method over all comparisons with the baseline, None for any other comparison.
    """

    estimate: Estimate
    p: float
    seeds: int = 1
    corrected_p: float | None = None


@dataclasses.dataclass(frozen=True)
class Differences:
    """Holds the difference of each method from the baseline by measure: "clean", "corrupted" and "change".

    All are one family of `family_size` comparisons, whose p values are corrected together by Holm's method; methods
    with the same members count once. A difference is None where two methods cannot be compared.
    """

    by_measure: Mapping[str, tuple[Difference | None, ...]]
    family_size: int
    group: CorruptionGroup | None = None


TestedDifference = tuple[Estimate, float] | None
"""A difference with its p value; None where the two cannot be compared."""


def differences(
    methods: Sequence[Method],
    baseline: int,
    clean: Sequence[Sequence[Score]],
    group: CorruptionGroup | None,
    corrupted: Sequence[Sequence[CorruptedScores]],
) -> Differences:
    """Compare all methods with the one of index `baseline`.

    Args:
        methods: the methods; those with the same members count once.
        baseline: the index of the method that the others are compared with.
        clean: top-1 on clean images, `clean[method][seed]`.
        group: the corruptions of `corrupted`, None if there are none.
        corrupted: scores on corrupted images, `corrupted[method][seed]`.
    """
    columns = {"clean": [compare_clean(scores, clean[baseline]) for scores in clean]}
    if group is not None:
        pairs = [(scores, corrupted[baseline]) for scores in corrupted]
        columns["corrupted"] = [_compare(*pair, _test_means) for pair in pairs]
        columns["change"] = [_compare(*pair, _test_changes) for pair in pairs]
    return _holm_corrected(columns, [method.identity for method in methods], baseline, group)


def _holm_corrected(
    columns: Mapping[str, Sequence[Difference | None]],
    identities: Sequence[tuple[object, ...]],
    baseline: int,
    group: CorruptionGroup | None,
) -> Differences:
    """Correct the p values of all columns together; methods with the baseline's members get None."""
    family: dict[tuple[str, tuple[object, ...]], float] = {}
    for measure, column in columns.items():
        for identity, difference in zip(identities, column, strict=True):
            if difference is not None and identity != identities[baseline]:
                family.setdefault((measure, identity), difference.p)
    corrected = dict(zip(family, holm(list(family.values())), strict=True))
    by_measure = {
        measure: tuple(
            dataclasses.replace(difference, corrected_p=corrected[measure, identity])
            if difference is not None and (measure, identity) in corrected
            else None
            for identity, difference in zip(identities, column, strict=True)
        )
        for measure, column in columns.items()
    }
    return Differences(by_measure, len(family), group)


def compare_clean(scores: Sequence[Score], others: Sequence[Score]) -> Difference | None:
    """Compare top-1 on the same clean images by McNemar's test; None where the images differ."""
    return _compare(scores, others, _test_accuracies)


def negated(difference: Difference | None) -> Difference | None:
    """Return the same comparison the other way round."""
    if difference is None:
        return None
    value, low, high = -difference.estimate.value, -difference.estimate.high, -difference.estimate.low
    return dataclasses.replace(difference, estimate=Estimate(value, low, high))


def _compare(
    scores: Sequence[Seeded], others: Sequence[Seeded], test: Callable[[Seeded, Seeded], TestedDifference]
) -> Difference | None:
    """Compare two methods: over seeds where several are shared, else over images by `test`."""
    tested = [result for pair in same_seeds(scores, others) if (result := test(*pair))]
    if len(tested) > 1:
        values = [estimate.value for estimate, _ in tested]
        p = paired_mean_test(np.array(values), np.zeros(len(values)))
        return Difference(over_seeds(values).estimate, p, len(tested))
    return Difference(*tested[0]) if tested else None


def _test_accuracies(score: Score, other: Score) -> TestedDifference:
    correct, reference = score.per_image, other.per_image
    if correct is None or reference is None or score.comparison_key != other.comparison_key:
        return None
    if correct.shape != reference.shape:
        return None
    return paired_difference(correct, reference), mcnemar(correct, reference)


def _test_means(scores: CorruptedScores, others: CorruptedScores) -> TestedDifference:
    correct, reference = scores.correct(), others.correct()
    if correct is None or reference is None or scores.comparison_key != others.comparison_key:
        return None
    means, other_means = correct.mean(axis=0), reference.mean(axis=0)
    return paired_bootstrap(means, other_means), paired_mean_test(means, other_means)


def _test_changes(scores: CorruptedScores, others: CorruptedScores) -> TestedDifference:
    pair, other_pair = scores.clean_and_cells(), others.clean_and_cells()
    if pair is None or other_pair is None or scores.comparison_key != others.comparison_key:
        return None
    return change_difference(pair, other_pair, matched=scores.matched)
