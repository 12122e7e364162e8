"""Accuracy under attack: of attacks on a network itself, and of images made on another."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from doublevit.analysis.descriptions import attack_key, describe_attack
from doublevit.analysis.evaluated import EvaluatedModel, Method
from doublevit.analysis.scores import Score, ScoreColumn, options_of_all, row_score
from doublevit.runs.conditions import Attack, Transfer
from doublevit.runs.row import Row


class AttackKey(NamedTuple):
    """Name and norm (None where it has none), and the ensemble that it is a part of, "" if of none."""

    name: str
    norm: str | None
    part_of: str = ""


def measured_attacks(methods: Sequence[Method]) -> list[AttackKey]:
    """Every attack that any was measured under, in the order of the rows."""
    return list(dict.fromkeys(_id(each) for method in methods for _, each in method.first.rows_of(Attack)))


@dataclasses.dataclass(frozen=True)
class AttackScores:
    """A network under an attack, always with the same hyperparameters: accuracy by epsilon."""

    description: str
    by_epsilon: Mapping[float, Score]


@dataclasses.dataclass(frozen=True)
class AttackSetting:
    """Methods under an attack on the same images with the same hyperparameters.

    `scores` are aligned with the methods: one of each seed, () where it was not measured.
    """

    attack: AttackKey
    description: str
    count: int
    scores: tuple[tuple[AttackScores, ...], ...]

    @property
    def epsilons(self) -> list[float]:
        """Every epsilon that any was measured at, rising."""
        return sorted({epsilon for scores in self.scores for each in scores for epsilon in each.by_epsilon})

    def column(self, epsilon: float, repeated: frozenset[int] = frozenset()) -> ScoreColumn:
        """Accuracies at an epsilon, of the methods of which all seeds were measured at it."""
        scores = [
            tuple(each.by_epsilon[epsilon] for each in several) if _all_have(several, epsilon) else ()
            for several in self.scores
        ]
        return ScoreColumn(tuple(scores), repeated=repeated)


def attack_settings(methods: Sequence[Method], attack: AttackKey) -> list[AttackSetting]:
    """What methods were measured with under an attack, that which most methods (or images) have first."""
    options = [options_of_all(method, lambda member: _options(member, attack)) for method in methods]
    keys = dict.fromkeys(key for own in options for key in own)
    settings = []
    for key in keys:
        count, some = next(own[key] for own in options if key in own)
        scores = tuple(own[key][1] if key in own else () for own in options)
        settings.append(AttackSetting(attack, some[0].description, count, scores))
    return sorted(settings, key=lambda setting: (-sum(map(bool, setting.scores)), -setting.count))


@dataclasses.dataclass(frozen=True)
class TransferMatrix:
    """Images of one attack at one epsilon, made on one network and shown to another: `rows` by the labels of both."""

    attack: AttackKey
    epsilon: float
    description: str
    rows: Mapping[tuple[str, str], Row]


def transfer_matrices(shown: Iterable[tuple[str, Row]], labels: Mapping[str, str]) -> list[TransferMatrix]:
    """Transfers of each attack above epsilon 0, with the newest row of each pair.

    Args:
        shown: rows, each with the label of the network that the images were shown to.
        labels: of the networks that images were made on, by the names of their runs.
    """
    found: dict[tuple[AttackKey, float, str], tuple[str, dict[tuple[str, str], Row]]] = {}
    for label, row in shown:
        condition = row.condition
        if isinstance(condition, Transfer) and condition.epsilon:
            key = _id(condition), condition.epsilon, attack_key(row, condition)
            _, rows = found.setdefault(key, (describe_attack(row, condition), {}))
            rows[labels.get(condition.made_on.model, condition.made_on.model), label] = row
    return [TransferMatrix(*key[:2], *value) for key, value in found.items()]


def _id(condition: Attack | Transfer) -> AttackKey:
    part_of = condition.part_of if isinstance(condition, Attack) else ""
    return AttackKey(condition.attack, condition.norm, part_of)


def _all_have(several: Sequence[AttackScores], epsilon: float) -> bool:
    return all(epsilon in each.by_epsilon for each in several)


def _options(model: EvaluatedModel, attack: AttackKey) -> dict[str, tuple[int, AttackScores]]:
    """A model's scores under an attack, by what may be compared."""
    scores: dict[str, dict[float, Score]] = {}
    words: dict[str, str] = {}
    for row, condition in model.rows_of(Attack):
        if _id(condition) == attack:
            key = attack_key(row, condition)
            words[key] = describe_attack(row, condition)
            scores.setdefault(key, {})[condition.epsilon or 0.0] = _score(model, row, condition, words[key])
    return {key: (next(iter(own.values())).count, AttackScores(words[key], own)) for key, own in scores.items()}


def _score(model: EvaluatedModel, row: Row, condition: Attack, description: str) -> Score:
    """What was run before on the same images (other attacks, smaller epsilons) decides what is still robust."""
    chain = condition.chain
    words = description + (f", after smaller epsilons or attacks of chain {chain}" if chain else "")
    score = row_score(model, row, f"{attack_key(row, condition)} {chain}", words)
    notes = tuple(f"not to be believed: {finding}" for finding in row.findings)
    return dataclasses.replace(score, precision="", notes=notes)
