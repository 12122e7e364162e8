"""Batch after batch, timed: photos a second, and how sure that is."""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import bootstrap

from doublevit import progress
from doublevit.speed.machine import synchronise
from doublevit.statistics import ROUNDS, Estimate

WARM, LEAST = 2, 5  # batches before the clock counts, and on the clock, however long they take
WARM_SHARE = 0.2  # of the time, so that a GPU's clock has risen and its kernels are chosen


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds that each batch of `photos` photos took, float64 (batches,)."""

    taken: np.ndarray
    photos: int

    @property
    def count(self) -> int:
        """Photos in all."""
        return self.photos * len(self.taken)

    def rate(self) -> Estimate:
        """Photos a second: the median over the batches, with the bootstrap's 95 % interval of it (Efron 1979).

        It says how well this process's median is known now; another day the machine may be in another mood.
        """
        rates = self.photos / self.taken
        drawn = bootstrap(
            (rates,), np.median, n_resamples=ROUNDS, batch=100, method="percentile", rng=np.random.default_rng(0)
        )
        low, high = drawn.confidence_interval
        return Estimate(float(np.median(rates)), float(low), float(high))


def time_batches(
    work: Callable[[], object], photos: int, seconds: float, device: torch.device, title: str = "timing"
) -> Timing:
    """Time `work` again and again, after warming up.

    Args:
        work: computes one batch.
        photos: how many there are in it.
        seconds: about how long to go on; five batches are timed however long they take.
        device: is waited for after every batch.
        title: of the progress bar.
    """
    with progress.bar(title, photos * (WARM + LEAST)) as bar:

        def once() -> float:
            start = time.perf_counter()
            work()
            synchronise(device)
            taken = time.perf_counter() - start
            bar.advance(photos)
            return taken

        warm: list[float] = []
        while len(warm) < WARM or sum(warm) < WARM_SHARE * seconds:
            warm.append(once())
        batches = max(LEAST, math.ceil(seconds / statistics.median(warm)))
        bar.set_total(photos * (len(warm) + batches))
        return Timing(np.array([once() for _ in range(batches)]), photos)
