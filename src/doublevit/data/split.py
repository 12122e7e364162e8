"""Drawing validation images from a source that has none set apart."""

import contextlib
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from doublevit import progress
from doublevit.data.config import DataConfig
from doublevit.data.groups import val_by_group
from doublevit.data.names import printable
from doublevit.data.parts import Part, Parts
from doublevit.errors import UserError
from doublevit.files import whole_file


def draw_val(part: Part, parts: Parts, config: DataConfig) -> tuple[Part, Part]:
    """Split a part by `val_fraction` and `split_seed` into one to train on and one to validate on.

    Both get at least one image of each class. By "hash", an image's side depends on its own name and contents alone, so
    that more or fewer images move no other; by "count", as runs were split before, on how many images its class has.
    Where there are groups, it depends on the group alone.

    Raises:
        UserError: a class has one image only, or one group.
    """
    few = np.flatnonzero(part.counts < 2)
    if len(few):
        name = part.class_ids[int(few[0])]
        raise UserError(
            f"class {printable(name)!r} has one image: expected at least 2, to train on one and validate with the other"
        )
    if part.groups is not None:
        in_val = val_by_group(part.groups, part, config)
    elif config.split == "count":
        in_val = _by_class(part, lambda label, rows: _by_count(len(rows), label, config))
    else:
        hashes = _hashes(part, parts, config)
        in_val = _by_class(part, lambda label, rows: _by_hash(hashes[rows], config))
    return part.keep(~in_val), part.keep(in_val)


def _by_class(part: Part, choose: Callable[[int, np.ndarray], np.ndarray]) -> np.ndarray:
    """Choose images for validation class by class, bool (N,); `choose` is given a label and its rows."""
    order = np.argsort(part.labels, kind="stable")
    in_val = np.zeros(len(order), dtype=bool)
    for label, rows in enumerate(np.split(order, np.cumsum(part.counts)[:-1])):
        in_val[rows] = choose(label, rows)
    return in_val


def _by_count(count: int, label: int, config: DataConfig) -> np.ndarray:
    """Draw which of a class's images are for validation, bool (count,)."""
    chosen = min(max(1, round(count * config.val_fraction)), count - 1)
    mask = np.zeros(count, dtype=bool)
    mask[np.random.default_rng([config.split_seed, label]).permutation(count)[:chosen]] = True
    return mask


def _by_hash(hashes: np.ndarray, config: DataConfig) -> np.ndarray:
    """Choose images by their hashes, uint64 (count,): those below the fraction, but at least one, and not all."""
    mask = hashes < np.float64(config.val_fraction) * 2.0**64
    if not mask.any():
        mask[hashes.argmin()] = True
    elif mask.all():
        mask[hashes.argmax()] = False
    return mask


def _hashes(part: Part, parts: Parts, config: DataConfig) -> np.ndarray:
    """Hash every file's name and contents with the seed, uint64 (N,); kept in the cache for as long as none changes."""
    digest = hashlib.sha256(f"{part.fingerprint} {config.split_seed}".encode())
    for name in part.names:
        digest.update(f"\n{name}".encode("utf-8", "surrogateescape"))
    path = config.cache / f"hashes-{digest.hexdigest()[:16]}.npy"
    hashes = _read(path, len(part.names))
    if hashes is None:
        hashes = _hash_all(part.names, parts, config)
        _keep(path, hashes)
    return hashes


def _hash_all(names: list[str], parts: Parts, config: DataConfig) -> np.ndarray:
    def hashed(name: str) -> int:
        of_file = hashlib.sha256(f"{config.split_seed} {parts.hashed(name)} ".encode("utf-8", "surrogateescape"))
        with contextlib.suppress(OSError, UserError):  # decoding tells, or leaves the file out
            of_file.update(parts.read(name))
        return int.from_bytes(of_file.digest()[:8], "big")

    hashes = np.empty(len(names), dtype=np.uint64)
    with ThreadPoolExecutor(config.workers) as pool, progress.bar("splitting", len(names)) as bar:
        for index, value in enumerate(pool.map(hashed, names)):
            hashes[index] = value
            bar.advance(1)
    return hashes


def _read(path: Path, count: int) -> np.ndarray | None:
    try:
        hashes = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return hashes if hashes.dtype == np.uint64 and hashes.shape == (count,) else None


def _keep(path: Path, hashes: np.ndarray) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            np.save(file, hashes)
    except (OSError, UserError):  # they are computed again next time
        return
