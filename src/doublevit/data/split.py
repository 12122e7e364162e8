"""Drawing validation images from a folder that has none set apart."""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from doublevit import progress
from doublevit.data.archive import FolderFiles
from doublevit.data.config import DataConfig
from doublevit.errors import UserError
from doublevit.files import whole_file

Classes = dict[str, list[str]]
"""Class name to file names, both in natural order."""


def split_classes(classes: Classes, files: FolderFiles, config: DataConfig) -> dict[str, Classes]:
    """Split each class into "train" and "val" by `val_fraction` and `split_seed`; both get at least one image of it.

    By "hash", an image's side depends on its own name and contents alone, so that more or fewer images move no other;
    by "count", as runs were split before, on how many images its class has.

    Raises:
        UserError: a class has one image only.
    """
    for name, members in classes.items():
        if len(members) < 2:
            raise UserError(
                f"class {name!r} has one image: expected at least 2, to train on one and validate with the other"
            )
    if config.split == "count":
        in_val = [_by_count(len(members), label, config) for label, members in enumerate(classes.values())]
    else:
        hashes = _hashes(files, [name for members in classes.values() for name in members], config)
        in_val = [_by_hash(np.array([hashes[name] for name in members]), config) for members in classes.values()]
    chosen = list(zip(classes.items(), in_val, strict=True))
    return {
        split: {
            name: [member for member, is_val in zip(members, mask, strict=True) if is_val == (split == "val")]
            for (name, members), mask in chosen
        }
        for split in ("train", "val")
    }


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


def _hashes(files: FolderFiles, names: list[str], config: DataConfig) -> Mapping[str, int]:
    """Hash every file's name and contents with the seed; kept in the cache for as long as no file changes."""
    key = hashlib.sha256(f"{files.fingerprint} {config.split_seed} {names}".encode()).hexdigest()[:16]
    path = config.cache / f"hashes-{key}.npy"
    hashes = _read(path, len(names))
    if hashes is None:
        hashes = _hash_all(files, names, config)
        _keep(path, hashes)
    return dict(zip(names, hashes, strict=True))


def _hash_all(files: FolderFiles, names: list[str], config: DataConfig) -> np.ndarray:
    def hashed(name: str) -> int:
        of_file = hashlib.sha256(f"{config.split_seed} {Path(name).name} ".encode())
        of_file.update(files.read(name))
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
    except OSError:  # they are computed again next time
        return
