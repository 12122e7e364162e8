"""The result in a sentence or two, with its interval."""

from collections.abc import Mapping, Sequence

import numpy as np

from doublevit.report.candidates import Candidate, Contender
from doublevit.report.measured import clean_rows, corrupted, of_all_members
from doublevit.report.readings import OTHERWISE, choose
from doublevit.report.table import Cell
from doublevit.report.tables.accuracy import accuracy_cells
from doublevit.report.tables.robustness import TITLES, measured_groups
from doublevit.results import Row
from doublevit.statistics import mcnemar, paired_difference


def result_sentence(contenders: Sequence[Contender]) -> str:
    """Of the most accurate network: accuracy, its lead over the next, and accuracy on corrupted photos."""
    shown = list(zip(accuracy_cells(contenders, "top-1"), contenders, strict=True))
    known = [(cell, one) for cell, one in shown if isinstance(cell.value, float)]
    if not known:
        return "No accuracy on clean photos is known."
    alike = [entry for entry in known if not any(note.startswith(OTHERWISE) for note in entry[0].notes)]
    (best, one), *others = sorted(alike or known, key=lambda entry: -float(entry[0].value or 0))
    more = f"Of {len(contenders)} networks, " if len(contenders) > 1 else ""
    said = f"{more}{one.label} recognises {_words(best)} of the {best.count:,} clean photos"
    lead = _lead(contenders, one, others[0][1]) if others else ""
    return f"{said}{lead}{_robust(one)}."


def _lead(contenders: Sequence[Contender], one: Contender, next_: Contender) -> str:
    rows = choose([of_all_members(each, clean_rows) for each in contenders])
    pair = [rows[contenders.index(each)] for each in (one, next_)]
    hits = [_hits(each.first, mine[0]) if mine else None for each, mine in zip((one, next_), pair, strict=True)]
    if hits[0] is None or hits[1] is None or hits[0].shape != hits[1].shape:
        return ""
    found, p = paired_difference(hits[0], hits[1]), mcnemar(hits[0], hits[1])
    told = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    bounds = f"{100 * found.value:.1f} points ({100 * found.low:.1f} to {100 * found.high:.1f}) less"
    verdict = "" if p < 0.05 else ", no difference that these photos can show"
    return f"; the next, {next_.label}, {bounds} on the same photos (McNemar's {told}{verdict})"


def _hits(candidate: Candidate, rows: Mapping[str, Row]) -> np.ndarray | None:
    return candidate.scores(rows["top-1"]) if "top-1" in rows else None


def _robust(one: Contender) -> str:
    """What remains under the first group of corruptions that it was measured on."""
    group = next(iter(measured_groups([one])), None)
    chosen = choose([of_all_members(one, lambda member: corrupted(member, group))])[0] if group else None
    if group is None or not chosen:
        return ""
    mean, change = chosen[0].mean(), chosen[0].change()
    percent = f", a change of {100 * change.value:+.1f} %" if change else ""
    bounds = f"{100 * mean.low:.1f} to {100 * mean.high:.1f}"
    return f"; under {TITLES[group]}, {100 * mean.value:.1f} % ({bounds}; n = {mean.count:,}{percent})"


def _words(cell: Cell) -> str:
    return f"{cell.text} % (95 % interval {cell.interval})"
