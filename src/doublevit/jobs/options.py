"""What an evaluation can be asked for; no torch is needed to read it."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from doublevit.corrupted.config import RobustnessConfig
from doublevit.errors import UserError


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Top-1 and top-3 accuracy of a run on its validation photos, clean or corrupted, added to its results."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    checkpoint: Literal["last", "best"] = "last"
    """last, or best: that was chosen on the same photos, so its accuracy is a little too good."""
    batch_size: int = 100
    """Photos at a time; changes nothing but speed and memory."""
    precision: Literal["auto", "float32", "bfloat16"] | None = None
    """What matrix products run in; if not given, as in training."""
    photos: int | None = None
    """Only the first so many validation photos."""
    robustness: Annotated[RobustnessConfig, tyro.conf.arg(name="")] = RobustnessConfig()

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UserError(f"--batch-size: expected at least 1, found {self.batch_size}")
