"""What is told of an attack, as rows."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from doublevit.adversarial.campaign import Told
from doublevit.attacks.checks import Finding
from doublevit.attacks.config import AttackConfig, entry_of, is_control
from doublevit.evaluate import Subject
from doublevit.results import Row
from doublevit.statistics import wilson_interval

METRIC = "robust top-1"


def condition_of(told: Told, config: AttackConfig) -> dict[str, Any]:
    """What a row says of how the model was attacked."""
    said = told.said
    ball = {"norm": config.norm, "epsilon": told.epsilon} if entry_of(said.attack).norms else {}
    more = {"part_of": said.part_of, "after": list(said.after)}
    return {
        "kind": "attack",
        "attack": said.attack,
        **ball,
        "space": config.space,
        "budgets": "independent" if config.independent or is_control(said.attack) else "nested",
        "parameters": config.parameters_of(said.attack),
        "restarts": config.restarts,
        **{key: value for key, value in more.items() if value},
    }


def row_of(told: Told, condition: dict[str, Any], subject: Subject, dataset: str, findings: Iterable[Finding]) -> Row:
    """The share of photos that were right and stayed right, with Wilson's 95 % interval.

    What fell at an epsilon counts as fallen, and so does what was wrong before any attack.
    """
    count = len(told.fell)
    standing = count - int(told.fell.sum())
    low, high = wilson_interval(standing, count)
    return Row(
        dataset=dataset,
        condition=condition,
        metric=METRIC,
        value=standing / count,
        low=low,
        high=high,
        count=count,
        seconds=round(told.seconds, 3),
        findings=[finding.name for finding in findings],
        **dataclasses.asdict(subject),
    )


def float32(subject: Subject) -> Subject:
    """Weights as attacks judge them: in float32, whatever gradients were worked out in."""
    return dataclasses.replace(subject, precision="float32")
