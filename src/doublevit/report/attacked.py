"""Accuracy under attack, as readings: of attacks on a network itself, and of images made on another."""

import dataclasses
import json
from collections.abc import Mapping, Sequence

from doublevit.attacks.epsilons import show
from doublevit.report.candidates import Candidate, Contender
from doublevit.report.measured import said_of_photos
from doublevit.report.readings import Reading
from doublevit.results import Row

Attack = tuple[str, str]
"""Name and norm ("" where it has none)."""


def attacks(contenders: Sequence[Contender]) -> list[Attack]:
    """Every attack that any was measured under, in the order of the rows; parts of ensembles are left out."""
    rows = [row for contender in contenders for row in _rows(contender.first)]
    return list(dict.fromkeys(_attack(row) for row in rows))


@dataclasses.dataclass(frozen=True)
class Under:
    """A network under an attack, all with the same knobs, which are `said` in words: accuracy by epsilon."""

    said: str
    readings: Mapping[float, Reading]


def by_sort(candidate: Candidate, attack: Attack) -> dict[str, tuple[int, Under]]:
    """By the photos and the knobs that it was measured with."""
    found: dict[str, dict[float, Reading]] = {}
    for row in _rows(candidate):
        if _attack(row) == attack:
            found.setdefault(said_of_attack(row), {})[row.condition.get("epsilon", 0.0)] = _reading(candidate, row)
    return {said: (next(iter(mine.values())).count, Under(said, mine)) for said, mine in found.items()}


def said_of_attack(row: Row) -> str:
    """Photos and knobs in words."""
    condition = row.condition
    where = {"photo": "epsilon in the photo's own pixels", "input": "epsilon in the network's input"}
    parts = [said_of_photos(row)]
    parts += [where[condition["space"]]] if condition.get("space") in where else []
    parts += [f"{condition['budgets']} budgets"] if "budgets" in condition else []
    parts += [_knobs(condition["parameters"])] if condition.get("parameters") else []
    parts += [f"{condition['restarts']} restarts"] if condition.get("restarts", 1) > 1 else []
    parts += [f"drawn in batches of {condition['batch_size']}"] if "batch_size" in condition else []
    parts += [f"after {', '.join(condition['after'])}"] if condition.get("after") else []
    return ", ".join([*parts, f"seed {condition.get('attack_seed', 0)}"])


def epsilon_words(attack: Attack, epsilon: float) -> str:
    """Such as "1/255", or "0.5" for other norms than Linf."""
    return show(epsilon, attack[1]) if attack[1] else "-"


@dataclasses.dataclass(frozen=True)
class Transfer:
    """Images of one attack at one epsilon, with the same knobs on the same photos, made on one and shown to another.

    `rows` by the labels of both; `name` is the attack's.
    """

    name: str
    norm: str
    epsilon: float
    said: str
    rows: Mapping[tuple[str, str], Row]


def transfers(contenders: Sequence[Contender]) -> list[Transfer]:
    """Of each attack, epsilon and set of knobs, with the newest row of each pair."""
    labels = {one.first.run.path.name: one.label for one in contenders}
    found: dict[tuple[str, str, float, str], dict[tuple[str, str], Row]] = {}
    for contender in contenders:
        for row in contender.first.of_kind("transfer"):
            condition = row.condition
            key = condition["attack"], condition.get("norm", ""), condition.get("epsilon", 0.0), said_of_attack(row)
            made_on = str(condition.get("made_on", "")).partition(" (")[0]
            found.setdefault(key, {})[labels.get(made_on, made_on), contender.label] = row
    return [Transfer(*key, rows) for key, rows in found.items()]


def _rows(candidate: Candidate) -> list[Row]:
    return [row for row in candidate.of_kind("attack") if "part_of" not in row.condition]


def _attack(row: Row) -> Attack:
    return row.condition["attack"], row.condition.get("norm", "")


def _reading(candidate: Candidate, row: Row) -> Reading:
    """What was run before on the same photos (other attacks, smaller epsilons) decides what still stands."""
    chain = row.condition.get("chain", "")
    said = said_of_attack(row) + (f", after smaller epsilons or attacks of chain {chain}" if chain else "")
    notes = tuple(f"not to be believed: {finding}" for finding in row.findings)
    bounds, scores = (row.value, row.low, row.high), candidate.scores(row)
    return Reading(*bounds, row.count, said, said, scores=scores, notes=notes, seed=candidate.seed)


def _knobs(parameters: Mapping[str, object]) -> str:
    """Such as "steps 10, relative step 0.25"."""
    known = {name: value for name, value in parameters.items() if value is not None}
    plain = json.dumps(known, sort_keys=True)
    return plain.translate(str.maketrans("", "", '{}":')).replace("_", " ")
