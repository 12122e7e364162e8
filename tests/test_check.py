"""doublevit data check: each finding on images made for it, the search for near-duplicates, the page, the exit code."""

import csv
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import make_tiny_imagenet, random_image
from doublevit.cli import main
from doublevit.data import DataConfig, source_at
from doublevit.data.check.findings import DataFinding, Findings, class_counts
from doublevit.data.check.hashes import DISTANCE, correlation, near_pairs, perceptual_hashes
from doublevit.data.check.scan import look_at
from doublevit.data.decode import BadImage, decode_upright
from doublevit.errors import UserError
from doublevit.jobs import contradictions
from doublevit.jobs.check import check, write_check
from doublevit.jobs.model import Model
from doublevit.runs.model_info import read_info
from test_lists import hf_set
from test_readme import make_shard


def pets(root: Path, train: int = 4, val: int = 2) -> Path:
    """A clean folder of cats and dogs of 96 x 80 pixels, all different."""
    generator = np.random.default_rng(3)
    for split, count in (("train", train), ("val", val)):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                random_image(generator, (96, 80)).save(root / split / name / f"{i}.jpg", quality=90)
    return root


def checked(path: Path, tmp_path: Path, **options) -> Findings:
    return check(DataConfig(source_at(path), path, cache=tmp_path / "cache", **({"size": 32} | options)))


def names_of(findings: Findings, finding: str) -> list[set[str]]:
    found = findings.get(finding)
    return [] if found is None else [{findings.scan.source.names[i] for i in group.indices} for group in found.groups]


def reencoded(source: Path, target: Path, quality: int = 60, scale: float = 1.0) -> None:
    image = Image.open(source)
    image.resize((round(image.width * scale), round(image.height * scale))).save(target, quality=quality)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return pets(tmp_path / "pets")


def test_a_clean_folder_has_no_finding(folder, tmp_path):
    findings = checked(folder, tmp_path)
    assert findings.found == ()
    assert not findings.has_errors
    assert class_counts(findings.scan).tolist() == [[4, 4], [2, 2]]
    assert findings.scan.kinds == (("JPEG", "RGB"),)


def copy_to_val(root: Path) -> None:
    shutil.copy(root / "train/cat/1.jpg", root / "val/cat/9.jpg")


def copy_to_other_class_of_val(root: Path) -> None:
    shutil.copy(root / "train/cat/1.jpg", root / "val/dog/9.jpg")


def copy_to_other_class(root: Path) -> None:
    shutil.copy(root / "train/cat/1.jpg", root / "train/dog/9.jpg")


def copy_in_class(root: Path) -> None:
    shutil.copy(root / "train/cat/1.jpg", root / "train/cat/9.jpg")


def reencode_to_val(root: Path) -> None:
    reencoded(root / "train/cat/1.jpg", root / "val/cat/9.jpg")


def enlarge_to_other_class(root: Path) -> None:
    reencoded(root / "train/cat/1.jpg", root / "train/dog/9.jpg", 90, 2.0)


def reencode_in_class(root: Path) -> None:
    reencoded(root / "train/cat/1.jpg", root / "train/cat/9.png")


def mirror_to_val(folder: Path) -> None:
    Image.open(folder / "train/cat/1.jpg").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "val/cat/9.jpg")


DUPLICATES = [
    (copy_to_val, "same-file-in-splits", "error", {"train/cat/1.jpg", "val/cat/9.jpg"}),
    (copy_to_other_class_of_val, "same-file-in-splits", "error", {"train/cat/1.jpg", "val/dog/9.jpg"}),
    (copy_to_other_class, "same-file-in-classes", "error", {"train/cat/1.jpg", "train/dog/9.jpg"}),
    (copy_in_class, "same-file", "warning", {"train/cat/1.jpg", "train/cat/9.jpg"}),
    (reencode_to_val, "near-in-splits", "warning", {"train/cat/1.jpg", "val/cat/9.jpg"}),
    (enlarge_to_other_class, "near-in-classes", "warning", {"train/cat/1.jpg", "train/dog/9.jpg"}),
    (reencode_in_class, "near", "note", {"train/cat/1.jpg", "train/cat/9.png"}),
    (mirror_to_val, "near-in-splits", "warning", {"train/cat/1.jpg", "val/cat/9.jpg"}),
]


@pytest.mark.parametrize(
    ("spoil", "name", "level", "files"), DUPLICATES, ids=lambda value: getattr(value, "__name__", "")
)
def test_duplicates_are_one_finding_each(spoil, name, level, files, folder, tmp_path):
    spoil(folder)
    findings = checked(folder, tmp_path)
    assert names_of(findings, name) == [files]
    assert findings.get(name).level == level
    assert [each.name for each in findings.found if "size" not in each.name] == [name]


def test_the_same_file_under_different_labels_of_two_splits_comes_first(folder, tmp_path):
    copy_to_val(folder)
    shutil.copy(folder / "train/dog/3.jpg", folder / "val/cat/8.jpg")
    found = checked(folder, tmp_path).get("same-file-in-splits")
    assert [group.detail for group in found.groups] == ["under different classes", ""]
    assert "1 of them under different classes" in found.title


def save_constant(root: Path) -> None:
    Image.new("RGB", (96, 80), (90, 90, 95)).save(root / "train/cat/9.jpg")


def save_small(root: Path) -> None:
    random_image(np.random.default_rng(7), (31, 80)).save(root / "train/cat/9.jpg")


def save_long(root: Path) -> None:
    random_image(np.random.default_rng(7), (240, 80)).save(root / "train/cat/9.jpg")


def save_transparent(root: Path) -> None:
    image = random_image(np.random.default_rng(7), (96, 80))
    image.putalpha(100)
    image.save(root / "train/cat/9.png")


def save_turned(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    random_image(np.random.default_rng(7), (80, 96)).save(root / "train/cat/9.jpg", exif=exif)


def save_truncated(root: Path) -> None:
    (root / "train/cat/9.jpg").write_bytes((root / "train/cat/1.jpg").read_bytes()[:900])


def save_text(root: Path) -> None:
    (root / "train/cat/9.jpg").write_text("<html>404</html>")


SINGLE = [
    (save_constant, "constant", "warning"),
    (save_small, "small", "note"),
    (save_long, "long", "warning"),
    (save_transparent, "transparent", "note"),
    (save_turned, "turned", "note"),
    (save_truncated, "unreadable", "error"),
    (save_text, "unreadable", "error"),
]


@pytest.mark.parametrize(("spoil", "name", "level"), SINGLE, ids=lambda value: getattr(value, "__name__", ""))
def test_odd_images_are_named(spoil, name, level, folder, tmp_path):
    spoil(folder)
    findings = checked(folder, tmp_path)
    [files] = names_of(findings, name)
    assert {Path(file).stem for file in files} == {"9"}
    assert findings.get(name).level == level
    assert {each.name for each in findings.found} - {"odd-size"} == {name}


def test_a_turned_image_has_its_upright_size_and_hash(tmp_path):
    image = random_image(np.random.default_rng(7), (200, 300))
    files = {}
    for turn, stored in ((1, image), (6, image.transpose(Image.Transpose.ROTATE_90))):
        exif, file = Image.Exif(), io.BytesIO()
        exif[0x0112] = turn
        stored.save(file, "JPEG", quality=95, exif=exif)
        files[turn] = look_at(file.getvalue())
    assert (files[6].width, files[6].height) == (200, 300) == (files[1].width, files[1].height)
    hashes = perceptual_hashes(np.stack([files[1].thumbnail, files[6].thumbnail]))
    assert np.bitwise_count(hashes[0] ^ hashes[1]) <= 2


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_an_image_of_any_kind_on_its_side_has_its_upright_size(kind):
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    random_image(np.random.default_rng(7), (30, 20)).save(file, kind, exif=exif)
    look = look_at(file.getvalue())
    assert (look.width, look.height, look.rotated) == (20, 30, True)


def test_a_fine_pattern_is_not_constant():
    """At an eighth of its size it would be."""
    pattern = np.indices((512, 512)).sum(axis=0) % 2 * 60 + 100
    file = io.BytesIO()
    Image.fromarray(pattern.astype(np.uint8)).convert("RGB").save(file, "JPEG", quality=95)
    look = look_at(file.getvalue())
    assert int(look.thumbnail.max()) - int(look.thumbnail.min()) < 17
    assert not look.flat


def test_an_image_of_another_size_than_most_is_told(tmp_path):
    root = pets(tmp_path / "pets", train=10)
    random_image(np.random.default_rng(7), (97, 80)).save(root / "train/cat/odd.jpg")
    assert names_of(checked(root, tmp_path), "odd-size") == [{"train/cat/odd.jpg"}]


def test_images_without_a_part_to_train_on_are_told(folder, tmp_path):
    shutil.rmtree(folder / "train")
    found = checked(folder, tmp_path).get("no-train")
    assert (found.level, found.title) == ("warning", "nothing to train on, val alone")


def test_classes_that_are_missing_or_unequal_are_told(folder, tmp_path):
    shutil.rmtree(folder / "train/dog")
    found = checked(folder, tmp_path).get("missing-in-train")
    assert (found.level, "dog" in found.title) == ("error", True)
    root = pets(tmp_path / "unequal", train=2)
    for i in range(20):
        random_image(np.random.default_rng(50 + i), (96, 80)).save(root / f"train/cat/more{i}.jpg")
    assert "2 to 22 images" in checked(root, tmp_path).get("unequal").title


def test_val_is_drawn_as_training_draws_it(tmp_path):
    from doublevit.data import LISTINGS

    root = pets(tmp_path / "pets", train=9, val=1) / "train"
    config = DataConfig("folder", root, cache=tmp_path / "cache", size=32)
    source = check(config).scan.source
    drawn = {
        name for name, split in zip(source.names, source.splits, strict=True) if source.split_names[split] == "val"
    }
    assert drawn == set(LISTINGS["folder"](config).splits["val"].names)
    assert source.drawn


def test_only_mirrored_groups_say_so(folder, tmp_path):
    mirror_to_val(folder)
    reencoded(folder / "train/dog/2.jpg", folder / "val/dog/9.jpg")
    details = {group.detail for group in checked(folder, tmp_path).get("near-in-splits").groups}
    assert sorted(detail.endswith(", mirrored") for detail in details) == [False, True]


@pytest.mark.parametrize("form", ["saved", "parquet", "one file"])
def test_a_data_set_of_hugging_face_is_checked(tmp_path, form):
    datasets = pytest.importorskip("datasets")
    sets = {"train": hf_set("ba", 8), "validation": hf_set("ba", 4)}  # the same four images in both
    path = tmp_path / "set"
    if form == "saved":
        datasets.DatasetDict(sets).save_to_disk(str(path))
    elif form == "parquet":
        path.mkdir()
        for name, some in sets.items():
            some.to_parquet(str(path / f"{name}-00000-of-00001.parquet"))
    else:
        path = tmp_path / "all.parquet"
        datasets.concatenate_datasets(list(sets.values())).to_parquet(str(path))
    config = DataConfig(source_at(path), path, cache=tmp_path / "cache", size=16)
    findings = check(config)
    source = findings.scan.source
    assert (source.class_ids, len(source), source.drawn) == (("a", "b"), 12, form == "one file")
    assert findings.scan.kinds == (("PNG", "RGB"),)
    twice = [each for each in findings.found if each.name.startswith("same-file")]
    assert sum(each.images for each in twice) == 8
    assert form == "one file" or [each.name for each in twice] == ["same-file-in-splits"]
    made = [np.asarray(random_image(np.random.default_rng(i), (20, 20))) for i in range(8)]
    for index in range(len(source)):  # labels are those of their images, whose number decides both
        image = np.asarray(Image.open(io.BytesIO(source.read(source.names[index]))))
        number = next(number for number, expected in enumerate(made) if (image == expected).all())
        assert source.class_of(index) == "ba"[number % 2]
    page, table = write_check(findings, config, tmp_path / "page")
    assert page.read_text().count("<img") >= 8
    assert len({(row["file"], row["split"]) for row in csv.DictReader(table.open())}) >= 8


def test_other_sources_are_checked_alike(folder, tmp_path):
    copy_to_val(folder)
    files = sorted(folder.rglob("*.jpg"))
    rows = [f"{file.relative_to(folder)},{file.parent.name},{file.parent.parent.name}" for file in files]
    (folder / "labels.csv").write_text("\n".join(["path,label,split", *rows]))
    assert names_of(checked(folder / "labels.csv", tmp_path), "same-file-in-splits") == [
        {"train/cat/1.jpg", "val/cat/9.jpg"}
    ]
    (tmp_path / "shards").mkdir()
    for split in ("train", "val"):
        make_shard(tmp_path / f"shards/{split}-000.tar", [file for file in files if file.parent.parent.name == split])
    shards = Path(f"wds:{tmp_path}/shards/{{train,val}}-000.tar")
    assert checked(shards, tmp_path).get("same-file-in-splits").images == 2


def test_tiny_imagenet_is_held_to_its_size(tmp_path):
    root = make_tiny_imagenet(tmp_path / "tiny-imagenet-200")
    random_image(np.random.default_rng(7), (63, 64)).save(root / "val/images/val_10.JPEG")
    findings = checked(root, tmp_path)
    assert (
        findings.scan.bad[names(findings).index("val/images/val_10.JPEG")] == "expected 64 x 64 pixels, found 63 x 64"
    )


def names(findings: Findings) -> list[str]:
    return findings.scan.source.names


@pytest.mark.parametrize("distance", [0, 3, DISTANCE, 7])
def test_the_search_finds_what_comparing_all_finds(distance):
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 1 << 64, 300, dtype=np.uint64)
    copies = np.repeat(hashes, 4)
    for _ in range(9):  # up to nine bits changed
        bits = np.uint64(1) << generator.integers(0, 64, len(copies), dtype=np.uint64)
        copies ^= np.where(generator.random(len(copies)) < 0.3, bits, np.uint64(0))
    every = np.stack(np.triu_indices(len(copies), 1), axis=1)
    near = np.bitwise_count(copies[every[:, 0]] ^ copies[every[:, 1]]) <= distance
    assert near.sum() > (0 if distance else -1)
    np.testing.assert_array_equal(near_pairs(copies, distance), every[near])


def test_the_search_refuses_a_distance_at_which_it_would_miss_pairs():
    with pytest.raises(ValueError, match="0 to 7"):
        near_pairs(np.zeros(2, np.uint64), 8)


def test_hashes_are_of_the_lowest_frequencies():
    """A hash is that of the discrete cosine transform by its definition."""
    thumbnail = np.asarray(random_image(np.random.default_rng(1), (32, 32)).convert("L"))
    place = (2 * np.arange(32) + 1) * np.pi / 64
    waves = np.array(
        [
            [(thumbnail * np.outer(np.cos(place * row), np.cos(place * column))).sum() for column in range(1, 9)]
            for row in range(1, 9)
        ]
    ).ravel()
    [value] = perceptual_hashes(thumbnail[None])
    bits = np.unpackbits(np.array([value]).view(np.uint8))
    np.testing.assert_array_equal(bits, waves > np.median(waves))


def test_correlation_is_pearsons():
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32), dtype=np.uint8)
    images[3] = 7
    expected = [np.corrcoef(images[0].ravel(), images[1].ravel())[0, 1], 1.0, 0.0]
    np.testing.assert_allclose(correlation(images[[0, 2, 0]], images[[1, 2, 3]]), expected, atol=1e-5)


def test_damage_is_told_as_training_tells_it():
    with pytest.raises(BadImage, match="a web page"):
        look_at(b"<html>")
    file = io.BytesIO()
    random_image(np.random.default_rng(7), (60, 50)).save(file, "PNG")
    content = bytearray(file.getvalue())
    content[len(content) // 2] ^= 255
    for read in (decode_upright, look_at):
        with pytest.raises(BadImage):
            read(bytes(content))


def test_labels_are_contradicted_where_they_are_improbable_and_another_is_sure():
    probabilities = np.array([[0.01, 0.9, 0.09], [0.97, 0.03, 0.0], [0.02, 0.98, 0.0], [0.005, 0.89, 0.1], [1, 0, 0]])
    rows, others = contradictions.contradictions(probabilities, np.array([0, 0, 0, 0, 2]))
    assert (rows.tolist(), others.tolist()) == ([4, 0], [0, 1])  # the surest first


class BlueOrRed(torch.nn.Module):
    """Knows the color of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.weight * images.float().mean(dim=(2, 3))[:, [2, 0]]


@pytest.mark.slow
def test_a_model_names_a_wrong_label_and_says_what_it_was_trained_on(tmp_path, monkeypatch):
    generator, root = np.random.default_rng(0), tmp_path / "colors"
    for split, count in (("train", 30), ("val", 6)):
        for name, color in (("blue", (20, 20, 220)), ("red", (220, 20, 20))):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                noise = generator.integers(-20, 20, (40, 40, 3))
                pixels = (np.array(color) + noise).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{i}.png")
    small = ["--model", "test_vit", "--weights", "none", "--model.image-size", "32", "--data.size", "32"]
    where = ["--data", str(root), "--data.cache", str(tmp_path / "cache"), "--output", str(tmp_path), "--name", "run"]
    main(["train", *small, *where, "--epochs", "1"])
    monkeypatch.setattr(contradictions, "open_model", lambda path, weights: Model(BlueOrRed(), read_info(path)))
    shutil.move(root / "val/red/0.png", root / "val/blue/wrong.png")
    config = DataConfig("folder", root, cache=tmp_path / "cache")
    found = check(config, tmp_path / "run").get("contradicted")
    source = check(config).scan.source
    assert [source.names[i] for group in found.groups for i in group.indices] == ["val/blue/wrong.png"]
    assert found.groups[0].detail == "red 100.0%, not blue 0.0%"
    assert "trained on 60 of the 72 images" in found.advice


def test_a_model_that_is_not_there_is_told(folder, tmp_path):
    with pytest.raises(UserError, match=r"`model` .*nothing there"):
        check(DataConfig("folder", folder, cache=tmp_path / "cache"), tmp_path / "runs/none")


def test_embedded_data_and_empty_folders_are_told(tmp_path, capsys):
    (tmp_path / "empty/train/cat").mkdir(parents=True)
    for arguments, message in (
        (["data", "check"], "data check PATH"),
        (["data", "check", "--data.source", "digits", str(tmp_path)], "source"),
        (["data", "check", str(tmp_path / "empty")], "found none"),
        (["data", "check", str(tmp_path / "empty"), "--data", str(tmp_path)], "expected one of them"),
    ):
        with pytest.raises(SystemExit) as end:
            main([*arguments, *(["--data.cache", str(tmp_path / "cache")] if len(arguments) > 2 else [])])
        assert end.value.code == 2
        assert message in capsys.readouterr().err


def run_check(folder: Path, tmp_path: Path) -> int:
    try:
        main(["data", "check", str(folder), "--output", str(tmp_path / "out"), "--data.cache", str(tmp_path / "cache")])
    except SystemExit as end:
        return end.code
    return 0


def test_it_ends_with_1_where_something_must_be_mended(folder, tmp_path, capsys):
    assert run_check(folder, tmp_path) == 0
    reencode_to_val(folder)
    assert run_check(folder, tmp_path) == 0  # a warning
    copy_to_val(folder)
    shutil.copy(folder / "train/cat/1.jpg", folder / "val/cat/10.jpg")
    capsys.readouterr()
    assert run_check(folder, tmp_path) == 1
    text = capsys.readouterr().out
    assert "error: the same file in two splits" in text
    assert "train/cat/1.jpg  =  " in text


def test_the_list_names_every_file_and_no_formula(folder, tmp_path):
    copy_to_val(folder)
    (folder / "train/=SUM(A1)").mkdir()
    (folder / "val/=SUM(A1)").mkdir()
    for split in ("train", "val"):
        (folder / split / "=SUM(A1)" / "1.jpg").write_text("")
    run_check(folder, tmp_path)
    rows = list(csv.DictReader((tmp_path / "out/findings.csv").open()))
    assert [row["file"] for row in rows if row["finding"] == "same-file-in-splits"] == [
        "train/cat/1.jpg",
        "val/cat/9.jpg",
    ]
    assert {row["class"] for row in rows if row["finding"] == "unreadable"} == {"'=SUM(A1)"}


def test_the_page_is_one_escaped_file_with_a_picture_of_each_file(folder, tmp_path):
    hostile = "<script>alert(1)"
    copy_to_val(folder)
    for split in ("train", "val"):
        shutil.copytree(folder / split / "dog", folder / split / hostile)
    config = DataConfig("folder", folder, cache=tmp_path / "cache", size=32)
    page, _ = write_check(check(config), config, tmp_path / "out")
    text = page.read_text()
    assert hostile not in text
    assert "&lt;script&gt;alert(1)" in text
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert text.count("<img ") == 2 * 4 + 2 * 2 + 2  # dogs are in two classes, and one cat in two splits


def test_it_needs_no_torch(folder, tmp_path):
    code = (
        "import sys; from pathlib import Path; from doublevit.data import DataConfig;"
        "from doublevit.jobs.check import check, write_check;"
        f"c = DataConfig('folder', Path({str(folder)!r}), cache=Path({str(tmp_path)!r}));"
        f"write_check(check(c), c, Path({str(tmp_path / 'out')!r})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_findings_count_images_of_all_groups():
    from doublevit.data.check.duplicates import Group

    assert DataFinding("near", "note", "", "", (Group((1, 2, 3)), Group((4, 5)))).images == 5


def test_images_with_near_hashes_that_do_not_correlate_are_no_duplicates():
    from doublevit.data.check.duplicates import _groups

    thumbnails = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    thumbnails[2] = thumbnails[0] // 2
    [group] = _groups(np.array([5, 7, 9]), np.array([[0, 1], [0, 2]]), np.zeros(2, bool), thumbnails)
    assert group.indices == (5, 9)
