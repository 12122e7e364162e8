"""The record of a merged run, merge.json in its folder: whose weights its own are the mean of, and how that was found.

The curve is that of Wortsman et al. (2022), "Robust fine-tuning of zero-shot models" (WiSE-FT).
"""

from pathlib import Path

from doublevit import strict_json
from doublevit.files import write_text
from doublevit.runs.conditions import CheckpointId, Record
from doublevit.statistics import Estimate

FILE = "merge.json"


class MergedRun(Record, frozen=True, kw_only=True):
    """A run whose weights were merged, and its part of the mean, 0 to 1."""

    run: str
    checkpoint: CheckpointId
    weight: float


class Interval(Record, frozen=True):
    """An accuracy with its 95 % interval, as fractions."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, estimate: Estimate) -> "Interval":
        """Return the interval of an estimate."""
        return cls(estimate.value, estimate.low, estimate.high)


class AlphaAccuracy(Record, frozen=True, kw_only=True):
    """Accuracy at one alpha, on clean images and as the mean over corruptions."""

    alpha: float
    clean: Interval
    corrupted: Interval

    @property
    def mean(self) -> float:
        """The mean of both accuracies, by which alpha is chosen."""
        return (self.clean.value + self.corrupted.value) / 2


class Selection(Record, frozen=True, kw_only=True):
    """How alpha was chosen: on `count` training images, clean and under `corruptions` at one `severity`.

    `trained_on` tells whether the runs were trained on these very images, which then look too easy.
    """

    count: int
    trained_on: bool
    corruptions: tuple[str, ...]
    severity: int
    curve: tuple[AlphaAccuracy, ...]

    @property
    def best(self) -> AlphaAccuracy:
        """The entry of the curve with the highest mean, the smallest alpha of several."""
        return max(self.curve, key=lambda each: each.mean)


class MergeRecord(Record, frozen=True, kw_only=True):
    """The runs that were merged, and how alpha was chosen if it was not given."""

    sources: tuple[MergedRun, ...]
    selection: Selection | None = None


def write_merge_record(folder: Path, record: MergeRecord) -> None:
    """Write merge.json into a run's folder."""
    write_text(folder / FILE, strict_json.pretty(record))
