"""Every network compared with the first one, on the same photos."""

from collections.abc import Sequence

import numpy as np

from doublevit.report.candidates import Contender
from doublevit.report.measured import Corrupted, clean_rows, corrupted, of_all_members
from doublevit.report.readings import choose
from doublevit.report.table import Cell, Column, Table, p_value, points, text, words
from doublevit.statistics import (
    Estimate,
    change_difference,
    holm,
    mcnemar,
    paired_bootstrap,
    paired_difference,
    paired_mean_test,
)

CAPTION = (
    "Points more than {base} on the same photos, with 95 % intervals. Clean: McNemar's test. Corrupted: mean accuracy"
    " over {group}, paired bootstrap and t test of the photos' means. % change: the paper's measure, in points,"
    " bootstrap. p values are by Holm's method, corrected for all {count} comparisons of this table. They are of these"
    " very networks: what another seed would change is not in them."
)
Compared = list[tuple[Cell, float] | None]


def difference_table(contenders: Sequence[Contender], base: Contender, group: str | None) -> Table | None:
    """The first seed of each, compared with the base's; None where there is nothing to compare."""
    others = [one for one in contenders if one is not base]
    contenders = [base, *others]
    columns = [_clean(contenders)]
    heads = [("clean", "clean")]
    if group:
        chosen = choose([of_all_members(one, lambda member: corrupted(member, group)) for one in contenders])
        columns += [_corrupted(chosen), _changes(chosen)]
        heads += [("corrupted", "corrupted"), ("% change", "change")]
    known = [entry[1] for column in columns for entry in column if entry]
    if not known:
        return None
    corrected = iter(holm(known))
    made = [
        [(entry[0], p_value(next(corrected))) if entry else (Cell("-"), Cell("-")) for entry in column]
        for column in columns
    ]
    rows = tuple(
        (text(one.label), *(cell for column in made for cell in column[number])) for number, one in enumerate(others)
    )
    pairs = [(Column(head, name), Column("p", f"{name}_p")) for head, name in heads]
    columns_ = (words("model"), *(column for pair in pairs for column in pair))
    caption = CAPTION.format(base=base.label, group=group or "-", count=len(known))
    groups = tuple(one.group for one in others)
    return Table("differences", f"Compared with {base.label}", columns_, rows, caption, groups)


def _clean(contenders: Sequence[Contender]) -> Compared:
    chosen = choose([of_all_members(one, clean_rows) for one in contenders])
    hits = [
        one.first.scores(rows[0]["top-1"]) if rows and "top-1" in rows[0] else None
        for one, rows in zip(contenders, chosen, strict=True)
    ]
    labels = [rows[0]["top-1"].dataset if rows and "top-1" in rows[0] else "" for rows in chosen]
    base = hits[0]
    return [
        _points(paired_difference(mine, base), mcnemar(mine, base))
        if mine is not None and base is not None and mine.shape == base.shape and label == labels[0]
        else None
        for mine, label in zip(hits[1:], labels[1:], strict=True)
    ]


def _corrupted(chosen: Sequence[list[Corrupted] | None]) -> Compared:
    base, *others = map(_hits, chosen)
    found: Compared = []
    for one in others:
        if base is None or one is None or base[1] != one[1]:
            found.append(None)
            continue
        scores, reference = one[0].mean(axis=0), base[0].mean(axis=0)
        found.append(_points(paired_bootstrap(scores, reference), paired_mean_test(scores, reference)))
    return found


def _changes(chosen: Sequence[list[Corrupted] | None]) -> Compared:
    base, *others = map(_pair, chosen)
    return [
        _points(*change_difference(one[0], base[0])) if base and one and base[1] == one[1] else None for one in others
    ]


def _hits(mine: list[Corrupted] | None) -> tuple[np.ndarray, str] | None:
    hits = mine[0].hits() if mine else None
    return (hits, mine[0].said) if mine and hits is not None else None


def _pair(mine: list[Corrupted] | None) -> tuple[tuple[np.ndarray, np.ndarray], str] | None:
    hits = mine[0].hits() if mine and mine[0].matched else None
    clean = mine[0].candidate.scores(mine[0].clean) if mine else None
    return ((clean, hits), mine[0].said) if mine and hits is not None and clean is not None and clean.any() else None


def _points(estimate: Estimate, p: float) -> tuple[Cell, float]:
    return points(estimate.value, estimate.low, estimate.high), p
