"""What was done to the images or the network before something was measured, as facts: the `condition` of every row."""

from typing import Any, Literal

import msgspec


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Facts that are written as JSON and read back strictly."""


class CheckpointId(Record, frozen=True, kw_only=True):
    """Which weights: the "last" or the "best" of a training, the checkpoint's name, eight digits of its contents."""

    which: Literal["last", "best"]
    name: str
    digest: str

    @property
    def weights(self) -> tuple[str, str]:
        """The same for the same weights: the last ones may be the best."""
        return self.name, self.digest

    def __str__(self) -> str:
        return f"{self.which}, {self.name}-{self.digest}"


class AdaptationId(Record, frozen=True, kw_only=True):
    """How batch norm was adapted to the images; hyperparameters that a method does not have are None."""

    method: Literal["batch", "set", "momentum"]
    layers: int
    batch_size: int
    seed: int
    prior: float | None = None
    batches: int | None = None
    momentum: float | None = None

    def __str__(self) -> str:
        how = {
            "batch": f"batch of {self.batch_size}, N={_plain(self.prior)}",
            "set": f"whole set in batches of {self.batch_size}, N={_plain(self.prior)}",
            "momentum": f"{self.batches or 'all'} batches of {self.batch_size}, momentum {_plain(self.momentum)}",
        }
        return f"batch norm: {self.layers} layers, {how[self.method]}, seed {self.seed}"


class ModelId(Record, frozen=True, kw_only=True):
    """What was measured: a run's name, the seed of its training, its weights, and how they were used.

    `top_k` is the sparse attention of the evaluation, whatever was trained with: keys (int) or fractions of them
    (float) for each stage, one for all; None is dense.
    """

    model: str
    seed: int
    checkpoint: CheckpointId
    precision: str
    top_k: tuple[int | float, ...] | None = None
    adapted: AdaptationId | None = None


class CorruptionSource(Record, frozen=True, kw_only=True):
    """Who made corrupted images, and with what; `saved_as` where they went through a file."""

    kind: Literal["home-made", "published"]
    constants: str | None = None
    seed: int | None = None
    version: int | None = None
    saved_as: str | None = None


class Clean(Record, frozen=True, kw_only=True, tag="clean", tag_field="kind"):
    """Images as they are."""


class Corruption(Record, frozen=True, kw_only=True, tag="corruption", tag_field="kind"):
    """One corruption at one severity; `frost` names the textures, where frost was laid over the images."""

    corruption: str
    severity: int
    source: CorruptionSource
    frost: str | None = None


class CorruptionMean(Record, frozen=True, kw_only=True, tag="corruption-mean", tag_field="kind"):
    """Several corruptions at the same severities, aggregated.

    `group` is the name of a known group of corruptions, "" for others. A change is relative to clean images, either
    "matched" (the same images) or "unmatched"; a relative error is relative to another model.
    """

    group: str
    corruptions: tuple[str, ...]
    severities: tuple[int, ...]
    source: CorruptionSource
    frost: str | None = None
    clean: Literal["matched", "unmatched"] | None = None
    relative_to: ModelId | None = None


class _AttackFacts(Record, frozen=True, kw_only=True):
    """All that decides what an attack does to an image.

    `norm` and `epsilon` are None for an attack without a ball. `budgets`: "nested" where images that were broken at a
    smaller epsilon or by an earlier attack were not attacked again. `batch_size` where random draws depend on it.
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
    """An attack on the network itself.

    `chain` digests what was run before on the same images (smaller epsilons, attacks, their hyperparameters), `after`
    names those attacks, `part_of` the ensemble that this attack is a part of.
    """

    chain: str = ""
    part_of: str = ""
    after: tuple[str, ...] = ()


class Transfer(_AttackFacts, frozen=True, kw_only=True, tag="transfer", tag_field="kind"):
    """Images that an attack made to fool another network."""

    made_on: ModelId


class Speed(Record, frozen=True, kw_only=True, tag="speed", tag_field="kind"):
    """Work on one batch of random images of `image_size` (height, width), timed or counted on a device."""

    device: str
    batch_size: int
    image_size: tuple[int, int]


Condition = Clean | Corruption | CorruptionMean | Attack | Transfer | Speed


def _plain(number: float | None) -> str:
    """Short, and different for different numbers."""
    return "-" if number is None else repr(float(number)).removesuffix(".0")


def frost_of(corruptions: tuple[str, ...], textures: str | None) -> str | None:
    """The name of the frost textures, where a condition must say it: only where frost is used."""
    return textures if "frost" in corruptions else None
