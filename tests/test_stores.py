"""Stores of encoded images: the same images and ids as decoded, in bounded memory, with damage told in one line."""

import contextlib
import dataclasses
import errno
import io
import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from doublevit import data
from doublevit.data import DataConfig, store, stores
from doublevit.data import listing as listings
from doublevit.data.stores import choice, fast, packed, reading
from doublevit.data.stores.checksum import array_checksum
from doublevit.errors import UserError
from doublevit.images import WithoutMargin, checksums

KINDS = ("decoded", "encoded", "none")


def smooth(random: np.random.Generator, width: int, height: int) -> Image.Image:
    small = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def config(tmp_path: Path) -> DataConfig:
    """Two classes of images of mixed sizes and formats, one of them turned by its EXIF tag."""
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4)):
        for index in range(count):
            folder = tmp_path / "photos" / split / "ab"[index % 2]
            folder.mkdir(parents=True, exist_ok=True)
            sides = random.integers(40 if split == "train" else 200, 300, 2).tolist()
            image, name = smooth(random, *sides), f"{index}.jpg"
            turned = {}
            if index == 3:
                turned["exif"] = Image.Exif()
                turned["exif"][0x0112] = 6
            if index == 4:
                name = f"{index}.png"
            if index == 5:
                image = image.convert("L")
            image.save(folder / name, quality=90, **turned)
    return DataConfig("folder", tmp_path / "photos", cache=tmp_path / "cache", size=32, workers=2)


def of_kind(config: DataConfig, kind: str, **changes) -> data.Splits:
    return data.load(dataclasses.replace(config, store=kind, **changes))


def folder_of_kind(config: DataConfig, kind: str) -> Path:
    return next(path for path in config.cache.iterdir() if path.is_dir() and path.name.endswith(f"-{kind}"))


def test_every_store_has_the_same_ids_labels_and_evaluated_pixels(config):
    decoded, *others = (of_kind(config, kind) for kind in KINDS)
    for splits in others:
        for split, dataset in splits.items():
            assert dataset.id == decoded[split].id
            assert np.array_equal(dataset.labels, decoded[split].labels)
            assert np.array_equal(checksums(dataset.images), checksums(decoded[split].images))
        assert np.array_equal(splits["val"].images[:], decoded["val"].images)
        quick = dataclasses.replace(splits["val"].images, decode=splits["train"].images.decode)
        assert not np.array_equal(quick[:], decoded["val"].images)
        difference = np.abs(splits["train"].images[:].astype(int) - decoded["train"].images)
        assert difference.max() <= 16
        assert difference.mean() < 0.5


@pytest.mark.parametrize(
    "geometry",
    [{"crop": 0.8, "margin": 4}, {"crop": 0.9, "margin": 9}, {"fit": "squash", "crop": 0.9}, {"fit": "pad"}],
)
def test_every_store_has_the_same_geometry_and_knows_images_without_their_margin(config, geometry):
    config = dataclasses.replace(config, **geometry)
    decoded, *others = (of_kind(config, kind) for kind in KINDS)
    without = checksums(WithoutMargin(decoded["train"].images, config.margin or 0))
    for splits in others:
        for split, dataset in splits.items():
            assert dataset.id == decoded[split].id
            assert np.array_equal(checksums(dataset.images), checksums(decoded[split].images))
        assert np.array_equal(splits["val"].images[:], decoded["val"].images)
        assert np.array_equal(checksums(WithoutMargin(splits["train"].images, config.margin or 0)), without)
        difference = np.abs(splits["train"].images[:].astype(int) - decoded["train"].images)
        assert difference.mean() < 0.5
        exact = dataclasses.replace(splits["train"].images, decode=lambda data, _: of_listing(config, data))
        assert np.array_equal(exact[:], decoded["train"].images)


def of_listing(config: DataConfig, content: bytes) -> np.ndarray:
    return data.LISTINGS["folder"](config).decode_bytes("train", content)


def test_a_part_of_a_store_is_not_decoded_before_it_is_indexed(config):
    train = of_kind(config, "encoded")["train"]
    part = train.per_class(2)
    assert isinstance(part.images, stores.images.StoredImages)
    chosen = [int(np.flatnonzero(train.images.crc32 == crc32)[0]) for crc32 in part.images.crc32]
    assert np.array_equal(part.images[:], train.images[chosen])
    assert np.array_equal(train.images[np.array([3, 0, 3])], train.images[:][[3, 0, 3]])
    assert train.images[np.array([], int)].shape == (0, 32, 32, 3)


def test_checksum_of_an_array_that_is_not_written():
    images = np.random.default_rng(0).integers(0, 256, (5, 7, 7, 3), dtype=np.uint8)
    file = io.BytesIO()
    np.save(file, images)
    assert array_checksum(images.shape, [zlib.crc32(image.tobytes()) for image in images]) == zlib.crc32(
        file.getvalue()
    )


def test_packed_files_are_several_and_read_anywhere(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "SHARD_BYTES", 100)
    pieces = [bytes([index]) * size for index, size in enumerate((70, 0, 60, 150, 0, 1))]
    packer = packed.Packer(tmp_path, "train")
    for piece in pieces:
        packer.add(piece)
    shards = packer.close()
    assert [shard.size for shard in shards] == [130, 150, 1]
    files = packed.PackedFiles(tmp_path, "train", shards, np.asarray(packer.offsets))
    assert [files.read(index) for index in (5, 0, 3, 1, 2, 4)] == [pieces[index] for index in (5, 0, 3, 1, 2, 4)]


def test_a_truncated_shard_is_one_line_at_once_and_while_it_is_read(config):
    images = of_kind(config, "encoded")["train"].images
    shard = folder_of_kind(config, "encoded") / "train-000.bin"
    os.truncate(shard, shard.stat().st_size - 10)
    with pytest.raises(UserError, match=r"train-000.bin ends before image 11; .*prepare again"):
        images[:]
    with pytest.raises(UserError, match=r"train-000.bin is not whole: expected [\d,]+ bytes, found .*prepare again"):
        of_kind(config, "encoded")
    shard.unlink()
    with pytest.raises(UserError, match=r"train-000.bin is not whole: .*found no file"):
        of_kind(config, "encoded")


@pytest.mark.parametrize("name", ["train-000.bin", "val-labels.npy", "train-offsets.npy", "val-crc32.npy"])
def test_verify_finds_one_changed_byte_of_packed_files(config, name):
    config = dataclasses.replace(config, store="encoded")
    data.load(config)
    assert "is complete" in data.verify(config)
    path = folder_of_kind(config, "encoded") / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"(changed since it was written|damaged).*prepare again"):
        data.verify(config)


@pytest.mark.parametrize("kind", KINDS)
def test_an_array_that_is_empty_or_gone_is_one_line(config, kind):
    config = dataclasses.replace(config, store=kind)
    data.load(config)
    folder = next(path for path in config.cache.iterdir() if path.is_dir())
    (folder / "val-labels.npy").write_bytes(b"")
    with pytest.raises(UserError, match="val is damaged"):
        data.load(config)
    (folder / "val-labels.npy").unlink()
    with pytest.raises(UserError, match="val is damaged"):
        data.verify(config)


@pytest.mark.parametrize("kind", ["encoded", "none"])
def test_a_label_that_was_changed_is_found_at_once(config, kind):
    config = dataclasses.replace(config, store=kind)
    data.load(config)
    path = next(config.cache.glob("*/val-labels.npy"))
    labels = np.load(path)
    np.save(path, labels[::-1].copy())
    with pytest.raises(UserError, match="its index has changed"):
        data.load(config)


def test_a_cache_that_is_full_does_not_stop_the_listing(config, monkeypatch):
    shutil.rmtree(config.path / "val")
    names = data.LISTINGS["folder"](config).splits["val"].names
    for hashes in config.cache.glob("split-hashes-*.npy"):
        hashes.unlink()

    def full(path):
        raise UserError("cannot write")

    monkeypatch.setattr("doublevit.data.split_hashes.whole_file", full)
    assert data.LISTINGS["folder"](config).splits["val"].names == names


def test_verify_finds_a_file_that_was_changed_in_place(config):
    config = dataclasses.replace(config, store="none")
    data.load(config)
    assert "is complete" in data.verify(config)
    small, large = sorted((config.path / "val" / "a").iterdir(), key=lambda path: path.stat().st_size)
    status = large.stat()
    large.write_bytes(small.read_bytes().ljust(status.st_size, b"\0"))
    os.utime(large, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(UserError, match=f"{large.name} has changed since it was prepared"):
        data.verify(config)


def test_who_waits_for_another_process_takes_its_store(config, monkeypatch):
    @contextlib.contextmanager
    def other_process_was_first(folder):
        monkeypatch.undo()
        of_kind(config, "encoded")
        yield

    monkeypatch.setattr(store, "store_lock", other_process_was_first)
    assert isinstance(data.load(config)["val"].images, stores.images.StoredImages)


@pytest.mark.parametrize("kind", KINDS)
def test_bad_files_are_named_or_left_out_of_every_store(config, kind):
    bad = config.path / "train" / "a" / "2.jpg"
    bad.write_bytes(bad.read_bytes()[:-200])
    (config.path / "train" / "b" / "1.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"cannot read train/./.\.jpg .*`data.skip_bad=True`"):
        of_kind(config, kind)
    assert not [path for path in config.cache.iterdir() if path.is_dir()]
    splits = of_kind(config, kind, skip_bad=True)
    assert len(splits["train"]) == 10
    assert splits["train"].id.skipped == 2
    assert len(splits["train"].images[:]) == 10
    assert splits["train"].id.key == of_kind(config, "encoded", skip_bad=True)["train"].id.key


def test_bad_files_are_left_out_without_a_second_copy(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (300, 4, 4, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    good = np.arange(300) % 7 != 0
    file = (tmp_path / "images.npy").stat().st_ino
    listings._keep_only(good, tmp_path / "images.npy")
    assert np.array_equal(np.load(tmp_path / "images.npy"), images[good])
    assert (tmp_path / "images.npy").stat().st_ino == file
    np.save(tmp_path / "expected.npy", images[good])
    assert (tmp_path / "images.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()


@pytest.mark.parametrize("kind", ["decoded", "encoded"])
def test_a_disk_that_fills_up_is_one_line(config, kind, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(packed.Packer, "add", full)
    with pytest.raises(UserError, match=r"no space left in .*`data.store=none`"):
        of_kind(config, kind)
    assert not [path for path in config.cache.iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    ("decoded", "encoded", "free", "chosen"),
    [(1e9, 1e9, 3e9, "decoded"), (1e9, 1e9, 0.5e9, "none"), (3e9, 1e9, 2.5e9, "encoded"),
     (193e9, 140e9, 1000e9, "encoded"), (193e9, 140e9, 200e9, "none")],
)  # fmt: skip
def test_the_store_is_chosen_by_size_and_free_disk(decoded, encoded, free, chosen):
    assert choice.Sizes(1, int(decoded), int(encoded), int(free)).store == chosen


def test_the_choice_is_told_and_kept(config, monkeypatch, capsys):
    usage = shutil.disk_usage(config.path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    data.load(config)
    told = capsys.readouterr().err
    assert "16 images" in told
    assert "(none); `data.store` sets another way" in told
    monkeypatch.undo()
    assert isinstance(data.load(config)["val"].images, stores.images.StoredImages)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(UserError, match="no space left: packing 16 images"):
        of_kind(config, "encoded")


def test_threads_are_bounded():
    cores = os.cpu_count() or 1
    assert [choice.threads(workers) for workers in (None, 1, 100_000)] == [cores, 1, 4 * cores]


def test_results_come_in_order_with_a_bounded_number_in_advance():
    begun = []
    results = reading.in_order(lambda item: begun.append(item) or item, range(1000), 2)
    assert [next(results) for _ in range(10)] == list(range(10))
    assert len(begun) <= 10 + 2 * reading.AHEAD + 1
    results.close()


def test_shrunk_images_are_other_images_and_evaluated_ones_stay(config):
    whole, shrunk = of_kind(config, "encoded"), of_kind(config, "encoded", shrink=48)
    assert shrunk["val"].id == whole["val"].id
    assert shrunk["train"].id.checksum != whole["train"].id.checksum
    difference = np.abs(shrunk["train"].images[:].astype(int) - whole["train"].images[:])
    assert difference.mean() < 4
    sizes = [Image.open(io.BytesIO(shrunk["train"].images.read(row))).size for row in range(12)]
    assert {min(size) for size in sizes if min(size) != 40} <= set(range(40, 49))


@pytest.mark.parametrize("changes", [{"shrink": 16, "store": "encoded"}, {"shrink": 64}])
def test_shrinking_wants_its_store_and_enough_pixels(changes):
    with pytest.raises(UserError, match=r"`data\.shrink`"):
        DataConfig("folder", size=32, **changes)


def test_scale_factor_leaves_spare_pixels():
    factors = [fast.scale_factor((side, 2 * side), (32, 64)) for side in (63, 64, 127, 128, 129, 256, 511, 512, 4000)]
    assert factors == [1, 1, 1, 2, 2, 4, 4, 8, 8]


def test_fast_decoding_is_no_view_of_its_buffer(config):
    image = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), 200, np.uint8)).save(image, "JPEG")
    other = io.BytesIO()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(other, "JPEG")
    listing = data.LISTINGS["folder"](config)
    first = fast.decode_fast(image.getvalue(), plan=listing.window, exact=listing.decode)
    fast.decode_fast(other.getvalue(), plan=listing.window, exact=listing.decode)
    assert first.min() == 200
