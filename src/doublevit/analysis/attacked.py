"""Accuracy under attack, by examples made on the model itself or transferred from another."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from doublevit.analysis.descriptions import attack_key, describe_attack
from doublevit.analysis.evaluated import EvaluatedModel, Method
from doublevit.analysis.scores import Score, ScoreColumn, row_score, shared_options
from doublevit.runs.conditions import Attack, Transfer
from doublevit.runs.row import Row


class AttackKey(NamedTuple):
    """Identifies an attack by name, norm (None where it has none), and the ensemble it is a part of ("" if none)."""

    name: str
    norm: str | None
    part_of: str = ""


def measured_attacks(methods: Sequence[Method]) -> list[AttackKey]:
    """List every attack that a method was measured under, in the order of the rows."""
    return list(dict.fromkeys(_attack(pair[1]) for method in methods for pair in method.first.rows_of(Attack)))


@dataclasses.dataclass(frozen=True)
class AttackScores:
    """Holds a model's accuracy under an attack with the same hyperparameters, by epsilon."""

    description: str
    by_epsilon: Mapping[float, Score]


@dataclasses.dataclass(frozen=True)
class AttackSetting:
    """Holds the scores of all methods under an attack on the same `count` images with the same hyperparameters.

    `scores[method][seed]` are aligned with the methods, () for one without.
    """

    attack: AttackKey
    description: str
    count: int
    scores: tuple[tuple[AttackScores, ...], ...]

    @property
    def epsilons(self) -> list[float]:
        """Every epsilon that a method was measured at, rising."""
        return sorted({epsilon for seeds in self.scores for scores in seeds for epsilon in scores.by_epsilon})

    def column(self, epsilon: float, duplicates: frozenset[int] = frozenset()) -> ScoreColumn:
        """Return the accuracies at an epsilon, of the methods of which all seeds were measured at it."""
        column = [
            tuple(scores.by_epsilon[epsilon] for scores in seeds)
            if all(epsilon in scores.by_epsilon for scores in seeds)
            else ()
            for seeds in self.scores
        ]
        return ScoreColumn(tuple(column), duplicates=duplicates)


def attack_settings(methods: Sequence[Method], attack: AttackKey) -> list[AttackSetting]:
    """List the settings of an attack, that of the most methods first, of equals that of the most images."""
    by_method = [shared_options(method, lambda member: _options(member, attack)) for method in methods]
    settings = []
    for key in dict.fromkeys(key for options in by_method for key in options):
        count, scores = next(options[key] for options in by_method if key in options)
        all_scores = tuple(options[key][1] if key in options else () for options in by_method)
        settings.append(AttackSetting(attack, scores[0].description, count, all_scores))
    return sorted(settings, key=lambda setting: (-sum(map(bool, setting.scores)), -setting.count))


@dataclasses.dataclass(frozen=True)
class TransferMatrix:
    """Holds the transfers of an attack at an epsilon: `rows` by the labels of source and target model."""

    attack: AttackKey
    epsilon: float
    description: str
    rows: Mapping[tuple[str, str], Row]


def transfer_matrices(target_rows: Iterable[tuple[str, Row]], source_labels: Mapping[str, str]) -> list[TransferMatrix]:
    """Return a matrix for each attack and epsilon above 0, with the newest row of each pair of models.

    Args:
        target_rows: rows, each with the label of the target model, which is shown the images.
        source_labels: labels of the source models, which the images were made on, by the names of their runs.
    """
    matrices: dict[tuple[AttackKey, float, str], tuple[str, dict[tuple[str, str], Row]]] = {}
    for target, row in target_rows:
        condition = row.condition
        if isinstance(condition, Transfer) and condition.epsilon:
            key = _attack(condition), condition.epsilon, attack_key(row, condition)
            _, rows = matrices.setdefault(key, (describe_attack(row, condition), {}))
            rows[source_labels.get(condition.made_on.model, condition.made_on.model), target] = row
    return [TransferMatrix(*key[:2], *value) for key, value in matrices.items()]


def _attack(condition: Attack | Transfer) -> AttackKey:
    part_of = condition.part_of if isinstance(condition, Attack) else ""
    return AttackKey(condition.attack, condition.norm, part_of)


def _options(model: EvaluatedModel, attack: AttackKey) -> dict[str, tuple[int, AttackScores]]:
    """Return a model's scores under an attack by comparison key, each key with one set of hyperparameters."""
    scores: dict[str, dict[float, Score]] = {}
    descriptions: dict[str, str] = {}
    for row, condition in model.rows_of(Attack):
        if _attack(condition) == attack:
            key = attack_key(row, condition)
            descriptions[key] = describe_attack(row, condition)
            scores.setdefault(key, {})[condition.epsilon or 0.0] = _score(model, row, condition, descriptions[key])
    return {
        key: (next(iter(by_epsilon.values())).count, AttackScores(descriptions[key], by_epsilon))
        for key, by_epsilon in scores.items()
    }


def _score(model: EvaluatedModel, row: Row, condition: Attack, description: str) -> Score:
    """Return a score that may be compared only with those after the same chain of attacks and smaller epsilons.

    What ran before on the same images decides which of them are still robust.
    """
    chain = condition.chain
    description += f", after smaller epsilons or attacks of chain {chain}" if chain else ""
    score = row_score(model, row, f"{attack_key(row, condition)} {chain}", description)
    notes = tuple(f"not to be believed: {finding}" for finding in row.findings)
    return dataclasses.replace(score, precision="", notes=notes)  # attacks always run in float32: no footnote for it
