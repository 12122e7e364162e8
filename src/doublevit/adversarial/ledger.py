"""Rows of attacks, added to a run's results as they come, and what attacks of different kinds say of each other."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from doublevit.adversarial.campaign import Told
from doublevit.adversarial.rows import condition_of, findings_about, row_of
from doublevit.attacks.checks import Finding, black_box_wins
from doublevit.attacks.config import ATTACKS, AttackConfig
from doublevit.attacks.epsilons import show
from doublevit.errors import UserError
from doublevit.evaluate import Subject
from doublevit.processes import this_process
from doublevit.progress import console
from doublevit.results import Predictions, Row
from doublevit.run_folder import RunFolder


def add_once(run: RunFolder, row: Row, predictions: Predictions, known: list[Row]) -> None:
    """Add a row to a run's results, unless it is `known` there but for the seconds; and predictions, if missing."""
    if not this_process().is_main_process:
        return
    untimed = dataclasses.replace(row, seconds=0.0)
    if untimed not in (dataclasses.replace(other, seconds=0.0) for other in known):
        run.add_results([row], predictions)
        known.append(row)
    elif not run.predictions(row).is_file():
        predictions.save(run.predictions(row))


class Ledger:
    """The rows of one evaluation. What stands in the results already is not added again."""

    def __init__(self, run: RunFolder, subject: Subject, dataset: str, config: AttackConfig, seed: int) -> None:
        self.rows: list[Row] = []
        self._run, self._subject, self._dataset = run, subject, dataset
        self._config, self._seed = config, seed
        self._known = run.rows()
        self._told: list[Told] = []

    def add(self, told: Told, findings: Sequence[Finding]) -> None:
        """Make a row of what was told, and keep it with its predictions."""
        condition = condition_of(told, self._config, self._seed)
        row = row_of(told, condition, self._subject, self._dataset, findings)
        self.rows.append(row)
        self._told.append(told)
        self._keep(row, told.predictions)

    def mark(self, findings: Sequence[Finding]) -> None:
        """Findings that came last: rows that they speak against are added anew, with them."""
        for place, told in enumerate(self._told):
            self.rows[place] = dataclasses.replace(self.rows[place], findings=findings_about(told, findings))
            self._keep(self.rows[place], told.predictions)

    def wins(self) -> list[Finding]:
        """Where attacks without gradients felled photos that those with gradients, which came first, had not."""
        found = []
        for epsilon in sorted({told.epsilon for told in self._told if self._kind(told) == "white-box"}):
            white, black = self._fell(epsilon, ("white-box",)), self._fell(epsilon, ("black-box", "noise"))
            found += list(black_box_wins(white, black, epsilon, show(epsilon, self._config.norm)))
        return found

    def _keep(self, row: Row, predictions: Predictions) -> None:
        add_once(self._run, row, predictions, self._known)

    def _kind(self, told: Told) -> str:
        return ATTACKS[told.said.attack].kind if told.said.attack in ATTACKS else "ensemble"

    def _fell(self, epsilon: float, kinds: tuple[str, ...]) -> np.ndarray:
        """Which photos were felled by any attack of these kinds, in this ball or a smaller one, bool (N,)."""
        fell = [told.news for told in self._told if told.epsilon <= epsilon and self._kind(told) in kinds]
        return np.any([np.zeros_like(self._told[0].fell), *fell], axis=0)


def tell_findings(findings: Sequence[Finding], *, strict: bool) -> None:
    """Print findings, or, if they are to be fatal, raise `UserError` with all of them."""
    if findings and strict:
        raise UserError(f"--strict: {'; '.join(map(str, findings))}")
    if this_process().is_main_process:
        for finding in findings:
            console.print(f"finding: {finding}", markup=False, highlight=False, soft_wrap=True)
