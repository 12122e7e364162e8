"""Rows of attacks, added to a run's results as they come, and what attacks of different kinds say of each other."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from doublevit.adversarial.campaign import Told
from doublevit.adversarial.rows import condition_of, row_of
from doublevit.attacks.checks import Finding, black_box_wins
from doublevit.attacks.config import ATTACKS, AttackConfig
from doublevit.attacks.epsilons import show
from doublevit.evaluate import Subject
from doublevit.processes import this_process
from doublevit.results import Predictions, Row
from doublevit.run_folder import RunFolder


class Ledger:
    """The rows of one evaluation. What stands in the results already, to the letter, is not added again.

    `said` is what the condition of every row says besides.
    """

    def __init__(
        self, run: RunFolder, subject: Subject, dataset: str, config: AttackConfig, said: Mapping[str, Any]
    ) -> None:
        self.rows: list[Row] = []
        self._run, self._subject, self._dataset = run, subject, dataset
        self._config, self._said = config, said
        self._known = run.rows()
        self._told: list[Told] = []

    def add(self, told: Told, findings: Sequence[Finding]) -> None:
        """Make a row of what was told, and keep it with its predictions."""
        condition = condition_of(told, self._config) | dict(self._said)
        row = row_of(told, condition, self._subject, self._dataset, findings)
        self.rows.append(row)
        self._told.append(told)
        self._keep(row, told.predictions)

    def mark(self, findings: Sequence[Finding]) -> None:
        """Findings that came last speak against every row: those without them are added anew."""
        names = [finding.name for finding in findings]
        self.rows = [dataclasses.replace(row, findings=names) for row in self.rows]
        for row, told in zip(self.rows, self._told, strict=True):
            self._keep(row, told.predictions)

    def wins(self) -> list[Finding]:
        """Where attacks without gradients felled photos that those with gradients had not."""
        found = []
        for epsilon in sorted({told.epsilon for told in self._told if self._kind(told) == "white-box"}):
            white, black = self._fell(epsilon, ("white-box",)), self._fell(epsilon, ("black-box", "noise"))
            found += list(black_box_wins(white, black, show(epsilon, self._config.norm)))
        return found

    def _keep(self, row: Row, predictions: Predictions) -> None:
        if this_process().is_main_process and row not in self._known:
            self._run.add_results([row], predictions)
            self._known.append(row)

    def _kind(self, told: Told) -> str:
        return ATTACKS[told.said.attack].kind if told.said.attack in ATTACKS else "ensemble"

    def _fell(self, epsilon: float, kinds: tuple[str, ...]) -> np.ndarray:
        """Which photos fell to any attack of these kinds, bool (N,)."""
        fell = [told.fell for told in self._told if told.epsilon == epsilon and self._kind(told) in kinds]
        return np.any([np.zeros_like(self._told[0].fell), *fell], axis=0)
