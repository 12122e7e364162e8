"""Where images come from: folders as people name them, lists, Hugging Face, webdataset; the same for every command."""

import io
import json
import os
import tarfile
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from conftest import make_image_folder, make_tiny_imagenet, random_image
from doublevit import data
from doublevit.cli import main
from doublevit.data import DataConfig, source_at
from doublevit.data.braces import expanded
from doublevit.data.names import printable, split_of
from doublevit.errors import UserError
from doublevit.recipes import get_recipe
from doublevit.recipes.recipe import from_dict, to_dict
from doublevit.runs.folder import RunFolder


def config(path: Path | str, cache: Path, **options) -> DataConfig:
    path = Path(path)
    return DataConfig(source_at(path), path, cache=cache, size=16, **options)


def listing(path: Path | str, tmp_path: Path, **options):
    chosen = config(path, tmp_path / "cache", **options)
    return data.LISTINGS[chosen.source](chosen)


def names(path: Path | str, tmp_path: Path, **options) -> dict[str, list[str]]:
    return {split: entries.names for split, entries in listing(path, tmp_path, **options).splits.items()}


def images_of_classes(root: Path, **counts: int) -> Path:
    generator = np.random.default_rng(0)
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            random_image(generator, (20, 20)).save(root / name / f"{i}.png")
    return root


# Folders


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
    with pytest.raises(UserError, match="2 folders named café"):
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


def test_counts_and_classes_with_few_images(tmp_path):
    root = images_of_classes(tmp_path / "set", cat=24, dog=12, fox=2, owl=1)
    with pytest.raises(UserError, match="'owl' has one image"):
        listing(root, tmp_path)
    found = listing(root, tmp_path, min_per_class=2, val_fraction=0.25)
    assert found.class_ids == ("cat", "dog")
    assert "left out 2 classes with fewer than 3 images to train on: fox, owl" in found.notes
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


# Tiny ImageNet


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


# Lists


def make_list(folder: Path, text: str, count: int = 12) -> Path:
    folder.mkdir(exist_ok=True)
    for i in range(count):
        random_image(np.random.default_rng(i), (20, 20)).save(folder / f"{i}.png")
    (folder / "labels.csv").write_text(text, encoding="utf-8-sig")
    return folder / "labels.csv"


def test_a_list_is_trained_on_and_evaluated_by_its_splits(tmp_path):
    split = ("train", "Validation", "test")
    lines = [f"{i}.png,{'ab'[i % 2]},{split[i // 2 % 3]}" for i in range(12)]
    table = make_list(tmp_path / "set", "\n".join(["File,Label,Split", *lines]))
    found = names(table, tmp_path)
    assert found == {"train": ["0.png", "1.png", "6.png", "7.png"], "val": ["2.png", "3.png", "8.png", "9.png"]}
    parts = data.read_parts(config(table, tmp_path))
    assert parts.to_evaluate().names == found["val"]
    assert parts.to_evaluate("test").names == ["4.png", "5.png", "10.png", "11.png"]
    assert source_at(tmp_path / "set") == "list"
    assert data.load(config(tmp_path / "set", tmp_path))["train"].class_ids == ("a", "b")


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_in_two_splits(tmp_path, seed):
    lines = [f"{i}.png;{'ab'[i % 2]};p{i // 3}" for i in range(12)]
    table = make_list(tmp_path / "set", "\n".join(["path;label;patient", *lines]))
    found = names(table, tmp_path, group_column="patient", val_fraction=0.3, split_seed=seed)
    patients = {split: {int(name.split(".")[0]) // 3 for name in some} for split, some in found.items()}
    assert patients["train"] | patients["val"] == {0, 1, 2, 3}
    assert not patients["train"] & patients["val"]
    assert all(patients.values())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,label,splt\n0.png,a,train\n", "has a column 'splt': expected 'split'"),
        ("path,labl\n0.png,a\n", "expected a head line with columns path,label"),
        ("path,label\nnone.png,a\n1.png,b\n", "names none.png, which is not in"),
        ("path,label\n0.png,a,x\n", "entry 2: expected 2 values, as many as columns, found 3"),
        ("path,label,split\n0.png,a,train\n1.png,b,train\n2.png,a,val\n", "have different classes: b in one only"),
        ("path,label,split\n0.png,a,\n", "expected a split in each line, found none in entry 2"),
        ("path,label,split,group\n0.png,a,train,p\n1.png,b,train,q\n2.png,a,val,p\n3.png,b,val,r\n", "p in val"),
        ("path,label,group\n0.png,a,p\n1.png,a,p\n2.png,b,p\n3.png,b,q\n", "'a' has images of one group only"),
        ("path,label\n0.png,a\n0.png,b\n", "names 0.png more than once"),
        ("path,label\n/etc/passwd,a\n", "expected a file below"),
        ("", "found no line"),
    ],
)
def test_a_wrong_list_is_told_in_one_line(tmp_path, text, words):
    table = make_list(tmp_path / "set", text, count=4)
    with pytest.raises(UserError, match=words) as error:
        listing(table, tmp_path)
    assert "\n" not in str(error.value)


def test_a_column_that_is_not_there(tmp_path):
    table = make_list(tmp_path / "set", "path,label,age\n0.png,a,3\n1.png,b,4\n2.png,a,3\n3.png,b,4\n")
    with pytest.raises(UserError, match="has no column breed: expected one of path, label, age"):
        listing(table, tmp_path, label_column="breed")
    assert listing(table, tmp_path, label_column="age").class_ids == ("3", "4")
    assert "columns of labels.csv that are not read: age" in listing(table, tmp_path).notes


# Hugging Face


def hf_set(labels: str = "ab", count: int = 8):
    datasets = pytest.importorskip("datasets")
    images = []
    for i in range(count):
        file = io.BytesIO()
        random_image(np.random.default_rng(i), (20, 20)).save(file, format="PNG")
        images.append({"bytes": file.getvalue(), "path": None})
    rows = {"image": images, "label": [i % len(labels) for i in range(count)]}
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=list(labels)))
    return datasets.Dataset.from_dict(rows, features)


@pytest.mark.parametrize("form", ["saved", "parquet", "prefix"])
def test_local_data_sets_of_hugging_face(tmp_path, form):
    datasets = pytest.importorskip("datasets")
    root = tmp_path / "set"
    both = {"train": hf_set("ba"), "validation": hf_set("ba", 4)}
    if form == "saved":
        datasets.DatasetDict(both).save_to_disk(str(root))
    else:
        (root / "data").mkdir(parents=True)
        for name, some in both.items():
            some.to_parquet(str(root / "data" / f"{name}-00000-of-00001.parquet"))
    splits = data.load(config(f"hf:{root}" if form == "prefix" else root, tmp_path / "cache"))
    assert splits["train"].class_ids == ("b", "a")
    assert splits["train"].labels.tolist() == [0, 1] * 4
    assert len(splits["val"]) == 4
    expected = np.asarray(random_image(np.random.default_rng(3), (20, 20)).resize((16, 16), 3))
    assert np.array_equal(splits["val"].images[3], expected)


def test_one_file_of_parquet_is_split(tmp_path):
    pytest.importorskip("datasets")
    hf_set(count=20).to_parquet(str(tmp_path / "all.parquet"))
    before = data.load(config(tmp_path / "all.parquet", tmp_path / "cache"))
    assert len(before["train"]) + len(before["val"]) == 20
    assert min(np.bincount(before["val"].labels)) >= 1
    with pytest.raises(UserError, match="`data.label_column` breed: .* has the columns image, label"):
        listing(tmp_path / "all.parquet", tmp_path, label_column="breed")


def test_a_row_that_is_only_a_path_is_refused(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = {"image": [{"bytes": None, "path": "/etc/hostname"}] * 4, "label": ["a", "b"] * 2}
    table = datasets.Dataset.from_dict(rows)
    table.to_parquet(str(tmp_path / "paths.parquet"))
    with pytest.raises(UserError, match="holds no image, but /etc/hostname"):
        data.load(config(tmp_path / "paths.parquet", tmp_path / "cache"))


def test_the_hub_out_of_reach_is_one_line(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    asked = []

    def fail(*arguments, **options):
        asked.append((arguments, options))
        raise ConnectionError("Couldn't reach the Hub\nwith more lines")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(UserError, match="hf:me/pets/small@v1 cannot be had from the hub") as error:
        listing("hf:me/pets/small@v1", tmp_path)
    assert "\n" not in str(error.value)
    assert asked == [(("me/pets", "small"), {"revision": "v1"})]


# webdataset


def make_shard(path: Path, samples: list[dict[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as archive:
        for files in samples:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def png(seed: int) -> bytes:
    file = io.BytesIO()
    random_image(np.random.default_rng(seed), (20, 20)).save(file, format="PNG")
    return file.getvalue()


def sample(i: int, label: str = "") -> dict[str, bytes]:
    return {f"./s/{i:04d}.PNG": png(i), f"./s/{i:04d}.cls": (label or "xy"[i % 2]).encode()}


def test_shards_hold_what_webdataset_reads(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    for shard in range(3):
        make_shard(tmp_path / f"shard-{shard:03d}.tar", [sample(i) for i in range(shard * 4, shard * 4 + 4)])
    pattern = str(tmp_path / "shard-{000..002}.tar")
    theirs = list(webdataset.WebDataset(pattern, shardshuffle=False))
    part = (parts := data.read_parts(config(f"wds:{pattern}", tmp_path / "cache"))).to_evaluate()
    assert [parts.read(name) for name in part.names] == [each["png"] for each in theirs]
    assert [part.class_ids[label] for label in part.labels] == [each["cls"].decode() for each in theirs]
    splits = data.load(config(f"wds:{pattern}", tmp_path / "cache"))
    assert sum(map(len, splits.values())) == 12
    again = data.read_parts(config(f"wds:{tmp_path}", tmp_path / "cache")).to_evaluate()  # from the index that was kept
    assert (again.names, again.labels.tolist()) == (part.names, part.labels.tolist())


def test_shards_by_split_with_json(tmp_path):
    for split, start in (("train", 0), ("val", 10), ("test", 20)):
        rows = [
            {f"{i}.png": png(i), f"{i}.json": json.dumps({"label": i % 2, "breed": "pq"[i % 2]}).encode()}
            for i in range(start, start + 4)
        ]
        make_shard(tmp_path / f"{split}-0.tar", rows)
    found = listing(f"wds:{tmp_path}/{{train,val,test}}-0.tar", tmp_path)
    assert found.splits["val"].names == [f"val-0.tar:{i}.png" for i in range(10, 14)]
    assert found.class_ids == ("0", "1")
    assert listing(f"wds:{tmp_path}", tmp_path, label_column="breed").class_ids == ("p", "q")


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([{"1.png": b"x"}], "1 has no label, only .png"),
        ([{"1.cls": b"0"}], "1 has no image, only .cls"),
        ([{"1.png": b"x", "1.pyd": b"x"}], "1.pyd, which may be a program; it is not safe"),
        ([{"1.png": b"x", "1.target.pkl": b"x"}], "1.target.pkl, which may be a program"),
        ([{"../1.png": b"x"}], "a path outside its folder"),
        ([{"1.png": b"x", "1.json": b"{"}], "is no JSON"),
        ([{"1.png": b"x", "1.cls": b"\xff"}], "no text in UTF-8"),
        ([], "without a file"),
    ],
)
def test_a_wrong_shard_is_told_in_one_line(tmp_path, samples, words):
    shard = make_shard(tmp_path / "shard.tar", samples)
    with pytest.raises(UserError, match=words) as error:
        listing(shard, tmp_path)
    assert "\n" not in str(error.value)


def test_a_truncated_or_missing_shard(tmp_path):
    shard = make_shard(tmp_path / "a.tar", [sample(i) for i in range(6)])
    whole = shard.read_bytes()
    for length in (100, 700, len(whole) // 2, whole.rstrip(b"\0").__len__() - 3):
        shard.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"a\.tar is no whole tar"):
            listing(shard, tmp_path)
    with pytest.raises(UserError, match=r"b\.tar is no file"):
        listing(f"wds:{tmp_path}/{{a,b}}.tar", tmp_path)
    with pytest.raises(UserError, match="expected shards on this machine"):
        listing("wds:https://example.org/0.tar", tmp_path)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("s-{08..11}.tar", ["s-08.tar", "s-09.tar", "s-10.tar", "s-11.tar"]),
        ("{a,b}-{1..2}", ["a-1", "a-2", "b-1", "b-2"]),
        ("plain", ["plain"]),
    ],
)
def test_braces(pattern, names):
    assert expanded(pattern) == names


@pytest.mark.parametrize("pattern", ["s-{0..9", "s-{0}", "{0..9999999}", "{a,{b,c}}"])
def test_wrong_braces(pattern):
    with pytest.raises(UserError, match="expected"):
        expanded(pattern)


# Everywhere alike


def test_names():
    assert [split_of(name) for name in ("Train", "VALID", "dev", "testing", "train_images", "cat", "trains")] == [
        *("train", "val", "val", "test", "train"),
        *(None, None),
    ]
    assert printable("\ufeffa\u202eb\n") == "\\ufeffa\\u202eb\\n"
    assert printable("日本 é") == "日本 é"


@pytest.mark.slow
def test_train_and_evaluate_take_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_image_folder(tmp_path / "pets")
    images_of_classes(tmp_path / "pets" / "test", cat=2, dog=2)
    lines = [
        f"{file.relative_to(tmp_path).as_posix()},{file.parent.name},{file.parent.parent.name}"
        for file in sorted((tmp_path / "pets").rglob("*.*"))
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,split", *lines]))
    small = ["--weights", "none", "--model.image-size", "32", "--data.size", "32", "--epochs", "1", "--batch-size", "4"]
    checksums = set()
    for name, place in (("a", "pets"), ("b", "labels.csv")):
        main(["train", "--model", "test_vit", "--data", place, *small, "--name", name, "--data.cache", "cache"])
        main(["evaluate", f"runs/{name}"])
        main(["evaluate", f"runs/{name}", "--split", "test"])
        main(["evaluate", f"runs/{name}", "--data", place, "--split", "val", "--name", f"{name}-val"])
        checksums.add(json.loads((tmp_path / "runs" / name / "data.json").read_text())["splits"]["val"]["checksum"])
    assert len(checksums) == 1
    [row] = [
        row
        for folder in (tmp_path / "runs").iterdir()
        if folder.name.startswith("a-on-") and folder.name.endswith("test")
        for row in RunFolder(folder).rows()
        if row.metric == "top-1"
    ]
    assert row.count == 4
    assert row.dataset.source.endswith("images in " + str(tmp_path / "pets" / "test"))
