"""A row: one measured number with all that it takes to know what it is."""

import math
from typing import Any

from doublevit import strict_json
from doublevit.data.identity import DatasetId
from doublevit.runs.conditions import AdaptationId, CheckpointId, Condition, ModelId, Record

ROW_VERSION = 2


class OtherVersion(ValueError):  # noqa: N818  # it is about the row, not about an error in it
    """A row that another version of doublevit wrote."""


class ResultKey(Record, frozen=True, kw_only=True):
    """What rows of one measurement have in common: which network, which images and how many, under which condition.

    `dataset` is None where no image of a data set was looked at.
    """

    model: ModelId
    dataset: tuple[Any, ...] | None
    count: int
    condition: Condition


class Row(Record, frozen=True, kw_only=True):
    """One measured number with all that it takes to know what it is. Accuracies are fractions in 0..1.

    `low` and `high` bound the 95 % interval; `count` images were looked at; `seconds` is the wall time of the pass that
    gave it (for an attack, of all its batches, in whichever process); `findings` names the checks that speak against
    believing it; `seed` is that of the training run. See `runs.conditions` for what the other fields hold.
    """

    model: str
    dataset: DatasetId | None
    condition: Condition
    metric: str
    value: float
    low: float
    high: float
    count: int
    seed: int
    checkpoint: CheckpointId
    precision: str
    seconds: float
    top_k: tuple[int | float, ...] | None = None
    adapted: AdaptationId | None = None
    findings: tuple[str, ...] = ()
    version: int = ROW_VERSION

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count is {self.count}: expected at least 1")
        if not math.isfinite(self.value) or not math.isfinite(self.seconds):
            raise ValueError(f"value {self.value} and seconds {self.seconds}: expected finite numbers")

    @property
    def model_id(self) -> ModelId:
        """What was measured."""
        return ModelId(**{name: getattr(self, name) for name in ModelId.__struct_fields__})

    @property
    def key(self) -> ResultKey:
        """What this row shares with others of the same measurement."""
        return ResultKey(
            model=self.model_id,
            dataset=None if self.dataset is None else self.dataset.key,
            count=self.count,
            condition=self.condition,
        )

    @property
    def is_accuracy(self) -> bool:
        """Whether it is the accuracy that predictions beside it give."""
        return self.metric.removeprefix("robust ").startswith("top-")

    @property
    def top(self) -> int:
        """How many classes an accuracy allows: 3 for top-3."""
        return int(self.metric.rpartition("top-")[2])


def row_from(entry: dict[str, Any]) -> Row:
    """A row as a line of results.jsonl has it.

    Raises:
        OtherVersion: it is of another version.
        ValueError: something is missing, unknown, or not of its kind.
    """
    if (version := entry.get("version")) != ROW_VERSION:
        raise OtherVersion(f"version {version if version is not None else 1}")
    condition = entry.get("condition")
    if isinstance(condition, dict) and condition.get("space") == "photo":  # what it was called in older rows
        entry = entry | {"condition": condition | {"space": "image"}}
    return strict_json.convert(entry, Row)
