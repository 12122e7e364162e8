"""The result in a sentence or two, with its interval."""

from collections.abc import Sequence

from doublevit.report.candidates import Contender
from doublevit.report.corrupted import Corrupted, corrupted, measured_groups
from doublevit.report.measured import of_all_members
from doublevit.report.pairs import clean_differences
from doublevit.report.readings import OTHERWISE, cells, choose
from doublevit.report.table import Cell
from doublevit.report.tables.accuracy import accuracy_cells


def result_sentence(contenders: Sequence[Contender]) -> str:
    """Of the most accurate network: accuracy, its lead over the next, and accuracy on corrupted photos."""
    shown = list(zip(accuracy_cells(contenders, "top-1"), contenders, strict=True))
    known = [(cell, one) for cell, one in shown if isinstance(cell.value, float)]
    if not known:
        return "No accuracy on clean photos is known."
    alike = [entry for entry in known if not any(note.startswith(OTHERWISE) for note in entry[0].notes)]
    (best, one), *others = sorted(alike or known, key=lambda entry: -float(entry[0].value or 0))
    runs = len({member.run.path for _, one in known for member in one.members})
    ways = f" in {len(known)} ways of use" if len(known) > runs else ""
    more = f"Of {runs} networks{ways}, " if len(known) > 1 else ""
    said = f"{more}{one.label} recognises {_words(best, one)} of the {best.count:,} clean photos"
    return f"{said}{_lead(one, others[0][1]) if others else ''}{_robust(one)}."


def _lead(one: Contender, next_: Contender) -> str:
    found = clean_differences([one, next_], one)[1]
    if found is None:
        return f"; the next is {next_.label}"
    lead = -found.estimate.value, -found.estimate.high, -found.estimate.low
    points, low, high = (f"{round(100 * value, 1) + 0.0:.1f}" for value in lead)  # no "-0.0"
    test = "McNemar's" if found.seeds == 1 else f"paired t test over {found.seeds} seeds,"
    told = "p < 0.001" if found.p < 0.001 else f"p = {found.p:.3f}"
    verdict = "" if found.p < 0.05 else ", no difference that can be told from chance"
    return (
        f"; the next, {next_.label}, {points} points ({low} to {high}) less on the same photos ({test} {told}{verdict})"
    )


def _robust(one: Contender) -> str:
    """What remains under the first group of corruptions that it was measured on."""
    group = next(iter(measured_groups([one])), None)
    chosen = choose([of_all_members(one, lambda member: corrupted(member, group))])[0] if group else None
    if group is None or not chosen:
        return ""
    (mean,) = cells([[each.mean() for each in chosen]])
    change, clean = chosen[0].change() if len(chosen) == 1 else None, chosen[0].clean
    percent = f", a change of {100 * change.value:+.1f} % from {100 * clean.value:.1f} %" if change else ""
    percent += f" of {_photos(chosen[0])}" if change else ""
    bounds = f"{mean.interval}; " if mean.interval else ""
    return f"; under {group.title}, {mean.text} % ({bounds}n = {mean.count:,}{percent}; {_set(chosen[0])})"


def _photos(one: Corrupted) -> str:
    return "the same photos" if one.matched else f"{one.clean.count:,} other photos"


def _set(one: Corrupted) -> str:
    severities = sorted({severity for _, severity in one.cells})
    strengths = f"severit{'ies' if len(severities) > 1 else 'y'} {' '.join(map(str, severities))}"
    return f"{one.some.condition['set']}, {strengths}"


def _words(cell: Cell, one: Contender) -> str:
    seeds = f", over {len(one.members)} seeds" if len(one.members) > 1 else ""
    return f"{cell.text} % (95 % interval {cell.interval}{seeds})"
