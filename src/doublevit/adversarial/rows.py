"""What is told of an attack, as rows."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from typing import Any

from doublevit.adversarial.campaign import Told
from doublevit.attacks.checks import Finding
from doublevit.attacks.config import ATTACKS, AttackConfig, entry_of, is_control, parts_of
from doublevit.attacks.foolbox.catalogue import FOOLBOX
from doublevit.evaluate import Subject
from doublevit.results import Row
from doublevit.statistics import wilson_interval

METRIC = "robust top-1"


def condition_of(told: Told, config: AttackConfig, seed: int) -> dict[str, Any]:
    """What a row says of how the model was attacked: all that decides its value."""
    said, name = told.said, told.said.attack
    nested = not config.independent and not is_control(name)
    condition = {
        "kind": "attack",
        "attack": name,
        **({"norm": config.norm, "epsilon": told.epsilon} if entry_of(name).norms else {}),
        "space": config.space,
        "budgets": "nested" if nested else "independent",
        "parameters": config.parameters_of(name),
        "restarts": config.times(name) if name in ATTACKS else config.restarts,
        "attack_seed": seed,
    }
    if name in FOOLBOX and FOOLBOX[name].random:
        condition["batch_size"] = config.batch_size  # on which its draws depend
    if nested and (chain := _chain_before(told, config)):
        condition["chain"] = chain
    more = {"part_of": said.part_of, "after": list(said.after)}
    return condition | {key: value for key, value in more.items() if value}


def _chain_before(told: Told, config: AttackConfig) -> str:
    """Eight digits for what was run on the same photos before: smaller epsilons, and attacks with their knobs."""
    smaller = [epsilon for epsilon in config.sizes if 0 < epsilon < told.epsilon]
    attacks = [[name, config.parameters_of(name), config.restarts, config.batch_size] for name in told.said.after]
    if not smaller and not attacks:
        return ""
    return hashlib.sha256(json.dumps([smaller, attacks], sort_keys=True).encode()).hexdigest()[:8]


def row_of(told: Told, condition: dict[str, Any], subject: Subject, dataset: str, findings: Iterable[Finding]) -> Row:
    """The share of photos that were right and stayed right, with Wilson's 95 % interval, and what speaks against it.

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
        findings=findings_about(told, findings),
        **dataclasses.asdict(subject),
    )


def findings_about(told: Told, findings: Iterable[Finding]) -> list[str]:
    """The names of the findings that speak against what is told, each once."""
    attacks = {told.said.attack, *parts_of(told.said.attack)}
    return list(dict.fromkeys(found.name for found in findings if found.speaks_against(attacks, told.epsilon)))


def float32(subject: Subject) -> Subject:
    """Weights as attacks judge them: in float32, whatever gradients were worked out in."""
    return dataclasses.replace(subject, precision="float32")
