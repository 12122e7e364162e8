from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import random_image
from doublevit import data
from doublevit.data import DataConfig
from doublevit.data import image_folder as source
from doublevit.errors import UserError


def config(path: Path, **options) -> DataConfig:
    return DataConfig("folder", path, cache=path.parent / "cache", **options)


def test_train_and_val_folders_with_any_format_and_size(image_folder):
    splits = data.load(config(image_folder, size=32))
    assert splits["train"].class_names == ("cat", "dog")
    assert splits["train"].images.shape == (12, 32, 32, 3)
    assert splits["val"].labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_shorter_side_is_resized_then_the_center_is_cut(image_folder):
    splits = data.load(config(image_folder, size=32))
    image = Image.open(image_folder / "train" / "cat" / "0.png")  # 40 x 80
    expected = image.resize((32, 64), Image.Resampling.BICUBIC).crop((0, 16, 32, 48))
    assert np.array_equal(splits["train"].images[0], np.asarray(expected))


@pytest.mark.parametrize("fraction", [0.2, 0.5])
def test_one_folder_was_split_by_fraction_and_seed(image_folder, fraction):
    def split(seed: int):
        listing = source.listing(config(image_folder / "train", val_fraction=fraction, split="count", split_seed=seed))
        return {name: tuple(entries.names) for name, entries in listing.splits.items()}

    parts = split(0)
    assert set(parts["train"]).isdisjoint(parts["val"])
    assert len(parts["train"]) + len(parts["val"]) == 12
    for name in ("cat", "dog"):
        assert sum(entry.startswith(name) for entry in parts["val"]) == round(6 * fraction)
    assert split(0) == parts
    assert any(split(seed) != parts for seed in range(1, 5))


def test_train_without_val_is_split(image_folder):
    for file in sorted((image_folder / "val").rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    (image_folder / "val").rmdir()
    assert len(data.load(config(image_folder, size=16))["val"]) == 2


def test_names_that_sort_alike_have_an_order(image_folder):
    image = (image_folder / "train" / "cat" / "1.jpg").read_bytes()
    for name in ("01.jpg", "001.jpg", "²1.jpg"):
        (image_folder / "train" / "cat" / name).write_bytes(image)
    (image_folder / "train" / "__MACOSX").mkdir()
    names = source.listing(config(image_folder)).splits["train"].names
    assert names[:5] == [f"train/cat/{name}" for name in ("0.png", "001.jpg", "01.jpg", "1.jpg", "2.webp")]


def test_left_out_files_leave_the_others_in_their_places(image_folder):
    whole = data.load(config(image_folder, size=16))["train"].images
    (image_folder / "train" / "cat" / "1.jpg").write_bytes(b"broken")
    assert np.array_equal(
        data.load(config(image_folder, size=16, skip_bad=True))["train"].images, np.delete(whole, 1, 0)
    )


def test_upright_by_exif_and_16_bit_gray(image_folder):
    folder = image_folder / "train" / "cat"
    image = random_image(np.random.default_rng(0), (32, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    image.save(folder / "turned.png", exif=exif)
    Image.fromarray((np.arange(32 * 32).reshape(32, 32) * 64).astype(np.uint16)).save(folder / "zz16.png")
    train = data.load(config(image_folder, size=32))["train"].images
    assert np.array_equal(train[6], np.rot90(np.asarray(image), -1))
    assert train[7, ..., 0].ravel().tolist() == [(i * 64) >> 8 for i in range(32 * 32)]


def test_raw_val_of_tiny_imagenet_is_refused(tiny_folder):
    with pytest.raises(UserError, match=r"`data.source=tiny-imagenet`"):
        source.listing(config(tiny_folder / "val"))
    (tiny_folder / "val" / "val_annotations.txt").unlink()
    with pytest.raises(UserError, match=r"at least two classes, found one class \(images\)"):
        source.listing(config(tiny_folder / "val"))


def test_empty_class_is_named(image_folder):
    (image_folder / "train" / "fish").mkdir()
    (image_folder / "val" / "fish").mkdir()
    with pytest.raises(UserError, match="fish holds no image"):
        source.listing(config(image_folder))


def test_different_classes_in_train_and_val_are_named(image_folder):
    (image_folder / "val" / "dog").rename(image_folder / "val" / "wolf")
    with pytest.raises(UserError, match="different classes: dog, wolf"):
        source.listing(config(image_folder))


def test_class_with_one_image_cannot_be_split(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        random_image(np.random.default_rng(0)).save(tmp_path / "set" / name / "1.png")
    with pytest.raises(UserError, match="'a' has one image"):
        source.listing(config(tmp_path / "set"))


@pytest.mark.parametrize("content", [b"not an image", b"", b"\xff\xd8\xff\xe0broken"])
def test_bad_files_are_named_or_counted_and_left_out(image_folder, content, capsys):
    (image_folder / "train" / "dog" / "2.jpg").write_bytes(content)
    with pytest.raises(UserError, match=r"train/dog/2\.jpg .*`data.skip_bad=True`"):
        data.load(config(image_folder, size=16))
    splits = data.load(config(image_folder, size=16, skip_bad=True))
    assert np.bincount(splits["train"].labels).tolist() == [6, 6]
    assert "1 bad files left out" in str(splits["train"].id)
    assert "left out train/dog/2.jpg" in capsys.readouterr().err


def test_links_to_nowhere_are_bad_files(image_folder):
    (image_folder / "train" / "dog" / "link.jpg").symlink_to("nowhere.jpg")
    with pytest.raises(UserError, match=r"dog/link\.jpg"):
        data.load(config(image_folder, size=16))
    assert len(data.load(config(image_folder, size=16, skip_bad=True))["train"]) == 12


def test_class_whose_images_are_all_bad_is_named(image_folder):
    for file in (image_folder / "val" / "dog").iterdir():
        file.write_bytes(b"x")
    with pytest.raises(UserError, match="'dog' is left in val"):
        data.load(config(image_folder, size=16, skip_bad=True))


@pytest.mark.parametrize(("path", "words"), [(None, "wants `data.path`"), ("none", "is no folder")])
def test_missing_folder(tmp_path, path, words):
    with pytest.raises(UserError, match=words):
        source.listing(DataConfig("folder", tmp_path / path if path else None))
