"""What attacks have found, as rows, added as they come; and what attacks of different kinds say together."""

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
from doublevit.evaluators.prediction import facts_of
from doublevit.progress import console
from doublevit.runs.conditions import Attack, Condition, ModelId
from doublevit.runs.results import EvalResult, Results
from doublevit.runs.row import Row
from doublevit.statistics import wilson_interval

METRIC = "robust top-1"


def condition_of(attack: AttackId, epsilon: float, config: AttackConfig, seed: int) -> Attack:
    """How the model was attacked, as a row says it: all that decides its value."""
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
    """Eight digits for what was run on the same images before: smaller epsilons, attacks and their hyperparameters."""
    smaller = [size for size in config.epsilon_values if 0 < size < epsilon]
    attacks = [[name, config.parameters_of(name), config.restarts, config.batch_size] for name in attack.after]
    if not smaller and not attacks:
        return ""
    return hashlib.sha256(strict_json.canonical([smaller, attacks])).hexdigest()[:8]


def row_of(
    result: AttackResult, condition: Condition, model: ModelId, dataset: DatasetId, findings: Iterable[Finding]
) -> Row:
    """The fraction of images that were right and stayed right, with Wilson's 95 % interval, and what speaks against it.

    What is broken at an epsilon counts as broken, and so does what was wrong before any attack.
    """
    count = len(result.broken)
    robust = count - int(result.broken.sum())
    low, high = wilson_interval(robust, count)
    return Row(
        **facts_of(model),
        dataset=dataset,
        condition=condition,
        metric=METRIC,
        value=robust / count,
        low=low,
        high=high,
        count=count,
        seconds=round(result.seconds, 3),
        findings=findings_about(result, findings),
    )


def findings_about(result: AttackResult, findings: Iterable[Finding]) -> tuple[str, ...]:
    """The names of the findings that speak against a result, each once."""
    attacks = {result.attack.name, *parts_of(result.attack.name)}
    return tuple(dict.fromkeys(found.name for found in findings if found.applies_to(attacks, result.epsilon)))


def in_float32(model: ModelId) -> ModelId:
    """Weights as attacks judge them: in float32, whatever gradients were worked out in."""
    return msgspec.structs.replace(model, precision="float32")


class RowWriter:
    """The rows of one evaluation. What is in the results already is not added again."""

    def __init__(self, results: Results, model: ModelId, dataset: DatasetId, config: AttackConfig, seed: int) -> None:
        self.rows: list[Row] = []
        self._results, self._model, self._dataset = results, in_float32(model), dataset
        self._config, self._seed = config, seed
        self._attacked: list[AttackResult] = []

    def add(self, result: AttackResult, findings: Sequence[Finding]) -> None:
        """Make a row of a result, and add it with its predictions."""
        condition = condition_of(result.attack, result.epsilon, self._config, self._seed)
        row = row_of(result, condition, self._model, self._dataset, findings)
        self.rows.append(row)
        self._attacked.append(result)
        self._results.add_once(EvalResult((row,), result.predictions))

    def mark(self, findings: Sequence[Finding]) -> list[EvalResult]:
        """Every measurement with all findings; rows that findings which came last speak against are added anew."""
        marked = []
        for row, result in zip(self.rows, self._attacked, strict=True):
            row = msgspec.structs.replace(row, findings=findings_about(result, findings))  # noqa: PLW2901
            marked.append(EvalResult((row,), result.predictions))
            self._results.add_once(marked[-1])
        return marked

    def wins(self) -> list[Finding]:
        """Where attacks without gradients broke images that those with gradients, which came first, had not."""
        found = []
        for epsilon in sorted({result.epsilon for result in self._attacked if _kind(result) == "white-box"}):
            white, black = self._broken(epsilon, ("white-box",)), self._broken(epsilon, ("black-box", "noise"))
            found += list(black_box_wins(white, black, epsilon, format_epsilon(epsilon, self._config.norm)))
        return found

    def _broken(self, epsilon: float, kinds: tuple[str, ...]) -> np.ndarray:
        """Which images were broken by any attack of these kinds, in this ball or a smaller one, bool (N,)."""
        broken = [result.newly for result in self._attacked if result.epsilon <= epsilon and _kind(result) in kinds]
        return np.any([np.zeros_like(self._attacked[0].broken), *broken], axis=0)


def tell_findings(findings: Sequence[Finding], *, strict: bool) -> None:
    """Print findings, or, if they are to be fatal, raise `UserError` with all of them."""
    if findings and strict:
        raise UserError(f"`strict`: {'; '.join(map(str, findings))}")
    if this_process().is_main_process:
        for finding in findings:
            console.print(f"finding: {finding}", markup=False, highlight=False, soft_wrap=True)


def _kind(result: AttackResult) -> str:
    return ATTACKS[result.attack.name].kind if result.attack.name in ATTACKS else "ensemble"
