"""What every part means by images."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np


class Images(Protocol):
    """What is asked of images uint8 (N, H, W, 3): an array is this, and so are images made when they are asked for."""

    @property
    def dtype(self) -> np.dtype: ...

    @property
    def ndim(self) -> int: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, which: np.ndarray, /) -> np.ndarray: ...


def pieces(images: Images, length: int) -> Iterator[np.ndarray]:
    """All images in their order, at most `length` at a time."""
    for start in range(0, len(images), length):
        yield images[np.arange(start, min(start + length, len(images)))]


class MadeOnDemand:
    """As good as an array uint8 (N, H, W, 3) that is indexed by its first axis; a subclass says how images are made."""

    dtype = np.dtype(np.uint8)
    ndim = 4

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, 3)."""
        raise NotImplementedError

    def make(self, indices: np.ndarray) -> np.ndarray:
        """The images at some places, uint8 (n, H, W, 3)."""
        raise NotImplementedError

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: np.ndarray | slice | int) -> np.ndarray:
        indices = np.arange(len(self))[which]
        return self.make(indices) if np.ndim(indices) else self.make(indices[None])[0]
