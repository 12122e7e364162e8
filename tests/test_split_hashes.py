"""The hashes that draw validation images: by their definition, and each file read once until it changes."""

import dataclasses
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from doublevit.data import image_folder
from doublevit.data.parts import WHOLE
from doublevit.data.split_hashes import split_hashes
from sources import config, images_of_classes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return images_of_classes(tmp_path / "photos", cat=4, dog=3)


def hashed(folder: Path, cache: Path, seed: int = 0) -> tuple[dict[str, int], list[str]]:
    """Return the hash of each file, and which files were read for that."""
    options, read = config(folder, cache, split_seed=seed), []
    parts = image_folder.read(options)
    part, noted = parts.part(WHOLE), dataclasses.replace(parts, read=lambda name: read.append(name) or parts.read(name))
    hashes = split_hashes(part, noted, options)
    return dict(zip(part.names, hashes.tolist(), strict=True)), sorted(read)


def by_definition(folder: Path, name: str, seed: int = 0) -> int:
    """What runs were split by before hashes of single files were cached."""
    text = f"{seed} {Path(name).name} ".encode() + (folder / name).read_bytes()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big")


def test_a_file_is_read_again_only_when_it_has_changed(folder, tmp_path):
    cache = tmp_path / "cache"
    first, read = hashed(folder, cache)
    assert first == {name: by_definition(folder, name) for name in first}
    assert read == sorted(first)
    assert hashed(folder, cache) == (first, [])
    (folder / "dog" / "more.png").write_bytes(b"more")
    (folder / "cat" / "2.png").unlink()
    (folder / "cat" / "1.png").write_bytes(b"other")
    os.utime(folder / "cat" / "0.png", ns=(1, 1))  # contents stay
    changed, read = hashed(folder, cache)
    assert read == ["cat/0.png", "cat/1.png", "dog/more.png"]
    assert changed == {name: by_definition(folder, name) for name in changed}
    assert (changed["cat/0.png"], len(changed)) == (first["cat/0.png"], 7)


def test_another_seed_or_folder_is_hashed_by_itself(folder, tmp_path, monkeypatch):
    cache, other = tmp_path / "cache", images_of_classes(tmp_path / "elsewhere" / "photos", cat=4, dog=3)
    for file in other.rglob("*.png"):  # of the same names, sizes and times, with other contents
        status = (folder / file.relative_to(other)).stat()
        file.write_bytes((folder / file.relative_to(other)).read_bytes()[::-1])
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    for root in (folder, other):
        monkeypatch.chdir(root.parent)
        for seed in (0, 1):
            found, read = hashed(Path("photos"), cache, seed)
            assert len(read) == 7
            assert found == {name: by_definition(root, name, seed) for name in found}


@pytest.mark.parametrize("damage", [b"", b"damaged", None])
def test_a_damaged_cache_is_made_anew(folder, tmp_path, damage):
    cache = tmp_path / "cache"
    first, _ = hashed(folder, cache)
    (file,) = cache.glob("split-hashes-*.npy")
    if damage is None:
        np.save(file, np.arange(3))
    else:
        file.write_bytes(damage)
    assert hashed(folder, cache)[0] == first
    assert hashed(folder, cache)[1] == []
