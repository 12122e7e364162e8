"""Rows in words, and keys of what may be compared: which images, corruptions, attack, device."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from doublevit import strict_json
from doublevit.attacks.epsilons import format_epsilon
from doublevit.data.identity import describe_subset
from doublevit.models.config import ELSEWHERE
from doublevit.models.top_k import Recorded, mention
from doublevit.runs.conditions import Attack, Corruption, CorruptionMean, CorruptionSource, Speed, Transfer
from doublevit.runs.row import Row

SPACES = {"image": "epsilon in the image's own pixels", "input": "epsilon in the network's input"}
BUDGETS = {
    "nested": "nested budgets (what is broken is spared larger epsilons and later attacks)",
    "independent": "independent budgets",
}
NOT_IN_ATTACK_KEY = ("epsilon", "chain", "part_of", "made_on")
"""Fields of a condition in which the rows of one table of an attack may differ."""


def comparison_key(*facts: object) -> str:
    """Return a text that is the same for equal facts: only scores with the same key may be compared."""
    return strict_json.canonical(facts).decode()


def is_published(row: Row) -> bool:
    """Return whether a row is of a published corrupted set, whose images are not the run's own."""
    return isinstance(row.condition, Corruption | CorruptionMean) and row.condition.source.kind == "published"


def images_key(row: Row) -> str:
    """Return a key that is the same for rows of the very same images."""
    return comparison_key(row.dataset and row.dataset.key, row.count)


def describe_images(row: Row) -> str:
    """Describe the images of a row, such as "first 100"; of a published corrupted set, also its archive."""
    if row.dataset is None:
        return ""
    archive = f"{row.dataset.source} {row.dataset.checksum}".strip() + ", " if is_published(row) else ""
    return archive + (describe_subset(row.dataset.subset) or f"all {row.count:,} images")


def describe_source(source: CorruptionSource, frost: str | None = None) -> str:
    """Describe a corrupted set: what no number on it may be shown without."""
    parts = {
        "constants": source.constants,
        "seed": source.seed,
        "frost:": frost,
        "saved as": source.saved_as,
        "version": source.version if source.version != 1 else None,
    }
    known = [f"{name} {value}" for name, value in parts.items() if value is not None]
    return ", ".join([f"{source.kind} corruptions", *known])


def describe_severities(severities: tuple[int, ...]) -> str:
    """Describe severities, such as "severities 1 3"."""
    return f"severit{'ies' if len(severities) > 1 else 'y'} {' '.join(map(str, severities))}"


def attack_key(row: Row, condition: Attack | Transfer) -> str:
    """Return a key that is the same for rows that differ only in epsilon and in what was run before on the images."""
    facts = msgspec.to_builtins(condition)
    facts = {name: value for name, value in facts.items() if name not in NOT_IN_ATTACK_KEY}
    return comparison_key(images_key(row), facts | {"parameters": _without_none(condition.parameters)})


def describe_attack(row: Row, condition: Attack | Transfer) -> str:
    """Describe the images and hyperparameters of an attack."""
    parts = [describe_images(row), SPACES[condition.space], BUDGETS[condition.budgets]]
    parts += [_describe_parameters(condition.parameters)] if _without_none(condition.parameters) else []
    parts += [f"{condition.restarts} restarts"] if condition.restarts > 1 else []
    parts += [f"drawn in batches of {condition.batch_size}"] if condition.batch_size is not None else []
    parts += [f"after {', '.join(condition.after)}"] if isinstance(condition, Attack) and condition.after else []
    return ", ".join([*parts, f"seed {condition.attack_seed}"])


def describe_epsilon(norm: str | None, epsilon: float | None) -> str:
    """Describe an epsilon: "1/255" for Linf, "0.5" for other norms, "-" for an attack without one."""
    return "-" if norm is None or epsilon is None else format_epsilon(epsilon, norm)


def describe_speed(row: Row) -> str:
    """Describe device, batches and precision of a row of speed; "" for any other row."""
    condition = row.condition
    if not isinstance(condition, Speed):
        return ""
    height, width = condition.image_size
    images = f"batches of {condition.batch_size:,} random images of {height} x {width} pixels"
    return f"{condition.device}, {images}, {row.precision}"


def describe_network(model: Mapping[str, Any]) -> str:
    """Describe a network, as in "vit-ti16 + vit-ti16@32, cross attention after 9 (residual), linear head"."""
    branches = " + ".join(filter(None, [model["backbone"], model.get("coarse")]))
    after = (model.get("cross") or {}).get("after") or []
    cross = f", cross attention after {' and '.join(map(str, after))} ({model['cross']['fusion']})" if after else ""
    init = model.get("head_init", "zeros")
    start = "" if init == "zeros" else f" ({init})"
    head = "" if model["weights"] == ELSEWHERE else f", {model['head']} head{start}"
    return f"{branches}{cross}{head}"


def describe_attention(top_k: Recorded) -> str:
    """Describe attention: "dense", or sparse such as "top-k 8"."""
    return mention(top_k) or "dense"


def _without_none(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}


def _describe_parameters(parameters: Mapping[str, Any]) -> str:
    """Describe hyperparameters, such as "relative step 0.25, steps 10"."""
    plain = json.dumps(_without_none(parameters), sort_keys=True)
    return plain.translate(str.maketrans("", "", '{}":')).replace("_", " ")
