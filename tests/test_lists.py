"""Lists of images, data sets of Hugging Face, and that every command takes the same."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from conftest import make_image_folder, random_image
from doublevit import data
from doublevit.cli import main
from doublevit.data import source_at
from doublevit.data.names import printable, split_of
from doublevit.errors import UserError
from doublevit.runs.folder import RunFolder
from sources import config, images_of_classes, listing, names


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
        ("path,label,Label\n0.png,a,b\n", "has 2 columns 'label': expected one"),
        ("path,label\n0.png,é\n1.png,e\u0301\n", "two classes named é, written"),
        ("path,label\n0.png,1\n1.png,1.0\n", "two classes named 1, written '1' and '1.0'"),
        ('path,label\n0.png,"a\nb"\n1.png,a\\nb\n', r"two classes named a\\nb, written"),
        ("path,label,group\n0.png,a,p\n1.png,a,q\n2.png,b,\n3.png,b,q\n", "found none for 2.png"),
        ("", "found no line"),
    ],
)
def test_a_wrong_list_is_told_in_one_line(tmp_path, text, words):
    table = make_list(tmp_path / "set", text, count=4)
    with pytest.raises(UserError, match=words) as error:
        listing(table, tmp_path)
    assert "\n" not in str(error.value)


def test_classes_that_differ_in_case_are_said(tmp_path):
    table = make_list(tmp_path / "set", "path,label\n0.png,cat\n1.png,cat\n2.png,Cat\n3.png,Cat\n", count=4)
    assert (
        "classes that differ in upper and lower case alone are kept apart: Cat, cat" in listing(table, tmp_path).notes
    )


def test_a_path_that_is_too_long(tmp_path):
    with pytest.raises(UserError, match="File name too long"):
        data.source_at(tmp_path / ("x" * 300))


def test_a_column_that_is_not_there(tmp_path):
    table = make_list(tmp_path / "set", "path,label,age\n0.png,a,3\n1.png,b,4\n2.png,a,3\n3.png,b,4\n")
    with pytest.raises(UserError, match="has no column breed: expected one of path, label, age"):
        listing(table, tmp_path, label_column="breed")
    assert listing(table, tmp_path, label_column="age").class_ids == ("3", "4")
    assert "columns of labels.csv that are not read: age" in listing(table, tmp_path).notes


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
    with pytest.raises(UserError, match=r"`data.label_column` breed: .* has the columns image, label"):
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
