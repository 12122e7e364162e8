"""A row: one measured number with all that it takes to know what it is."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

ROW_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Row:
    """One measured number with all that it takes to know what it is. Accuracies are shares in 0..1.

    `condition` says what was done to the photos, `{"kind": "clean"}` at the least; `low` and `high` bound the 95 %
    interval; `checkpoint` says which weights, and whether as the last or the best (that was chosen on these photos);
    `seconds` is the wall time of the pass that gave it (of an attack, of all its batches, in whichever process);
    `findings` names the checks that speak against believing it. `top_k` is the sparse attention that it was measured
    with, whatever the network was trained with; `adapted`, how batch norm was adapted to these photos, if it was.
    """

    model: str
    dataset: str
    condition: Mapping[str, Any]
    metric: str
    value: float
    low: float
    high: float
    count: int
    seed: int
    checkpoint: str
    precision: str
    seconds: float
    findings: list[str] = dataclasses.field(default_factory=list)
    top_k: str = "none"
    adapted: str = ""
    version: int = ROW_VERSION


def row_from(entry: Mapping[str, Any]) -> Row:
    """A row as a line of results.jsonl has it.

    Raises:
        ValueError: something is missing, unknown, or not of its kind.
    """
    missing, unknown = NEEDED - entry.keys(), entry.keys() - FIELDS.keys()
    if missing or unknown:
        raise ValueError(
            ", ".join([*(f"without {name}" for name in missing), *(f"unknown: {name}" for name in unknown)])
        )
    condition = entry["condition"]
    if not isinstance(condition, dict) or not isinstance(condition.get("kind"), str):
        raise ValueError(f"condition is {_short(condition)}")
    for name, fits in CHECKS.items():
        if name in entry and not fits(entry[name]):
            raise ValueError(f"{name} is {_short(entry[name])}")
    for name, kind in CONDITIONS.get(condition["kind"], {}).items():
        if not isinstance(condition.get(name), kind):
            raise ValueError(f"{name} of its condition is {_short(condition.get(name))}")
    return Row(**entry)


FIELDS = {field.name: field for field in dataclasses.fields(Row)}
NEEDED = {
    name
    for name, field in FIELDS.items()
    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
}


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value > 0


CHECKS: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(("model", "dataset", "metric", "checkpoint", "precision", "top_k", "adapted"), _is_text),
    **dict.fromkeys(("value", "seconds"), _is_finite),
    **dict.fromkeys(("low", "high", "seed"), _is_number),
    "count": _is_count,
}
CONDITIONS: dict[str, dict[str, type]] = {
    "corruption": {"corruption": str, "severity": int},
    "attack": {"attack": str},
    "transfer": {"attack": str},
}
"""What conditions of some kinds must have."""


def _short(value: object) -> str:
    return json.dumps(value)[:60]
