"""Perceptual hashes of 64 bits, and the search for all pairs of them that differ in few bits.

Source: C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010 (pHash): the signs of the
8 x 8 lowest frequencies but the constant ones of a discrete cosine transform, against their median.
"""

from collections.abc import Iterator

import numpy as np
import scipy.fft

THUMBNAIL = 32  # pixels of a side, of the image that is transformed
FREQUENCIES = 8
DISTANCE = 6
"""The most bits of 64 in which hashes of near-duplicates differ."""
BANDS, BITS = 4, 16
PAIRS = 1 << 21  # pairs that are compared at once

_COSINES = scipy.fft.dct(np.eye(THUMBNAIL), axis=0, norm="ortho")[1 : FREQUENCIES + 1].astype(np.float32)


def perceptual_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """Return the hashes, uint64 (N,), of gray images uint8 (N, 32, 32)."""
    waves = _COSINES @ thumbnails.astype(np.float32) @ _COSINES.T
    flat = waves.reshape(len(waves), -1)
    bits = flat > np.median(flat, axis=1, keepdims=True)
    hashes: np.ndarray = np.packbits(bits, axis=1).view(np.uint64)[:, 0]
    return hashes


def near_pairs(hashes: np.ndarray, distance: int = DISTANCE) -> np.ndarray:
    """Return all pairs of different indices of hashes, uint64 (N,), that differ in at most `distance` bits, (P, 2).

    Of two hashes that differ in at most 7 bits, one of four bands of 16 bits differs in at most one (the pigeonhole
    principle): so each is compared only with those of 17 buckets in each band, N^2 / 964 pairs if bits are even.
    Pairs are ascending, each named once.

    Raises:
        ValueError: `distance` is more than 7, where pairs would be missed.
    """
    if not 0 <= distance < 2 * BANDS:
        raise ValueError(f"a distance of 0 to {2 * BANDS - 1} bits, found {distance}")
    found = [pair for band in range(BANDS) for pair in _pairs_of_band(hashes, band, distance)]
    return np.unique(np.concatenate([np.empty((0, 2), np.int64), *found]), axis=0)


def _pairs_of_band(hashes: np.ndarray, band: int, distance: int) -> Iterator[np.ndarray]:
    keys = (hashes >> np.uint64(BITS * band)).astype(np.uint16)
    order = np.argsort(keys, kind="stable")
    starts = np.searchsorted(keys[order], np.arange((1 << BITS) + 1))
    for change in (0, *(1 << bit for bit in range(BITS))):
        buckets = keys.astype(np.int64) ^ change
        first, counts = starts[buckets], starts[buckets + 1] - starts[buckets]
        for rows in _chunks(counts):
            firsts = np.repeat(rows, counts[rows])
            within = np.arange(len(firsts)) - np.repeat(np.cumsum(counts[rows]) - counts[rows], counts[rows])
            others = order[np.repeat(first[rows], counts[rows]) + within]
            near = (firsts < others) & (np.bitwise_count(hashes[firsts] ^ hashes[others]) <= distance)
            yield np.stack([firsts[near], others[near]], axis=1)


def _chunks(counts: np.ndarray) -> Iterator[np.ndarray]:
    """Yield ranges of indices of which the counts add up to about `PAIRS`."""
    numbers = np.cumsum(counts) // PAIRS
    yield from np.split(np.arange(len(counts)), np.flatnonzero(np.diff(numbers)) + 1)


def correlation(firsts: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of each pair of gray images uint8 (P, H, W), float32 (P,); 0 for a constant one."""
    first, second = (_standardized(each) for each in (firsts, others))
    product: np.ndarray = (first * second).mean(axis=(1, 2))
    return product


def _standardized(images: np.ndarray) -> np.ndarray:
    values = images.astype(np.float32)
    values -= values.mean(axis=(1, 2), keepdims=True)
    scaled: np.ndarray = values / np.maximum(values.std(axis=(1, 2), keepdims=True), 1e-6)
    return scaled
