"""Hashes of names and contents, by which validation images are drawn; those of files that did not change are cached."""

import contextlib
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from doublevit import progress
from doublevit.data.config import DataConfig
from doublevit.data.parts import Part, Parts
from doublevit.errors import UserError
from doublevit.files import whole_file

CACHED = np.dtype([("key", "u8"), ("hash", "u8")])
"""A file in the cache: a digest of its name and version, and its hash."""


def split_hashes(part: Part, parts: Parts, config: DataConfig) -> np.ndarray:
    """Hash the name and contents of every file of a part with `config.split_seed`, uint64 (N,).

    A file is read once, and again when it has changed: by its path, size and time, or, where it does not lie by itself
    (shards, parquet), when anything in its part has.
    """
    keys = _keys(part, parts)
    digest = hashlib.sha256(f"{parts.source} {config.split_seed}".encode("utf-8", "surrogateescape"))
    path = config.cache / f"split-hashes-{digest.hexdigest()[:16]}.npy"
    cached = _read(path)
    places = np.minimum(np.searchsorted(cached["key"], keys), max(0, len(cached) - 1))
    known = cached["key"][places] == keys if len(cached) else np.zeros(len(keys), dtype=bool)
    hashes = np.empty(len(keys), dtype=np.uint64)
    hashes[known] = cached["hash"][places[known]]
    if not known.all():
        rows = np.flatnonzero(~known)
        hashes[rows] = _hash_all([part.names[row] for row in rows.tolist()], parts, config)
        _write(path, keys, hashes)
    return hashes


def _keys(part: Part, parts: Parts) -> np.ndarray:
    """Return a digest of each file's name and version, uint64 (N,); of 64 bits, which a million files rarely share."""
    version = parts.version or (lambda name: f"{name} {part.fingerprint}")
    texts = (version(name).encode("utf-8", "surrogateescape") for name in part.names)
    digests = b"".join(hashlib.blake2b(text, digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, dtype=np.uint64)


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


def _read(path: Path) -> np.ndarray:
    """Return what is cached, `CACHED` (M,), sorted by key; nothing where that is missing or damaged."""
    try:
        cached = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return np.empty(0, CACHED)
    return cached if cached.dtype == CACHED and cached.ndim == 1 else np.empty(0, CACHED)


def _write(path: Path, keys: np.ndarray, hashes: np.ndarray) -> None:
    order = np.argsort(keys, kind="stable")
    cached = np.empty(len(keys), CACHED)
    cached["key"], cached["hash"] = keys[order], hashes[order]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            np.save(file, cached)
    except (OSError, UserError):  # they are computed again next time
        return
