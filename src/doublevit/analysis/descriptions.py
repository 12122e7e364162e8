"""The facts of a row in words: which images, which corruptions, which attack, which device."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from doublevit import strict_json
from doublevit.attacks.epsilons import format_epsilon
from doublevit.data.identity import describe_subset
from doublevit.models.top_k import Recorded, mention
from doublevit.runs.conditions import Attack, Corruption, CorruptionMean, CorruptionSource, Speed, Transfer
from doublevit.runs.row import Row

SPACES = {"image": "epsilon in the image's own pixels", "input": "epsilon in the network's input"}
BUDGETS = {
    "nested": "nested budgets (what is broken is spared larger epsilons and later attacks)",
    "independent": "independent budgets",
}
ANY_EPSILON = ("epsilon", "chain", "part_of")
"""Fields in which rows of one attack may differ and be shown in one table all the same."""


def comparison_key(*facts: object) -> str:
    """A text that is the same for equal facts: only numbers with the same key may be compared."""
    return strict_json.canonical(facts).decode()


def is_published(row: Row) -> bool:
    """Whether a row is of a published corrupted set, whose images are not the run's own."""
    return isinstance(row.condition, Corruption | CorruptionMean) and row.condition.source.kind == "published"


def images_key(row: Row) -> str:
    """The same for rows of the very same images."""
    return comparison_key(row.dataset and row.dataset.key, row.count)


def describe_images(row: Row) -> str:
    """Which images a row is of, such as "first 100"; of a published corrupted set, also which archive."""
    if row.dataset is None:
        return ""
    archive = f"{row.dataset.source} {row.dataset.checksum}".strip() + ", " if is_published(row) else ""
    return archive + (describe_subset(row.dataset.subset) or f"all {row.count:,} images")


def describe_source(source: CorruptionSource, frost: str | None = None) -> str:
    """A corrupted set, as its rows describe it: what can never be left out beside a number."""
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
    """Such as "severities 1 3"."""
    return f"severit{'ies' if len(severities) > 1 else 'y'} {' '.join(map(str, severities))}"


def attack_key(row: Row, condition: Attack | Transfer) -> str:
    """The same for rows that differ in nothing but epsilon and what was run before on the same images."""
    facts = msgspec.to_builtins(condition)
    facts = {name: value for name, value in facts.items() if name not in (*ANY_EPSILON, "made_on")}
    return comparison_key(images_key(row), facts | {"parameters": _given(condition.parameters)})


def describe_attack(row: Row, condition: Attack | Transfer) -> str:
    """Images and hyperparameters of an attack in words."""
    parts = [describe_images(row), SPACES[condition.space], BUDGETS[condition.budgets]]
    parts += [_describe_parameters(condition.parameters)] if _given(condition.parameters) else []
    parts += [f"{condition.restarts} restarts"] if condition.restarts > 1 else []
    parts += [f"drawn in batches of {condition.batch_size}"] if condition.batch_size is not None else []
    parts += [f"after {', '.join(condition.after)}"] if isinstance(condition, Attack) and condition.after else []
    return ", ".join([*parts, f"seed {condition.attack_seed}"])


def describe_epsilon(norm: str | None, epsilon: float | None) -> str:
    """Such as "1/255", or "0.5" for other norms than Linf; "-" for an attack without a ball."""
    return "-" if norm is None or epsilon is None else format_epsilon(epsilon, norm)


def describe_speed(row: Row) -> str:
    """What a measurement of speed was made on, and how; "" for any other row."""
    condition = row.condition
    if not isinstance(condition, Speed):
        return ""
    height, width = condition.image_size
    images = f"batches of {condition.batch_size:,} random images of {height} x {width} pixels"
    return f"{condition.device}, {images}, {row.precision}"


def describe_attention(top_k: Recorded) -> str:
    """Such as "top-k 8", or "dense"."""
    return mention(top_k) or "dense"


def _given(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}


def _describe_parameters(parameters: Mapping[str, Any]) -> str:
    """Such as "relative step 0.25, steps 10"."""
    plain = json.dumps(_given(parameters), sort_keys=True)
    return plain.translate(str.maketrans("", "", '{}":')).replace("_", " ")
