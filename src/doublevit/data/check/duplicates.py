"""Images that are in a source more than once: the same file, or nearly the same image."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from doublevit.data.check.hashes import correlation, near_pairs
from doublevit.data.check.scan import Scan, thumbnails_of
from doublevit.data.decode import Decoding

SIMILAR = 0.85
"""The least correlation of two images in gray, 32 x 32, that are near-duplicates."""
CHUNK = 4096  # pairs that are correlated at once


class Group(NamedTuple):
    """Files, by their indices, that belong together, and in words how."""

    indices: tuple[int, ...]
    detail: str = ""


def exact_groups(scan: Scan) -> list[Group]:
    """Return the files whose bytes are equal, by their digests."""
    return [Group(tuple(rows.tolist())) for rows in _equal(scan.facts["digest"], scan.good)]


def near_groups(scan: Scan, options: Decoding, workers: int | None = None) -> list[Group]:
    """Return images that are nearly the same, of which each file counts once: the most alike first.

    Their hashes, or that of one and of the other's mirror image, differ in at most `hashes.DISTANCE` bits, and so their
    thumbnails correlate by `SIMILAR` at least; what is like a third image is in one group with both. Images that are
    nearly constant are like all others of their kind, and left out.
    """
    rows = scan.good[~scan.facts["flat"][scan.good]]
    rows = rows[np.sort(np.unique(scan.facts["digest"][rows], return_index=True)[1])]
    same, mirrored = _candidates(scan.facts["hash"], rows), _mirrored(scan.facts["hash"], scan.facts["mirrored"], rows)
    pairs = np.concatenate([same, mirrored])
    if not len(pairs):
        return []
    indices, places = np.unique(pairs, return_inverse=True)
    thumbnails = thumbnails_of(scan.source, indices, options, workers)
    return _groups(indices, places.reshape(-1, 2), np.arange(len(pairs)) >= len(same), thumbnails)


def _candidates(hashes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return pairs of the indices `rows` with hashes near to one another, (P, 2).

    Of those with equal hashes, the first is paired with each other one, and alone with those of other hashes: so a
    thousand images of one film give a thousand pairs and not half a million.
    """
    equal = [(int(group[0]), int(other)) for group in _equal(hashes, rows) for other in group[1:]]
    _, first = np.unique(hashes[rows], return_index=True)
    different = rows[np.sort(first)]
    return np.concatenate([np.array(equal, np.int64).reshape(-1, 2), different[near_pairs(hashes[different])]])


def _mirrored(hashes: np.ndarray, mirrored: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return pairs of the indices `rows` where one's hash is near to that of the other's mirror image, (P, 2).

    Of those with equal hashes the first alone is compared.
    """
    first, second = (rows[np.sort(np.unique(values[rows], return_index=True)[1])] for values in (hashes, mirrored))
    found = near_pairs(np.concatenate([hashes[first], mirrored[second]]))
    across = found[(found[:, 0] < len(first)) & (found[:, 1] >= len(first))]
    pairs = np.stack([first[across[:, 0]], second[across[:, 1] - len(first)]], axis=1)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]  # a symmetric image is like its own mirror image
    return np.unique(np.sort(pairs, axis=1), axis=0)


def _groups(indices: np.ndarray, places: np.ndarray, mirrored: np.ndarray, thumbnails: np.ndarray) -> list[Group]:
    """Return groups of those of `places` (P, 2), rows of `indices`, whose `thumbnails` are alike.

    Where `mirrored`, bool (P,), the second of a pair is compared by its mirror image.
    """
    alike = _alike(places, mirrored, thumbnails)
    near = alike >= SIMILAR
    places, alike, mirrored = places[near], alike[near], mirrored[near]
    shape = (len(indices), len(indices))
    _, component = connected_components(coo_array((np.ones(len(places)), (places[:, 0], places[:, 1])), shape), False)
    least = np.ones(len(indices))
    np.minimum.at(least, component[places[:, 0]], alike)
    turned = np.isin(component, component[places[mirrored, 0]])
    found = [(float(least[component[rows[0]]]), rows) for rows in _equal(component, np.arange(len(indices)))]
    found.sort(key=lambda group: -group[0])
    return [
        Group(tuple(indices[rows].tolist()), f"correlation {value:.3f}" + (", mirrored" if turned[rows[0]] else ""))
        for value, rows in found
    ]


def _alike(places: np.ndarray, mirrored: np.ndarray, thumbnails: np.ndarray) -> np.ndarray:
    """Return the correlation of each pair of `thumbnails`, float32 (P,)."""
    found = []
    for start in range(0, len(places), CHUNK):
        part, turned = places[start : start + CHUNK], mirrored[start : start + CHUNK, None, None]
        seconds = thumbnails[part[:, 1]]
        found.append(correlation(thumbnails[part[:, 0]], np.where(turned, seconds[:, :, ::-1], seconds)))
    return np.concatenate(found)


def _equal(values: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
    """Return those of the indices `rows` that share a value with another one, ascending, a group for each value."""
    order = rows[np.argsort(values[rows], kind="stable")]
    groups = [group for group in np.split(order, _changes(values[order])) if len(group) > 1]
    return sorted(groups, key=lambda group: int(group[0]))


def _changes(values: np.ndarray) -> np.ndarray:
    """Return where values differ from the one before."""
    return np.flatnonzero(values[1:] != values[:-1]) + 1
