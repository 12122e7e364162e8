"""The options of batch-norm adaptation. Nothing here imports torch, so that the command line starts quickly."""

import dataclasses
import math
from typing import Literal

from doublevit.errors import UserError, unknown

HYPERPARAMETERS = {
    "none": (),
    "batch": ("prior", "batch_size"),
    "set": ("prior", "batch_size"),
    "momentum": ("batch_size", "batches", "momentum"),
}
"""By method, the names of the hyperparameters that it has."""


@dataclasses.dataclass(frozen=True)
class AdaptConfig:
    """Options that adapt batch norm to the images under evaluation, without labels; the run's weights stay as they are.

    Schneider et al. (2020), "Improving robustness against common corruptions by covariate shift adaptation":
    statistics become N / (N + n) of training's and n / (N + n) of those of n images. The images are shuffled by the
    evaluation's seed and cut into equal batches, so that no batch holds one class only.
    """

    method: Literal["none", "batch", "set", "momentum"] = "none"
    """batch: normalize by each batch's own statistics; set: by those of all images; momentum: by running statistics,
    updated batch by batch (as the paper's released code does)."""
    prior: float = 16.0
    """N, how many images training's statistics count for; 0 ignores them. For batch and set."""
    batch_size: int = 100
    """Images in a batch of the adaptation, at most; unlike `batch_size` it changes the results."""
    batches: int | None = None
    """How many batches update the running statistics; all if not given. For momentum."""
    momentum: float = 0.1
    """Weight of each batch in the running statistics, above 0 and up to 1. For momentum."""

    def __post_init__(self) -> None:
        if self.method not in HYPERPARAMETERS:
            raise unknown("`adapt.method`", self.method, HYPERPARAMETERS)
        if not (math.isfinite(self.prior) and self.prior >= 0):
            raise UserError(f"`adapt.prior`: expected a number of images, 0 or more, found {self.prior:g}")
        for name, count in (("batch_size", self.batch_size), ("batches", self.batches)):
            if count is not None and count < 1:
                raise UserError(f"`adapt.{name}`: expected at least 1, found {count}")
        if not 0 < self.momentum <= 1:
            raise UserError(f"`adapt.momentum`: expected above 0 and up to 1, found {self.momentum:g}")
        self._require_used()

    def _require_used(self) -> None:
        """Raise `UserError` where a hyperparameter is given that the method does not have."""
        for field in dataclasses.fields(self)[1:]:
            if getattr(self, field.name) == field.default or field.name in HYPERPARAMETERS[self.method]:
                continue
            methods = ", ".join(method for method, names in HYPERPARAMETERS.items() if field.name in names)
            raise UserError(
                f"`adapt.{field.name}`: expected `adapt.method` to be one of {methods}, found {self.method}"
            )
