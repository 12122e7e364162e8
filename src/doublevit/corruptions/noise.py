"""Noise: Gaussian, shot, impulse and speckle."""

import functools

import numpy as np
from scipy import stats

from doublevit.corruptions.config import Constants
from doublevit.corruptions.draws import CorruptionDraws
from doublevit.corruptions.levels import UNIT, to_levels, to_unit


def draw_normal(draws: CorruptionDraws, images: np.ndarray, constants: Constants) -> dict[str, np.ndarray]:
    """Draw `noise`: normal, with the severity's standard deviation, float32 (N, H, W, 3)."""
    (deviation,) = constants
    noise = draws.normal(images[0].size)
    noise *= np.float32(deviation)
    return {"noise": noise.reshape(images.shape)}


def gaussian_noise(images: np.ndarray, _: Constants, noise: np.ndarray) -> np.ndarray:
    """Add normal noise of the same strength at every brightness, as a hot sensor does."""
    values = to_unit(images)
    values += noise
    return to_levels(values)


def speckle_noise(images: np.ndarray, _: Constants, noise: np.ndarray) -> np.ndarray:
    """Add normal noise proportional to the brightness."""
    values = to_unit(images)
    values += values * noise
    return to_levels(values)


def draw_counts(draws: CorruptionDraws, images: np.ndarray, constants: Constants) -> dict[str, np.ndarray]:
    """Draw `counts`: the number of photons for each value, Poisson with its brightness as mean, uint32 (N, H, W, 3).

    By Walker's alias method: a word's upper bits choose a slot of the level's table, its lower bits decide between the
    slot's count and its alias. The resolution of the lower bits, about 2**-20, limits the accuracy.
    """
    (photons,) = constants
    threshold, alias = _alias_tables(photons)
    bits = int(threshold.shape[1]).bit_length() - 1
    words = draws.words(images[0].size).reshape(images.shape)
    slot = words >> np.uint32(32 - bits)
    cell = images.astype(np.intp)
    cell <<= bits
    cell += slot
    is_slot = (words << np.uint32(bits)) < threshold.take(cell)
    return {"counts": np.where(is_slot, slot, alias.take(cell))}


def shot_noise(images: np.ndarray, constants: Constants, counts: np.ndarray) -> np.ndarray:
    """Replace each value by its count of photons."""
    (photons,) = constants
    return to_levels(np.arange(counts.max() + 1) / photons).take(counts)


def draw_impulses(draws: CorruptionDraws, images: np.ndarray, constants: Constants) -> dict[str, np.ndarray]:
    """Draw `pepper` and `salt`, the values that turn 0 and 255: half of the fraction each, bool (N, H, W, 3)."""
    (fraction,) = constants
    words = draws.words(images[0].size).reshape(images.shape)
    half = np.uint32(fraction / 2 * 2**32)
    return {"pepper": words < half, "salt": words >= ~half}


def impulse_noise(images: np.ndarray, _: Constants, pepper: np.ndarray, salt: np.ndarray) -> np.ndarray:
    """Set single values to 0 (pepper) and 255 (salt)."""
    # As bytes, False and True are 0 and 1, and 0 - 1 is 255: every bit set.
    keep, white = pepper.view(np.uint8) - np.uint8(1), np.uint8(0) - salt.view(np.uint8)
    return (images & keep) | white


@functools.lru_cache(maxsize=16)
def _alias_tables(photons: float) -> tuple[np.ndarray, np.ndarray]:
    """Return thresholds and aliases, uint32 (256, slots), of the Poisson distribution of each level's counts."""
    slots = 1 << int(stats.poisson.isf(1e-12, photons)).bit_length()
    masses = stats.poisson.pmf(np.arange(slots), UNIT[:, None] * photons) * slots
    masses[:, -1] += slots - masses.sum(axis=1)  # the last slot takes the tail and rounding errors
    threshold, alias = np.full(masses.shape, 2**32 - 1, np.uint32), np.zeros(masses.shape, np.uint32)
    for level in range(256):
        _fill_slots(masses[level], threshold[level], alias[level])
    return threshold, alias


def _fill_slots(masses: np.ndarray, threshold: np.ndarray, alias: np.ndarray) -> None:
    """Build the table of one distribution (Vose 1991): a slot below 1 is filled up from one above."""
    alias[:] = np.arange(len(masses))
    small, large = list(np.flatnonzero(masses < 1)), list(np.flatnonzero(masses >= 1))
    left = masses.tolist()
    while small and large:
        low, high = small.pop(), large[-1]
        threshold[low], alias[low] = int(max(left[low], 0) * (2**32 - 1)), high
        left[high] -= 1 - left[low]
        if left[high] < 1:
            small.append(large.pop())
