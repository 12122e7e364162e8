"""Two networks compared on the same photos, or on the same seeds where each was trained with several."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from doublevit.report.candidates import Contender, photo_set
from doublevit.report.corrupted import Corrupted, corrupted
from doublevit.report.groups import Group
from doublevit.report.measured import clean_rows, of_all_members
from doublevit.report.readings import choose, same_seeds
from doublevit.results import Row
from doublevit.statistics import (
    Estimate,
    change_difference,
    mcnemar,
    over_seeds,
    paired_bootstrap,
    paired_difference,
    paired_mean_test,
)


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much more one has than the other, and the p value that there is no difference; over so many seeds."""

    estimate: Estimate
    p: float
    seeds: int = 1


@dataclasses.dataclass(frozen=True)
class Clean:
    """Hits of a network on clean photos."""

    seed: int
    row: Row
    hits: np.ndarray


Pair = Callable[..., tuple[Estimate, float] | None]


def clean_differences(contenders: Sequence[Contender], base: Contender) -> list[Difference | None]:
    """Top-1 on clean photos against the base's, by McNemar's test; None where they are not of the same photos."""
    rows = choose([of_all_members(one, clean_rows) for one in contenders])
    found = [_clean(*pair) for pair in zip(contenders, rows, strict=True)]
    return [_compare(one, found[contenders.index(base)], _on_clean) for one in found]


def corrupted_differences(contenders: Sequence[Contender], base: Contender, group: Group) -> list[Difference | None]:
    """Mean top-1 over a group of corruptions against the base's."""
    chosen = _corrupted(contenders, group)
    return [_compare(one, chosen[contenders.index(base)], _on_corrupted) for one in chosen]


def change_differences(contenders: Sequence[Contender], base: Contender, group: Group) -> list[Difference | None]:
    """The paper's % change against the base's."""
    chosen = _corrupted(contenders, group)
    return [_compare(one, chosen[contenders.index(base)], _of_changes) for one in chosen]


def _compare(one: Sequence, base: Sequence, pair: Pair) -> Difference | None:
    found = [each for mine, its in same_seeds(one, base) if (each := pair(mine, its))] if one and base else []
    if len(found) > 1:
        values = [estimate.value for estimate, _ in found]
        spread = over_seeds(values)
        p = paired_mean_test(np.array(values), np.zeros(len(values)))
        return Difference(Estimate(spread.mean, spread.low, spread.high), p, len(found))
    return Difference(*found[0]) if found else None


def _clean(contender: Contender, rows: Sequence[dict[str, Row]] | None) -> list[Clean]:
    found = []
    for member, mine in zip(contender.members, rows or [], strict=False):
        row = mine.get("top-1")
        hits = member.scores(row) if row else None
        if row is not None and hits is not None:
            found.append(Clean(member.seed, row, hits))
    return found


def _corrupted(contenders: Sequence[Contender], group: Group) -> list[list[Corrupted]]:
    options = [of_all_members(one, lambda member: corrupted(member, group)) for one in contenders]
    return [mine or [] for mine in choose(options)]


def _on_clean(one: Clean, base: Clean) -> tuple[Estimate, float] | None:
    if photo_set(one.row) != photo_set(base.row) or one.hits.shape != base.hits.shape:
        return None
    return paired_difference(one.hits, base.hits), mcnemar(one.hits, base.hits)


def _on_corrupted(one: Corrupted, base: Corrupted) -> tuple[Estimate, float] | None:
    hits, others = one.hits(), base.hits()
    if hits is None or others is None or one.said != base.said:
        return None
    scores, reference = hits.mean(axis=0), others.mean(axis=0)
    return paired_bootstrap(scores, reference), paired_mean_test(scores, reference)


def _of_changes(one: Corrupted, base: Corrupted) -> tuple[Estimate, float] | None:
    mine, its = _clean_and_hits(one), _clean_and_hits(base)
    if mine is None or its is None or one.said != base.said:
        return None
    return change_difference(mine, its, matched=one.matched)


def _clean_and_hits(one: Corrupted) -> tuple[np.ndarray, np.ndarray] | None:
    clean, hits = one.candidate.scores(one.clean), one.hits()
    return (clean, hits) if clean is not None and hits is not None and clean.any() else None
