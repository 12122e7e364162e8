"""Photos that are corrupted when they are looked at, so that no corrupted set ever lies in memory."""

import dataclasses

import numpy as np

from doublevit.corruptions.config import require_known, table_for
from doublevit.corruptions.corrupt import corrupt, require_photos
from doublevit.corruptions.textures import Textures
from doublevit.images import Images


@dataclasses.dataclass(frozen=True, eq=False)
class CorruptedImages:
    """As good as an array uint8 (N, H, W, 3) that is indexed by its first axis; `images` are the clean ones.

    Raises:
        UserError: there is no such corruption or severity, or the images are of another kind, or too small.
    """

    images: Images
    name: str
    severity: int
    seed: int
    textures: Textures
    dtype = np.dtype(np.uint8)
    ndim = 4

    def __post_init__(self) -> None:
        require_known([self.name], [self.severity])
        require_photos(self.images)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, 3)."""
        return self.images.shape

    @property
    def table(self) -> str:
        """The name of the constants that are used."""
        return table_for(*self.shape[1:3]).name

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, which: np.ndarray | slice) -> np.ndarray:
        indices = np.arange(len(self))[which]
        return corrupt(self.images[indices], self.name, self.severity, self.seed, indices, self.textures)
