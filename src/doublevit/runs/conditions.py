"""Conditions: what was done to images or network before a measurement, as facts. Every row has a `condition`."""

from typing import Any, Literal

import msgspec

from doublevit.data.identity import DatasetId


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Holds facts that are written as JSON and read back strictly: unknown fields are refused."""


class CheckpointId(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Identifies weights: the "last" or "best" of a training, the checkpoint's name, a digest (8 digits of SHA-256).

    `changed_data` where the training went on, after a stop, with other images than it had begun with.
    """

    which: Literal["last", "best"]
    name: str
    digest: str
    changed_data: bool = False

    @property
    def weights(self) -> tuple[str, str]:
        """The key by which weights are compared: the last checkpoint may also be the best."""
        return self.name, self.digest

    def __str__(self) -> str:
        changed = ", resumed on changed images" if self.changed_data else ""
        return f"{self.which}, {self.name}-{self.digest}{changed}"


class AdaptationId(Record, frozen=True, kw_only=True):
    """Identifies how batch norm was adapted to the images; hyperparameters that a method does not have are None."""

    method: Literal["batch", "set", "momentum"]
    layers: int
    batch_size: int
    seed: int
    prior: float | None = None
    batches: int | None = None
    momentum: float | None = None

    def __str__(self) -> str:
        description = {
            "batch": f"batch of {self.batch_size}, N={_plain(self.prior)}",
            "set": f"whole set in batches of {self.batch_size}, N={_plain(self.prior)}",
            "momentum": f"{self.batches or 'all'} batches of {self.batch_size}, momentum {_plain(self.momentum)}",
        }
        return f"batch norm: {self.layers} layers, {description[self.method]}, seed {self.seed}"


class ModelId(Record, frozen=True, kw_only=True):
    """Identifies an evaluated model: a run's name, the seed of its training, its weights, and how they were used.

    `top_k` is the sparse attention of the evaluation, whatever the training used: numbers of keys (int) or fractions of
    them (float), one for each stage or one for all; None is dense.
    """

    model: str
    seed: int
    checkpoint: CheckpointId
    precision: str
    top_k: tuple[int | float, ...] | None = None
    adapted: AdaptationId | None = None


class CorruptionSource(Record, frozen=True, kw_only=True):
    """Tells who made corrupted images, and how; `saved_as` is the file format if they were stored."""

    kind: Literal["home-made", "published"]
    constants: str | None = None
    seed: int | None = None
    version: int | None = None
    saved_as: str | None = None


class Clean(Record, frozen=True, kw_only=True, tag="clean", tag_field="kind"):
    """Describes unchanged images."""


class Gap(Record, frozen=True, kw_only=True, tag="gap", tag_field="kind"):
    """Describes the accuracy on unchanged images minus that on `clean_count` others of the same classes, `clean`."""

    clean: DatasetId
    clean_count: int


class Corruption(Record, frozen=True, kw_only=True, tag="corruption", tag_field="kind"):
    """Describes one corruption at one severity; `frost` names the textures if the corruption is frost."""

    corruption: str
    severity: int
    source: CorruptionSource
    frost: str | None = None


class CorruptionMean(Record, frozen=True, kw_only=True, tag="corruption-mean", tag_field="kind"):
    """Describes an aggregate over several corruptions at the same severities.

    `group` is the name of a known group of corruptions, "" for others. A change is relative to `clean` images, either
    "matched" (the same images) or "unmatched"; a relative error is relative to the model `relative_to`.
    """

    group: str
    corruptions: tuple[str, ...]
    severities: tuple[int, ...]
    source: CorruptionSource
    frost: str | None = None
    clean: Literal["matched", "unmatched"] | None = None
    relative_to: ModelId | None = None


class _AttackFacts(Record, frozen=True, kw_only=True):
    """Holds all that decides what an attack does to an image.

    `norm` and `epsilon` are None for an attack without a ball. `budgets` is "nested" if images that were broken at a
    smaller epsilon or by an earlier attack were not attacked again. `batch_size` is set if random draws depend on it.
    """

    attack: str
    norm: str | None
    epsilon: float | None
    space: Literal["image", "input"]
    budgets: Literal["nested", "independent"]
    parameters: dict[str, Any]
    restarts: int
    attack_seed: int
    batch_size: int | None = None


class Attack(_AttackFacts, frozen=True, kw_only=True, tag="attack", tag_field="kind"):
    """Describes an attack on the evaluated network itself.

    `chain` is a digest of what was run before on the same images (smaller epsilons, attacks, their hyperparameters),
    `after` names those attacks, `part_of` names the ensemble that this attack belongs to.
    """

    chain: str = ""
    part_of: str = ""
    after: tuple[str, ...] = ()


class Transfer(_AttackFacts, frozen=True, kw_only=True, tag="transfer", tag_field="kind"):
    """Describes images that an attack made to fool another network."""

    made_on: ModelId


class Speed(Record, frozen=True, kw_only=True, tag="speed", tag_field="kind"):
    """Describes work on one batch of random images, of `image_size` (height, width), measured on a device."""

    device: str
    batch_size: int
    image_size: tuple[int, int]


Condition = Clean | Gap | Corruption | CorruptionMean | Attack | Transfer | Speed


def _plain(number: float | None) -> str:
    """Format a number without a needless ".0"; different numbers give different texts."""
    return "-" if number is None else repr(float(number)).removesuffix(".0")


def frost_of(corruptions: tuple[str, ...], textures: str | None) -> str | None:
    """Return the name of the frost textures if frost is among the `corruptions`, else None."""
    return textures if "frost" in corruptions else None
