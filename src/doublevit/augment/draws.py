"""The random numbers of an epoch, drawn at once on the CPU."""

import numpy as np
import torch


def draw_table(seed: int, epoch: int, count: int, columns: int) -> torch.Tensor:
    """Uniform numbers in 0..1, float32 (count, columns): row i belongs to sample i and to nothing else."""
    # The third number keeps these draws apart from the shuffling, which is seeded with (seed, epoch).
    generator = np.random.default_rng([seed, epoch, 1])
    return torch.from_numpy(generator.random((count, columns), dtype=np.float32))
