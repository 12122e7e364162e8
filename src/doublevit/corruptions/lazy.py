"""Photos that are corrupted when they are looked at, so that no corrupted set ever lies in memory."""

import dataclasses

import numpy as np

from doublevit.corruptions.apply import corrupt, require_fit
from doublevit.corruptions.config import require_known
from doublevit.corruptions.textures import Textures
from doublevit.images import Images, MadeOnDemand


@dataclasses.dataclass(frozen=True, eq=False)
class CorruptedImages(MadeOnDemand):
    """`images`, corrupted.

    Raises:
        UserError: there is no such corruption or severity, or the images are of another kind, too small, or too large.
    """

    images: Images
    name: str
    severity: int
    seed: int
    textures: Textures

    def __post_init__(self) -> None:
        require_known([self.name], [self.severity])
        require_fit(self.images, self.name, self.textures)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.images.shape

    def make(self, indices: np.ndarray) -> np.ndarray:
        return corrupt(self.images[indices], self.name, self.severity, self.seed, indices, self.textures)
