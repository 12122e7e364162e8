"""What every part means by photos."""

from typing import Protocol

import numpy as np


class Images(Protocol):
    """What is asked of photos uint8 (N, H, W, 3): an array is this, and so are photos made when they are asked for."""

    @property
    def dtype(self) -> np.dtype: ...

    @property
    def ndim(self) -> int: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, which: np.ndarray, /) -> np.ndarray: ...
