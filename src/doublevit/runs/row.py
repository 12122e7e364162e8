"""Rows: measured numbers, each with all that it takes to know what it is."""

import math
from typing import Any

from doublevit import strict_json
from doublevit.data.identity import DatasetId
from doublevit.runs.conditions import AdaptationId, CheckpointId, Condition, ModelId, Record

ROW_VERSION = 2


class OtherVersion(ValueError):  # noqa: N818  # a sound row is no error
    """Tells that another version of doublevit wrote a row."""


class ResultKey(Record, frozen=True, kw_only=True):
    """Holds what the rows of one measurement have in common: network, images and their count, condition.

    `dataset` is None if no images of a data set were used.
    """

    model: ModelId
    dataset: tuple[Any, ...] | None
    count: int
    condition: Condition


class Row(Record, frozen=True, kw_only=True):
    """Holds one measured number with all that it takes to know what it is. Accuracies are fractions in 0..1.

    `low` and `high` bound the 95 % interval; `count` images were evaluated; `seconds` is the wall time of the pass
    (for an attack, of all its batches, in whichever process); `findings` names the checks of an attack that cast doubt
    on the number; `seed` is that of the training run. See `runs.conditions` for what the other fields hold.
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
        """The identity of the evaluated model."""
        return ModelId(**{name: getattr(self, name) for name in ModelId.__struct_fields__})

    @property
    def key(self) -> ResultKey:
        """The key that this row has in common with others of the same measurement."""
        return ResultKey(
            model=self.model_id,
            dataset=None if self.dataset is None else self.dataset.key,
            count=self.count,
            condition=self.condition,
        )

    @property
    def is_accuracy(self) -> bool:
        """Whether the value is an accuracy that can be computed from stored predictions."""
        return self.metric.removeprefix("robust ").startswith("top-")

    @property
    def top(self) -> int:
        """The k of a top-k accuracy."""
        return int(self.metric.rpartition("top-")[2])


def row_from(entry: dict[str, Any]) -> Row:
    """Make a row of an entry of results.jsonl.

    Raises:
        OtherVersion: another version of doublevit wrote the row.
        ValueError: a field is missing, unknown, or of a wrong type.
    """
    if (version := entry.get("version")) != ROW_VERSION:
        raise OtherVersion(f"version {version if version is not None else 1}")
    condition = entry.get("condition")
    if isinstance(condition, dict) and condition.get("space") == "photo":  # the name in older rows
        entry = entry | {"condition": condition | {"space": "image"}}
    return strict_json.convert(entry, Row)
