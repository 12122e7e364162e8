"""Photos that stay encoded in their files until they are looked at."""

import dataclasses
from pathlib import Path

import numpy as np

from doublevit.data.archive import Files
from doublevit.data.decode import BadImage, decode_jpeg
from doublevit.errors import UserError
from doublevit.images import MadeOnDemand


@dataclasses.dataclass(frozen=True, eq=False)
class EncodedImages(MadeOnDemand):
    """The photos `names` in `files`, which lie at `path`; `side` is their (height, width).

    Raises:
        UserError: on indexing, if a photo cannot be read, or has another size.
    """

    path: Path
    files: Files
    names: list[str]
    side: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.names), *self.side, 3

    def make(self, indices: np.ndarray) -> np.ndarray:
        images = np.empty((len(indices), *self.side, 3), np.uint8)
        for image, index in zip(images, indices.tolist(), strict=True):
            image[:] = self._decode(self.names[index])
        return images

    def _decode(self, name: str) -> np.ndarray:
        try:
            image = decode_jpeg(self.files.read(name))
            (height, width), found = self.side, image.shape
            if found != self.shape[1:]:
                raise BadImage(f"expected {width} x {height} pixels, found {found[1]} x {found[0]}")
            return image
        except (BadImage, OSError, MemoryError, UserError) as error:
            raise UserError(f"{self.path}: cannot read {name} ({error}); fetch or make the set again") from error
