import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import IMAGES, WNIDS
from doublevit import data
from doublevit.data import DataConfig, tiny_imagenet
from doublevit.errors import UserError


@pytest.fixture
def config(tiny_folder: Path, tmp_path: Path) -> DataConfig:
    return DataConfig("tiny-imagenet", tiny_folder, cache=tmp_path / "cache")


def test_labels_are_ranks_of_sorted_wnids_and_names_come_from_words(config):
    splits = data.load(config)
    assert splits["train"].class_ids == tuple(sorted(WNIDS))
    assert splits["train"].class_names == ("goldfish", "Egyptian cat", "go-kart")
    assert splits["train"].labels.tolist() == [0] * IMAGES + [1] * IMAGES + [2] * IMAGES


def test_val_labels_come_from_the_annotations_in_natural_order(config):
    val = data.load(config)["val"]
    rank = {wnid: label for label, wnid in enumerate(sorted(WNIDS))}
    assert val.labels.tolist() == [rank[WNIDS[i % 3]] for i in (0, 1, 2, 3, 10, 11)]
    last = Image.open(config.path / "val" / "images" / "val_11.JPEG")
    assert np.array_equal(val.images[-1], np.asarray(last))


def test_images_are_pillows_pixels_gray_ones_too(config):
    train = data.load(config)["train"]
    for label, wnid in enumerate(sorted(WNIDS)):
        for i in (0, 2, 11):
            image = Image.open(config.path / "train" / wnid / "images" / f"{wnid}_{i}.JPEG").convert("RGB")
            assert np.array_equal(train.images[label * IMAGES + i], np.asarray(image))


def test_zip_is_read_without_unpacking_and_equals_the_folder(config, tiny_zip, tmp_path):
    folder = data.load(config)
    shutil.rmtree(config.path)
    packed = data.load(DataConfig("tiny-imagenet", tiny_zip, cache=tmp_path / "cache"))
    for split in ("train", "val"):
        assert np.array_equal(folder[split].images, packed[split].images)
        assert np.array_equal(folder[split].labels, packed[split].labels)
    assert not list(tmp_path.rglob("*.JPEG"))


def test_per_class_is_deterministic_nested_and_leaves_val_whole(config):
    def numbers(count):
        splits = data.load(DataConfig("tiny-imagenet", config.path, cache=config.cache, per_class=count))
        assert len(splits["val"]) == 6
        assert np.bincount(splits["train"].labels).tolist() == [count] * 3
        return {image.tobytes() for image in splits["train"].images}

    assert numbers(3) < numbers(5)
    assert numbers(3) == numbers(3)


def _lose_a_class(root: Path) -> None:
    shutil.rmtree(root / "train" / WNIDS[1])


def _lose_train_images(root: Path) -> None:
    for i in range(4):
        (root / "train" / WNIDS[1] / "images" / f"{WNIDS[1]}_{i}.JPEG").unlink()


def _lose_val_images(root: Path) -> None:
    (root / "val" / "images" / "val_2.JPEG").unlink()


def _lose_annotations(root: Path) -> None:
    (root / "val" / "val_annotations.txt").unlink()


def _strange_class(root: Path) -> None:
    path = root / "val" / "val_annotations.txt"
    path.write_text(path.read_text().replace(WNIDS[0], "n09999999", 1))


def _repeat_annotation(root: Path) -> None:
    path = root / "val" / "val_annotations.txt"
    path.write_text(path.read_text() + path.read_text().splitlines()[0] + "\n")


def _cut_annotations(root: Path, characters: int) -> None:
    path = root / "val" / "val_annotations.txt"
    path.write_text(path.read_text()[:-characters])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_lose_a_class, "n01443537 has 0 train images"),
        (_lose_train_images, "n01443537 has 8 train images, expected 12"),
        (_lose_val_images, "1 of 6 val images are missing"),
        (_lose_annotations, "val_annotations.txt"),
        (_strange_class, "n09999999"),
        (lambda root: (root / "wnids.txt").write_bytes(b"\xff\xfe\x00"), "wnids.txt is no text"),
        (lambda root: (root / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in WNIDS * 2)), "class twice"),
        (_repeat_annotation, "names an image twice"),
        (lambda root: _cut_annotations(root, 20), "a line without a class"),
        (lambda root: _cut_annotations(root, 32), "lacks 1 of the val images"),
    ],
)
def test_half_unpacked_folders_are_refused(config, damage, words):
    damage(config.path)
    with pytest.raises(UserError, match=words):
        tiny_imagenet.listing(config)


def test_truncated_zip_is_refused(tiny_zip):
    tiny_zip.write_bytes(tiny_zip.read_bytes()[:-5000])
    with pytest.raises(UserError, match="no whole zip"):
        tiny_imagenet.listing(DataConfig("tiny-imagenet", tiny_zip))


@pytest.mark.parametrize("place", [100, 200, 300, 400, 500])
def test_damaged_member_of_a_zip_is_named_or_left_out(tiny_zip, tmp_path, place):
    with zipfile.ZipFile(tiny_zip) as archive:
        info = archive.getinfo(f"tiny-imagenet-200/train/{WNIDS[0]}/images/{WNIDS[0]}_5.JPEG")
    content = bytearray(tiny_zip.read_bytes())
    content[info.header_offset + place] ^= 255
    tiny_zip.write_bytes(content)
    with pytest.raises(UserError, match=f"{WNIDS[0]}_5.JPEG"):
        data.load(DataConfig("tiny-imagenet", tiny_zip, cache=tmp_path / "cache"))
    splits = data.load(DataConfig("tiny-imagenet", tiny_zip, cache=tmp_path / "cache", skip_bad=True))
    assert len(splits["train"]) == 35


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["train/cat/1.png", "valid/cat/2.png", "__MACOSX/1"], "found 3 files, in train/, valid/; other zips"),
        (["pets/cat/1.png", "pets/dog/2.png", "pets/notes.txt"], "found 3 files in pets/, in cat/, dog/; other zips"),
        (["cat/1.png", "cat/2.png"], "found 2 files in cat/; other zips"),
        ([], "found 0 files; other zips"),
    ],
)
def test_a_zip_of_an_image_folder_is_told_from_tiny_imagenet(tmp_path, names, found):
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"image")
    with pytest.raises(UserError, match=f"expected wnids.txt of Tiny ImageNet in the zip, {found} are not read where"):
        data.load(DataConfig(data.source_at(tmp_path / "pets.zip"), tmp_path / "pets.zip", cache=tmp_path / "cache"))


def test_another_zip_and_no_zip_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(UserError, match=r"wnids\.txt"):
        tiny_imagenet.listing(DataConfig("tiny-imagenet", tmp_path / "other.zip"))
    with pytest.raises(UserError, match="does not exist"):
        tiny_imagenet.listing(DataConfig("tiny-imagenet", tmp_path / "none.zip"))
    with pytest.raises(UserError, match=r"no Tiny ImageNet folder"):
        tiny_imagenet.listing(DataConfig("tiny-imagenet", tmp_path))


def test_nothing_here_names_path_and_download(tmp_path):
    with pytest.raises(UserError, match=r"`data.path`.*`data.download=True`"):
        tiny_imagenet.listing(DataConfig("tiny-imagenet", cache=tmp_path))


def test_image_of_another_size_is_named(config):
    Image.new("RGB", (32, 64)).save(config.path / "train" / WNIDS[0] / "images" / f"{WNIDS[0]}_3.JPEG")
    with pytest.raises(UserError, match=rf"{WNIDS[0]}_3\.JPEG.*found 32 x 64"):
        data.load(config)
