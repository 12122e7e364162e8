"""What a measurement of speed can be asked for; no torch is needed to read it."""

import dataclasses
import math
from pathlib import Path
from typing import Literal

import tyro

from doublevit.errors import UserError


@dataclasses.dataclass(frozen=True)
class Speed:
    """What a run's network costs on this machine: photos a second, memory, parameters, multiplications.

    Photos a second and memory are those of inference and of whole training steps (forward, backward, optimiser; no
    augmentation), the latter only if the recipe trains something. Photos are random, of the size of the run's own, or,
    where those are not on this machine, of what the network sees. Memory is the most that tensors hold at a time; MACs
    are the multiplications for one photo with dense attention. The numbers are added to the run's results. Let nothing
    else run meanwhile, and compare numbers of one machine only.
    """

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    batch_size: int = 32
    """Photos at a time."""
    seconds: float = 3.0
    """About how long to time inference, and as long again training; at least five batches of each are timed."""
    precision: Literal["auto", "float32", "bfloat16"] | None = None
    """What matrix products run in; if not given, as in training."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UserError(f"--batch-size: expected at least 1, found {self.batch_size}")
        if not 0 < self.seconds < math.inf:
            raise UserError(f"--seconds: expected more than 0, found {self.seconds:g}")
