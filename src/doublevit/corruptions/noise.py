"""Noise: gaussian, shot, impulse, speckle."""

import functools

import numpy as np
from scipy import stats

from doublevit.corruptions.config import Constants
from doublevit.corruptions.draws import CorruptionDraws
from doublevit.corruptions.levels import UNIT, to_levels, to_unit


def draw_normal(draws: CorruptionDraws, images: np.ndarray, constants: Constants) -> dict[str, np.ndarray]:
    """`noise`: normal, of the severity's standard deviation, for every value."""
    (deviation,) = constants
    noise = draws.normal(images[0].size)
    noise *= np.float32(deviation)
    return {"noise": noise.reshape(images.shape)}


def gaussian_noise(images: np.ndarray, _: Constants, noise: np.ndarray) -> np.ndarray:
    """Normal noise, the same at every brightness (few photons, a hot sensor)."""
    values = to_unit(images)
    values += noise
    return to_levels(values)


def speckle_noise(images: np.ndarray, _: Constants, noise: np.ndarray) -> np.ndarray:
    """Normal noise that grows with the brightness."""
    values = to_unit(images)
    values += values * noise
    return to_levels(values)


def draw_counts(draws: CorruptionDraws, images: np.ndarray, constants: Constants) -> dict[str, np.ndarray]:
    """`counts`: how many photons each value caught, Poisson around its brightness.

    Walker's alias method: a word's upper bits choose a slot of the level's table, its lower bits whether the slot's
    own count is meant or the one that shares the slot. Exact to the 2**-20 or so that the lower bits can tell.
    """
    (photons,) = constants
    threshold, alias = _alias_tables(photons)
    bits = int(threshold.shape[1]).bit_length() - 1
    words = draws.words(images[0].size).reshape(images.shape)
    slot = words >> np.uint32(32 - bits)
    cell = images.astype(np.intp)
    cell <<= bits
    cell += slot
    own = (words << np.uint32(bits)) < threshold.take(cell)
    return {"counts": np.where(own, slot, alias.take(cell))}


def shot_noise(images: np.ndarray, constants: Constants, counts: np.ndarray) -> np.ndarray:
    """Light comes in photons: each value is how many were counted."""
    (photons,) = constants
    return to_levels(np.arange(counts.max() + 1) / photons).take(counts)


def draw_impulses(draws: CorruptionDraws, images: np.ndarray, constants: Constants) -> dict[str, np.ndarray]:
    """`pepper` and `salt`: which values turn black, and which white; half of the fraction each."""
    (fraction,) = constants
    words = draws.words(images[0].size).reshape(images.shape)
    half = np.uint32(fraction / 2 * 2**32)
    return {"pepper": words < half, "salt": words >= ~half}


def impulse_noise(images: np.ndarray, _: Constants, pepper: np.ndarray, salt: np.ndarray) -> np.ndarray:
    """Salt and pepper, value by value (a bit lost on the way)."""
    # As bytes, False and True are 0 and 1, and 0 - 1 is 255: every bit set.
    keep, white = pepper.view(np.uint8) - np.uint8(1), np.uint8(0) - salt.view(np.uint8)
    return (images & keep) | white


@functools.lru_cache(maxsize=16)
def _alias_tables(photons: float) -> tuple[np.ndarray, np.ndarray]:
    """For each level threshold uint32 and alias uint32, (256, slots), of the Poisson distribution of its counts."""
    slots = 1 << int(stats.poisson.isf(1e-12, photons)).bit_length()
    shares = stats.poisson.pmf(np.arange(slots), UNIT[:, None] * photons) * slots
    shares[:, -1] += slots - shares.sum(axis=1)  # the last slot takes what is farther out, and rounding
    threshold, alias = np.full(shares.shape, 2**32 - 1, np.uint32), np.zeros(shares.shape, np.uint32)
    for level in range(256):
        _fill_slots(shares[level], threshold[level], alias[level])
    return threshold, alias


def _fill_slots(shares: np.ndarray, threshold: np.ndarray, alias: np.ndarray) -> None:
    """Even out one distribution (Vose): a slot that holds less than 1 is filled up by one that holds more."""
    alias[:] = np.arange(len(shares))
    poor, rich = list(np.flatnonzero(shares < 1)), list(np.flatnonzero(shares >= 1))
    left = shares.tolist()
    while poor and rich:
        low, high = poor.pop(), rich[-1]
        threshold[low], alias[low] = int(max(left[low], 0) * (2**32 - 1)), high
        left[high] -= 1 - left[low]
        if left[high] < 1:
            poor.append(rich.pop())
