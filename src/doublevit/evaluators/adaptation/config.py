"""What a user can ask of batch-norm adaptation. Nothing here imports torch."""

import dataclasses
import math
from typing import Literal

from doublevit.errors import UserError, unknown

USED = {
    "none": (),
    "batch": ("prior", "batch_size"),
    "set": ("prior", "batch_size"),
    "momentum": ("batch_size", "batches", "momentum"),
}
"""The hyperparameters that each method has."""


@dataclasses.dataclass(frozen=True)
class AdaptConfig:
    """Batch norm adapted to the images that are evaluated, without their labels; the run's weights stay as they are.

    Schneider et al. (2020), "Improving robustness against common corruptions by covariate shift adaptation":
    statistics become N / (N + n) of training's and n / (N + n) of those of n images. The images are shuffled by the
    evaluation's seed and cut into equal batches, so that no batch holds one class only.
    """

    method: Literal["none", "batch", "set", "momentum"] = "none"
    """batch: by each batch's own statistics; set: by those of all images; momentum: running ones move batch by batch
    (the paper's released code)."""
    prior: float = 16.0
    """N, the images that training's statistics count for: 0 leaves none of them. For batch and set."""
    batch_size: int = 100
    """Images in a batch of the adaptation, at most; unlike `batch_size` it changes the results."""
    batches: int | None = None
    """How many batches the running statistics move by; if not given, all. For momentum."""
    momentum: float = 0.1
    """How far they move towards each batch's, above 0 and up to 1. For momentum."""

    def __post_init__(self) -> None:
        if self.method not in USED:
            raise unknown("`adapt.method`", self.method, USED)
        if not (math.isfinite(self.prior) and self.prior >= 0):
            raise UserError(f"`adapt.prior`: expected a number of images, 0 or more, found {self.prior:g}")
        for name, count in (("batch_size", self.batch_size), ("batches", self.batches)):
            if count is not None and count < 1:
                raise UserError(f"`adapt.{name}`: expected at least 1, found {count}")
        if not 0 < self.momentum <= 1:
            raise UserError(f"`adapt.momentum`: expected above 0 and up to 1, found {self.momentum:g}")
        self._require_used()

    def _require_used(self) -> None:
        """No hyperparameter is given that the method does not have."""
        for field in dataclasses.fields(self)[1:]:
            if getattr(self, field.name) == field.default or field.name in USED[self.method]:
                continue
            methods = ", ".join(method for method, names in USED.items() if field.name in names)
            raise UserError(
                f"`adapt.{field.name}`: expected `adapt.method` to be one of {methods}, found {self.method}"
            )
