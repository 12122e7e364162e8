"""Folders as people have them: names of splits, of classes and of files, links, counts."""

import dataclasses
import io
import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import make_tiny_imagenet, random_image
from doublevit import data
from doublevit.cli import main
from doublevit.data import DataConfig, store
from doublevit.data.check.source import open_source
from doublevit.data.names import natural_key
from doublevit.data.sheet import CAPTION, TILE
from doublevit.errors import UserError
from doublevit.recipes import get_recipe
from doublevit.recipes.recipe import from_dict, to_dict
from doublevit.runs.folder import RunFolder
from sources import config, images_of_classes, listing, names


@pytest.mark.parametrize(
    ("train", "val"),
    [("train", "valid"), ("Train", "Val"), ("training", "validation"), ("train", "test"), ("training_set", "test_set")],
)
def test_usual_names_of_splits(image_folder, tmp_path, train, val):
    (image_folder / "train").rename(image_folder / "t")
    (image_folder / "t").rename(image_folder / train)
    (image_folder / "val").rename(image_folder / "v")
    (image_folder / "v").rename(image_folder / val)
    found = listing(image_folder, tmp_path)
    assert found.class_ids == ("cat", "dog")
    assert found.splits["val"].names == [
        f"{val}/{name}/{i}" for name in ("cat", "dog") for i in ("0.png", "1.jpg", "2.webp")
    ]
    assert len(found.splits["train"].names) == 12
    assert any(note.startswith(f"val: 6 images in {val}/") and note.endswith("cat 3, dog 3") for note in found.notes)
    assert f"train: 12 images in {train}/: cat 6, dog 6" in found.notes


@pytest.mark.parametrize("source", ["folder", "list"])
def test_any_split_is_shown(image_folder, tmp_path, source, capsys):
    """Each class has a color of its own, which the sheet has in the row of the class."""
    rows = ["path,label,split"]
    for label, name in enumerate(("cat", "dog")):
        for split in ("train", "val", "holdout"):
            for number in range(2):
                file = image_folder / split / name / f"{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (20, 20), (90 + 9 * len(split), 200 * label, 0)).save(file)
                rows.append(f"{split}/{name}/{number}.png,{name},{split}")
    (tmp_path / "pets" / "labels.csv").write_text("\n".join(rows))
    place = image_folder if source == "folder" else image_folder / "labels.csv"
    options = ["--data", str(place), "--data.cache", str(tmp_path / "cache"), "--output", str(tmp_path / "sheet.png")]
    main(["data", "show", *options, "--split", "holdout"])
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    rows_of_tiles = [sheet[CAPTION + TILE // 2 + row * (CAPTION + TILE), TILE // 2].tolist() for row in range(2)]
    assert rows_of_tiles == [[153, 0, 0], [153, 200, 0]]
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["data", "show", *options, "--split", "other"])
    assert "split other: expected a part of" in capsys.readouterr().err


def test_test_is_kept_and_never_trained_on(image_folder, tmp_path):
    images_of_classes(image_folder / "test", cat=2, dog=1)
    found = listing(image_folder, tmp_path)
    assert not any("test" in name for entries in found.splits.values() for name in entries.names)
    assert "kept for `split` test, never trained on" in found.notes
    part = data.read_parts(config(image_folder, tmp_path)).to_evaluate("test")
    assert part.names == ["test/cat/0.png", "test/cat/1.png", "test/dog/0.png"]
    assert part.labels.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (("val/cat", "val/dog", "test/cat"), "nothing to train on: expected a part named train"),
        (("train/cat", "train/dog", "val/cat", "val/dog", "valid/cat"), "val/ and valid/, which both mean val"),
        (("train", "val"), "train holds no class folders"),
        (("train/cat", "train/dog", "val"), "val holds no class folders"),
        (("val/cat", "val/dog", "cat", "dog"), "holds val beside the classes that it holds too"),
    ],
)
def test_mixed_up_splits_are_refused(tmp_path, folders, words):
    for folder in folders:
        images_of_classes(tmp_path / "set" / Path(folder).parent, **{Path(folder).name: 2})
    with pytest.raises(UserError, match=words):
        listing(tmp_path / "set", tmp_path)


def test_a_class_may_be_called_train(tmp_path):
    images_of_classes(tmp_path / "set", bus=3, car=3, train=3)
    assert listing(tmp_path / "set", tmp_path).class_ids == ("bus", "car", "train")


def test_older_runs_know_train_and_val_alone(image_folder, tmp_path):
    (image_folder / "val").rename(image_folder / "valid")
    (image_folder / "train" / "cat" / "notes.txt").write_text("no image")
    found = names(image_folder, tmp_path, names="exact")
    assert all(name.startswith("train/") for some in found.values() for name in some)
    assert "train/cat/notes.txt" in found["train"] + found["val"]
    entries = to_dict(get_recipe("digits-vit"))
    assert from_dict(entries).data.names == "usual"
    run = RunFolder.create(entries, tmp_path / "runs", "old")
    old = json.loads((run.path / "recipe.json").read_text())
    for field in ("names", "min_per_class", "label_column", "image_column", "group_column"):
        del old["data"][field]
    (run.path / "recipe.json").write_text(json.dumps(old))
    assert from_dict(run.recipe()).data.names == "exact"


def test_files_beside_images_are_left_out_and_counted(image_folder, tmp_path):
    cat = image_folder / "train" / "cat"
    for name in ("Desktop.ini", "THUMBS.DB", ".DS_Store", "._0.png", "notes.txt", "0.json", "1.json"):
        (cat / name).write_text("x")
    found = listing(image_folder, tmp_path)
    assert len(found.splits["train"].names) == 12
    assert "left out 3 files in train/ that are no images by their names: .json 2, .txt 1" in found.notes
    (cat / "2.webp").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"train/cat/2\.webp"):
        data.load(config(image_folder, tmp_path))


def test_names_in_any_encoding(tmp_path, capsys):
    root = tmp_path / "set"
    images_of_classes(root, plain=2)
    odd = [b"caf\xe9", b"two words", b'"quoted"', b"new\nline"]
    for name in odd:
        folder = os.fsencode(root) + b"/" + name
        Path(os.fsdecode(folder)).mkdir()
        for i in range(2):
            image = io.BytesIO()
            random_image(np.random.default_rng(i)).save(image, format="PNG")
            Path(os.fsdecode(folder + b"/i\xff%d.png" % i)).write_bytes(image.getvalue())
    splits = data.load(config(root, tmp_path / "cache"), quiet=False)
    ids = splits["train"].class_ids
    assert set(ids) == {"plain", "caf\\xe9", "two words", '"quoted"', "new\\nline"}
    json.dumps(ids).encode()
    assert sum(map(len, splits.values())) == 10
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9/i\xff0.png")).write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"caf\\xe9/i\\xff0\.png"):
        data.load(config(root, tmp_path / "cache"))
    assert "caf\\xe9" in capsys.readouterr().err


def test_composed_and_separate_accents_are_one_class(image_folder, tmp_path):
    composed, separate = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")
    (image_folder / "train" / "cat").rename(image_folder / "train" / composed)
    (image_folder / "val" / "cat").rename(image_folder / "val" / separate)
    (image_folder / "val" / "dog").rename(image_folder / "val" / "Dog")
    found = listing(image_folder, tmp_path)
    assert found.class_ids == (composed, "dog")
    by_label = {name.split("/")[1]: label for name, label in zip(*vars(found.splits["val"]).values(), strict=True)}
    assert by_label == {separate: 0, "Dog": 1}
    images_of_classes(image_folder / "train", **{separate: 2})
    with pytest.raises(UserError, match="two classes named café, written"):
        listing(image_folder, tmp_path)


def test_classes_that_differ_in_case_and_numeric_ones(tmp_path):
    images_of_classes(tmp_path / "set", **{"10": 2, "9": 2, "Cat": 2, "cat": 2})
    found = listing(tmp_path / "set", tmp_path)
    assert found.class_ids == ("9", "10", "Cat", "cat")
    assert "classes that differ in upper and lower case alone are kept apart: Cat, cat" in found.notes


def test_links_are_followed_once(tmp_path):
    root = images_of_classes(tmp_path / "set", cat=3, dog=3)
    images_of_classes(tmp_path / "elsewhere", wolf=2)
    (root / "wolf").symlink_to(tmp_path / "elsewhere" / "wolf")
    (root / "cat" / "up").symlink_to(root)
    (root / "self").symlink_to(root)
    (root / "dog" / "near.png").symlink_to("0.png")
    found = listing(root, tmp_path)
    assert found.class_ids == ("cat", "dog", "wolf")
    every = sorted(name for entries in found.splits.values() for name in entries.names)
    assert every == [
        *(f"cat/{i}.png" for i in range(3)),
        *(f"dog/{i}.png" for i in range(3)),
        "dog/near.png",
        "wolf/0.png",
        "wolf/1.png",
    ]
    assert "followed a link out of the folder: wolf" in found.notes
    assert sum("leads back to a folder that it lies in" in note for note in found.notes) == 2


def test_links_to_themselves_and_to_nowhere_do_not_stop_the_listing(tmp_path):
    root = images_of_classes(tmp_path / "set", cat=3, dog=3)
    (root / "cat" / "self.png").symlink_to("self.png")
    (root / "fox").symlink_to("fox")
    (root / "wolf").symlink_to(tmp_path / "unmounted")
    found = listing(root, tmp_path)
    assert found.class_ids == ("cat", "dog")
    assert "3 links lead nowhere: cat/self.png, fox, wolf" in found.notes
    options = config(root, tmp_path / "cache")
    with pytest.raises(UserError, match=r"cannot read cat/self\.png"):
        data.load(options)
    splits = data.load(dataclasses.replace(options, skip_bad=True))
    assert sum(map(len, splits.values())) == 6
    assert splits["val"].id.skipped == 1


def test_a_split_that_is_a_link_to_another_is_refused(tmp_path):
    images_of_classes(tmp_path / "set" / "train", cat=2, dog=2)
    (tmp_path / "set" / "val").symlink_to("train")
    with pytest.raises(UserError, match="train/ and val/ are one folder"):
        listing(tmp_path / "set", tmp_path)


def test_folders_in_one_another_have_a_bound(tmp_path, monkeypatch):
    root = images_of_classes(tmp_path / "set", cat=2, dog=2)
    monkeypatch.setattr("doublevit.data.walk.DEEPEST", 6)
    images_of_classes(root, **{"cat/2/3/4/5": 1})
    assert sum(map(len, names(root, tmp_path).values())) == 5
    images_of_classes(root, **{"cat/2/3/4/5/6": 1})
    with pytest.raises(UserError, match="at most 6 folders in one another"):
        listing(root, tmp_path)


def test_names_of_folders_as_long_as_can_be_and_with_brackets(tmp_path):
    for name in ("é" * 127, "a[1]*"):
        root = images_of_classes(tmp_path / name, cat=2, dog=2)
        options = config(root, tmp_path / "cache")
        base = store.folder_of(data.LISTINGS["folder"](options), options.cache, skip_bad=False)
        stale = base.with_name(f".{base.name}-killed")
        stale.mkdir(parents=True)
        data.load(options)
        assert base.is_dir()
        assert not stale.exists()


def test_a_folder_without_classes_is_told_by_the_check(tmp_path):
    (tmp_path / "set").mkdir()
    with pytest.raises(UserError, match="expected images, found none"):
        open_source(DataConfig("folder", tmp_path / "set", cache=tmp_path))


def test_numbers_in_names_are_ordered_by_value_however_long():
    names = ["9" * 5000, "10", "a2", "9", "a10", "09"]
    assert sorted(names, key=natural_key) == ["09", "9", "10", "9" * 5000, "a2", "a10"]


def test_counts_and_classes_with_few_images(tmp_path):
    root = images_of_classes(tmp_path / "set", cat=24, dog=12, fox=2, owl=1)
    with pytest.raises(UserError, match="'owl' has one image"):
        listing(root, tmp_path)
    found = listing(root, tmp_path, min_per_class=2, val_fraction=0.25)
    assert found.class_ids == ("cat", "dog")
    assert "left out 2 classes with fewer than 3 images to train on: fox, owl" in found.notes
    with pytest.raises(
        UserError, match=r"two classes of 13 images or more, found 1: the largest has 24; lower `data.min"
    ):
        listing(root, tmp_path, min_per_class=12)
    images_of_classes(root, **{f"c{i}": 3 for i in range(10)})
    counted = listing(root, tmp_path, min_per_class=1, split="count").notes
    assert (
        "classes are unequal: cat has 19 times the training images of fox; see balanced accuracy beside top-1"
        in counted
    )
    assert next(n for n in counted if n.startswith("train:")).endswith(
        "fewest fox 1, c0 2, c1 2; most cat 19, dog 10, c9 2; 2 in the middle"
    )


def test_a_small_class_is_left_out_of_val_too(image_folder, tmp_path):
    images_of_classes(image_folder / "train", fox=1)
    images_of_classes(image_folder / "val", fox=2)
    found = listing(image_folder, tmp_path, min_per_class=2)
    assert found.class_ids == ("cat", "dog")
    assert not any("fox" in name for entries in found.splits.values() for name in entries.names)


def test_tiny_imagenet_with_sorted_val_is_the_same(tmp_path):
    official, other = make_tiny_imagenet(tmp_path / "a"), make_tiny_imagenet(tmp_path / "b")
    for line in (other / "val" / "val_annotations.txt").read_text().splitlines():
        name, wnid = line.split("\t")[:2]
        folder = other / "val" / wnid / "images"
        folder.mkdir(parents=True, exist_ok=True)
        (other / "val" / "images" / name).rename(folder / name)
    (other / "val" / "images").rmdir()
    (other / "wnids.txt").write_text("\ufeff" + (other / "wnids.txt").read_text(), encoding="utf-8")
    for annotations in (True, False):
        first, second = (data.load(config(root, tmp_path / "cache")) for root in (official, other))
        assert first["val"].id.checksum == second["val"].id.checksum
        assert second["val"].class_ids == first["val"].class_ids
        if annotations:
            (other / "val" / "val_annotations.txt").unlink()
    next((other / "val").rglob("*.JPEG")).unlink()
    with pytest.raises(UserError, match="val has 1 to 2 images of a class"):
        data.load(config(other, tmp_path / "cache"))
