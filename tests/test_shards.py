"""Shards of webdataset."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from conftest import random_image
from doublevit import data
from doublevit.data.braces import expanded
from doublevit.errors import UserError
from sources import config, listing


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
        ([{"1.png": b"x", "1.jpg": b"x", "1.cls": b"0"}], r"1 has 2 images, \.png, \.jpg"),
        ([{"1.png": b"x", "1.cls": b"0", "1.label": b"1"}], "1 has the labels 0, 1"),
        ([{"1.png": b"x", "1.json": b'{"label": [0, 1]}'}], r"has the label \[0, 1\] in its .json"),
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
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(whole))
    with pytest.raises(UserError, match="is compressed: expected a plain tar"):
        listing(tmp_path / "a.tar.gz", tmp_path)
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
