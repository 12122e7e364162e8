"""Rows of attacks, added to the results as they come, with the findings that speak against them."""

import hashlib
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from doublevit import strict_json
from doublevit.attacks.catalogue import ATTACKS, FOOLBOX_ATTACKS, is_control, parts_of, spec_of
from doublevit.attacks.checks import Finding, black_box_wins
from doublevit.attacks.config import AttackConfig
from doublevit.attacks.epsilons import format_epsilon
from doublevit.data.identity import DatasetId
from doublevit.device import this_process
from doublevit.errors import UserError
from doublevit.evaluators.attacks.plan import AttackId
from doublevit.evaluators.attacks.runner import AttackResult
from doublevit.evaluators.prediction import model_fields
from doublevit.progress import console
from doublevit.runs.conditions import Attack, Condition, ModelId
from doublevit.runs.results import EvalResult, Results
from doublevit.runs.row import Row
from doublevit.statistics import wilson_interval

METRIC = "robust top-1"


def attack_condition(attack: AttackId, epsilon: float, config: AttackConfig, seed: int) -> Attack:
    """Return the condition of an attack's row: all about the attack that decides the row's value."""
    name = attack.name
    nested = not config.independent and not is_control(name)
    has_ball, depends_on_batch = bool(spec_of(name).norms), name in FOOLBOX_ATTACKS and FOOLBOX_ATTACKS[name].random
    return Attack(
        attack=name,
        norm=config.norm if has_ball else None,
        epsilon=epsilon if has_ball else None,
        space=config.space,
        budgets="nested" if nested else "independent",
        parameters=config.parameters_of(name),
        restarts=config.repetitions(name) if name in ATTACKS else config.restarts,
        attack_seed=seed,
        batch_size=config.batch_size if depends_on_batch else None,
        chain=_chain_before(attack, epsilon, config) if nested else "",
        part_of=attack.part_of,
        after=attack.after,
    )


def _chain_before(attack: AttackId, epsilon: float, config: AttackConfig) -> str:
    """Hash what ran on the same images before, smaller epsilons and other attacks, to eight digits ("" for none)."""
    smaller = [other for other in config.epsilon_values if 0 < other < epsilon]
    attacks = [[name, config.parameters_of(name), config.restarts, config.batch_size] for name in attack.after]
    if not smaller and not attacks:
        return ""
    return hashlib.sha256(strict_json.canonical([smaller, attacks])).hexdigest()[:8]


def attack_row(
    result: AttackResult, condition: Condition, model: ModelId, dataset: DatasetId, findings: Iterable[Finding]
) -> Row:
    """Return the row of the robust accuracy, with Wilson's 95 % interval and the names of findings against it.

    An image that is misclassified without an attack counts as broken at every epsilon.
    """
    count = len(result.broken)
    robust = count - int(result.broken.sum())
    low, high = wilson_interval(robust, count)
    return Row(
        **model_fields(model),
        dataset=dataset,
        condition=condition,
        metric=METRIC,
        value=robust / count,
        low=low,
        high=high,
        count=count,
        seconds=round(result.seconds, 3),
        findings=finding_names(result, findings),
    )


def finding_names(result: AttackResult, findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return the names of the findings that speak against a result, each once."""
    attacks = {result.attack.name, *parts_of(result.attack.name)}
    against = (finding for finding in findings if finding.applies_to(attacks, result.epsilon))
    return tuple(dict.fromkeys(finding.name for finding in against))


def in_float32(model: ModelId) -> ModelId:
    """Return the identity of a model in float32, in which attacks predict whatever precision was asked for."""
    return msgspec.structs.replace(model, precision="float32")


class RowWriter:
    """A writer that turns the results of one evaluation into rows; rows that are there already are not added again."""

    def __init__(self, results: Results, model: ModelId, dataset: DatasetId, config: AttackConfig, seed: int) -> None:
        self.rows: list[Row] = []
        self._results, self._model, self._dataset = results, in_float32(model), dataset
        self._config, self._seed = config, seed
        self._attack_results: list[AttackResult] = []

    def add(self, result: AttackResult, findings: Sequence[Finding]) -> None:
        """Add the row of a result, with its predictions."""
        condition = attack_condition(result.attack, result.epsilon, self._config, self._seed)
        row = attack_row(result, condition, self._model, self._dataset, findings)
        self.rows.append(row)
        self._attack_results.append(result)
        self._results.add_once(EvalResult((row,), result.predictions))

    def add_findings(self, findings: Sequence[Finding]) -> list[EvalResult]:
        """Return every result with all findings named in its row; rows that this changes are added anew.

        Some findings are known only after all attacks, when most rows have been added.
        """
        updated = []
        for row, result in zip(self.rows, self._attack_results, strict=True):
            row = msgspec.structs.replace(row, findings=finding_names(result, findings))  # noqa: PLW2901
            updated.append(EvalResult((row,), result.predictions))
            self._results.add_once(updated[-1])
        return updated

    def black_box_findings(self) -> list[Finding]:
        """Find epsilons at which attacks without gradients broke images that those with gradients had not."""
        findings: list[Finding] = []
        for epsilon in sorted({result.epsilon for result in self._attack_results if _kind(result) == "white-box"}):
            by_white_box = self._broken(epsilon, ("white-box",))
            by_black_box = self._broken(epsilon, ("black-box", "noise"))
            findings += black_box_wins(by_white_box, by_black_box, epsilon, format_epsilon(epsilon, self._config.norm))
        return findings

    def _broken(self, epsilon: float, kinds: tuple[str, ...]) -> np.ndarray:
        """Return whether an attack of these kinds broke each image, in this ball or a smaller one, bool (N,)."""
        broken = [
            result.broken_by_attack
            for result in self._attack_results
            if result.epsilon <= epsilon and _kind(result) in kinds
        ]
        return np.any([np.zeros_like(self._attack_results[0].broken), *broken], axis=0)


def report_findings(findings: Sequence[Finding], *, strict: bool) -> None:
    """Print findings in the main process, or, if there are any and `strict`, raise `UserError` with all of them."""
    if findings and strict:
        raise UserError(f"`strict`: {'; '.join(map(str, findings))}")
    if this_process().is_main_process:
        for finding in findings:
            console.print(f"finding: {finding}", markup=False, highlight=False, soft_wrap=True)


def _kind(result: AttackResult) -> str:
    return ATTACKS[result.attack.name].kind if result.attack.name in ATTACKS else "ensemble"
