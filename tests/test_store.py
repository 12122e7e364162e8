import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from doublevit import data
from doublevit.data import DataConfig, store, tiny_imagenet
from doublevit.errors import UserError

PREPARE = (
    "import sys, pathlib; from doublevit import data; source, cache = map(pathlib.Path, sys.argv[1:]); "
    "print(len(data.load(data.DataConfig('tiny-imagenet', source, cache=cache))['train']))"
)


@pytest.fixture
def config(tiny_folder: Path, tmp_path: Path) -> DataConfig:
    return DataConfig("tiny-imagenet", tiny_folder, cache=tmp_path / "cache")


def stores(config: DataConfig) -> list[Path]:
    return [path for path in config.cache.iterdir() if path.is_dir()]


def test_decoded_once_and_memory_mapped(config, monkeypatch):
    first = data.load(config)["train"]
    monkeypatch.setattr(tiny_imagenet, "_decode", lambda data: pytest.fail("decoded again"))
    again = data.load(config)["train"]
    assert isinstance(again.images, np.memmap)
    assert np.array_equal(first.images, again.images)


def test_changed_source_gets_a_store_of_its_own(config):
    data.load(config)
    image = next(config.path.rglob("val_0.JPEG"))
    shutil.copy(next(config.path.rglob("val_1.JPEG")), image)
    assert np.array_equal(*data.load(config)["val"].images[:2])
    assert len(stores(config)) == 2


@pytest.mark.slow
def test_two_processes_at_once_make_one_whole_store(config):
    command = [sys.executable, "-c", PREPARE, str(config.path), str(config.cache)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in both] == ["36", "36"]
    assert len(stores(config)) == 1
    store.verify(stores(config)[0])


def test_nothing_is_left_of_a_preparation_that_fails(config, monkeypatch):
    calls = []

    def fail_late(content: bytes) -> np.ndarray:
        calls.append(1)
        if len(calls) > 20:
            raise KeyboardInterrupt
        return np.zeros((64, 64, 3), np.uint8)

    monkeypatch.setattr(tiny_imagenet, "_decode", fail_late)
    with pytest.raises(KeyboardInterrupt):
        data.load(config)
    assert stores(config) == []


def test_what_a_killed_preparation_left_is_removed(config):
    name = tiny_imagenet.listing(config).key(skip_bad=False)
    (config.cache / f".{name}-x1").mkdir(parents=True)
    data.load(config)
    assert [path.name for path in stores(config)] == [name]


def test_verify_finds_one_changed_byte(config):
    data.load(config)
    assert "is complete" in data.verify(config)
    path = stores(config)[0] / "val-images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="val has changed"):
        data.verify(config)


def test_verify_reads_the_source_too(tiny_zip, tmp_path):
    content = bytearray(tiny_zip.read_bytes())
    content[len(content) // 2] ^= 255
    tiny_zip.write_bytes(content)
    with pytest.raises(UserError, match="cannot read"):
        data.verify(DataConfig("tiny-imagenet", tiny_zip, cache=tmp_path / "cache"))


def test_a_store_says_where_these_images_came_from(config, tiny_zip, tmp_path):
    import shutil as files

    first = data.load(DataConfig("tiny-imagenet", tiny_zip, cache=tmp_path / "cache"))["val"].id
    files.copy2(tiny_zip, tmp_path / "copy.zip")
    again = data.load(DataConfig("tiny-imagenet", tmp_path / "copy.zip", cache=tmp_path / "cache"))["val"].id
    assert "tiny.zip, val [" in str(first)
    assert "copy.zip, val [" in str(again)
    assert first.key == again.key


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [("{}", "missing required field 'version'"), ({"skipped": [1]}, r"\$\.skipped\[0\]"), ({"hue": 1}, "hue"),
     ({"splits": {"val": {"count": "6", "crc32": 0}}}, r"Expected 'int', got 'str' - at '\$\.splits\[...\]\.count'")],
)  # fmt: skip
def test_meta_that_is_not_as_it_should_be_is_refused(config, damage, complaint):
    data.load(config)
    path = stores(config)[0] / "meta.json"
    path.write_text(damage if isinstance(damage, str) else json.dumps(json.loads(path.read_text()) | damage))
    with pytest.raises(UserError, match=f"{complaint}.*prepare again"):
        data.load(config)


@pytest.mark.parametrize("name", ["meta.json", "train-images.npy", "train-labels.npy"])
def test_truncated_store_is_refused(config, name):
    data.load(config)
    path = stores(config)[0] / name
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(UserError, match="prepare again"):
        data.load(config)


def test_space_is_asked_for_first(config, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 1000))
    with pytest.raises(UserError, match="no space left: decoding 42 images"):
        data.load(dataclasses.replace(config, store="decoded"))
    assert stores(config) == []


def test_unwritable_cache(config, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match=r"cannot write to .*`data.cache`"):
        data.load(DataConfig("tiny-imagenet", config.path, cache=tmp_path / "file" / "cache"))


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    splits = data.load(DataConfig("digits"))
    assert (len(splits["train"]), len(splits["val"])) == (1437, 360)
    counts = sum(np.bincount(splits[name].labels) for name in splits)
    assert np.array_equal(counts, np.bincount(load_digits().target))
    # The mean brightness of each class survives the enlargement.
    images = np.concatenate([splits[name].images for name in ("train", "val")]).mean(axis=(1, 2, 3))
    labels = np.concatenate([splits[name].labels for name in ("train", "val")])
    for digit in range(10):
        expected = load_digits().images[load_digits().target == digit].mean() * 255 / 16
        assert images[labels == digit].mean() == pytest.approx(expected, abs=3)
