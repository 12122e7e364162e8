"""Corrupted sets on disk: written, stopped and gone on with; published ones, whole and defective, as folder and tar."""

import dataclasses
import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from conftest import WNIDS, random_image
from doublevit import files
from doublevit.cli import main
from doublevit.corrupted_sets import workers
from doublevit.corrupted_sets import write as making
from doublevit.corrupted_sets import write as writing
from doublevit.corrupted_sets.config import CorruptionConfig
from doublevit.corrupted_sets.manifest import Manifest
from doublevit.corrupted_sets.sets import OnTheFly, PublishedSet, WrittenSet, condition_of, open_set
from doublevit.corrupted_sets.verify import verify
from doublevit.corrupted_sets.write import write
from doublevit.corruptions import COMMON, SEVERITIES, VALIDATION, textures
from doublevit.corruptions.textures import Textures
from doublevit.data import DataConfig, Dataset, load
from doublevit.data.archive import TarFiles
from doublevit.data.decode import decode_jpeg
from doublevit.data.identity import Subset
from doublevit.errors import UserError
from doublevit.runs.conditions import CorruptionSource

CONFIG = CorruptionConfig(("fog", "snow"), severities=(1, 4))


@pytest.fixture(scope="module")
def clean() -> Dataset:
    return load(DataConfig("digits"))["val"].first(30)


def manifest_of(clean: Dataset, kept_as: str, seed: int = 0) -> Manifest:
    return Manifest(
        source=str(clean.id),
        count=len(clean),
        side=clean.images.shape[1:3],
        class_ids=clean.class_ids,
        class_names=clean.class_names,
        seed=seed,
        constants="tiny",
        frost="generated textures",
        kept_as=kept_as,
    )


def make(clean: Dataset, root: Path, kept_as: str = "store", seed: int = 0, config: CorruptionConfig = CONFIG) -> int:
    return write(clean, manifest_of(clean, kept_as, seed), textures.generated(), root, config.cells, 1)


@pytest.fixture(scope="module")
def store(clean: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets") / "store"
    assert make(clean, root) == 4
    return root


@pytest.fixture(scope="module")
def jpegs(clean: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets") / "jpeg"
    assert make(clean, root, "jpeg") == 4
    return root


def images(dataset: Dataset) -> np.ndarray:
    return dataset.images[np.arange(len(dataset))]


@pytest.mark.slow
def test_a_store_holds_what_is_made_on_the_fly(clean, store):
    on_the_fly, written = OnTheFly(clean, 0, textures.generated()), open_set(store, clean, CONFIG.cells)
    assert isinstance(written, WrittenSet)
    assert (written.source, written.frost) == (on_the_fly.source, on_the_fly.frost)
    for cell in CONFIG.cells:
        assert condition_of(written, cell) == condition_of(on_the_fly, cell)
        assert np.array_equal(images(written.cell(cell)), images(on_the_fly.cell(cell)))
        assert written.cell(cell).id == clean.id
    some = clean.first(7)
    assert np.array_equal(
        images(open_set(store, some, CONFIG.cells).cell(("fog", 4))), images(written.cell(("fog", 4)))[:7]
    )


def test_fetched_frost_textures_change_the_condition_of_frost_alone(clean):
    """So that fog, which no texture is laid over, need not be measured again."""
    ice = textures.generated()
    before, after = (OnTheFly(clean, 0, each) for each in (ice, Textures("published textures", ice.pictures)))
    for name in COMMON + VALIDATION:
        same = condition_of(before, (name, 3)) == condition_of(after, (name, 3))
        assert same == (name != "frost")
    assert condition_of(after, ("frost", 3)).frost == "published textures"


@pytest.mark.slow
def test_jpegs_are_in_the_published_layout(clean, jpegs):
    folder = jpegs / "snow" / "4"
    assert sorted(path.name for path in folder.iterdir()) == sorted(clean.class_ids)
    for index in (0, 11, 29):
        path = folder / clean.class_ids[clean.labels[index]] / f"test_{index}.JPEG"
        expected = OnTheFly(clean, 0, textures.generated()).cell(("snow", 4)).images[np.array([index])][0].astype(int)
        assert np.abs(decode_jpeg(path.read_bytes()) - expected).mean() < 12  # quality 85, colors at half size
    written = open_set(jpegs, clean, CONFIG.cells)
    assert written.source.saved_as == "JPEG, quality 85"
    assert written.source.kind == "home-made"
    cell = written.cell(("snow", 4))
    assert np.array_equal(
        images(cell)[11], decode_jpeg((folder / clean.class_ids[clean.labels[11]] / "test_11.JPEG").read_bytes())
    )


@pytest.mark.slow
def test_finished_cells_are_kept_and_the_rest_is_made(clean, store, tmp_path, monkeypatch):
    root = tmp_path / "set"
    make_empty_part = making._empty_part

    def stop(root, cell, manifest):
        if cell == ("snow", 4):  # while snow/1 is in the making
            raise KeyboardInterrupt
        return make_empty_part(root, cell, manifest)

    monkeypatch.setattr(making, "_empty_part", stop)
    with pytest.raises(KeyboardInterrupt):
        make(clean, root)
    monkeypatch.undo()
    with pytest.raises(UserError, match="lacks 2 of the cells, snow/1 first"):
        open_set(root, clean, CONFIG.cells)
    assert not list(root.rglob(".*.part"))
    assert not (root / ".clean.npy").exists()
    assert verify(root).problems == [
        f"{root / 'snow' / str(s)} is missing; give doublevit data corrupt again" for s in (1, 4)
    ]
    (root / "snow" / ".1.part").mkdir(parents=True)
    (root / "snow" / ".1.part" / "images.npy").write_bytes(b"half")  # as a kill would leave it
    kept = (root / "fog" / "1" / "images.npy").stat().st_mtime_ns
    assert make(clean, root) == 2
    assert (root / "fog" / "1" / "images.npy").stat().st_mtime_ns == kept
    assert (root / "snow" / "1" / "images.npy").read_bytes() == (store / "snow" / "1" / "images.npy").read_bytes()
    assert not list(root.rglob(".*.part"))
    assert not (root / ".clean.npy").exists()
    assert make(clean, root, config=CorruptionConfig(("fog", "frost"), severities=(1,))) == 1  # another, added later


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
def test_the_same_with_any_number_of_workers(clean, store, tmp_path, count, monkeypatch):
    monkeypatch.setattr(making, "CHUNK", 7)
    config = CorruptionConfig(("snow",), severities=(4,))
    write(clean, manifest_of(clean, "store"), textures.generated(), tmp_path / "set", config.cells, count)
    assert (tmp_path / "set/snow/4/images.npy").read_bytes() == (store / "snow/4/images.npy").read_bytes()


def test_another_set_is_not_gone_on_with(clean, store):
    with pytest.raises(UserError, match="holds a set with another seed"):
        make(clean, store, seed=1)
    with pytest.raises(UserError, match="holds a set with another source"):
        make(clean.first(29), store)
    with pytest.raises(UserError, match="holds a set with another kept as"):
        make(clean, store, "jpeg")


def test_a_folder_that_holds_something_else(clean, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        make(clean, tmp_path)


def test_other_images_than_it_was_made_from(store):
    train = load(DataConfig("digits"))["train"].first(30)
    with pytest.raises(UserError, match="was made from other images"):
        open_set(store, train, CONFIG.cells)


def test_one_image_changed_among_those_it_was_made_from(clean, store):
    changed = images(clean).copy()
    changed[17, 5, 5, 0] ^= 1
    with pytest.raises(UserError, match="was made from other images"):
        open_set(store, dataclasses.replace(clean, images=changed), CONFIG.cells)
    with pytest.raises(UserError, match="another look of the clean images"):
        make(dataclasses.replace(clean, images=changed), store)


def test_home_made_is_never_taken_for_published(clean, jpegs, tmp_path):
    """Not as a folder's only child, not packed."""
    shutil.copytree(jpegs, tmp_path / "parent" / "set", symlinks=True)
    for path in (tmp_path / "parent", packed(jpegs, tmp_path / "set.tar")):
        with pytest.raises(UserError, match="holds a home-made set"):
            open_set(path, clean, CONFIG.cells)
        with pytest.raises(UserError, match="holds a home-made set"):
            verify(path)


@pytest.mark.slow
def test_a_few_images_that_are_not_of_every_class(clean, tmp_path):
    few = clean.first(5)
    make(few, tmp_path, "jpeg")
    assert verify(tmp_path).problems == []
    assert open_set(tmp_path, few, CONFIG.cells)


@pytest.mark.parametrize("name", ["descriptions.npy", "fog/1/images.npy", "fog/1/crc32"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\xff\xfe text", b"\x93NUMPY\x01\x00"])
def test_damaged_arrays_get_a_line(clean, store, tmp_path, name, content):
    copy = tmp_path / "copy"
    shutil.copytree(store, copy, symlinks=True)
    (copy / name).write_bytes(content)
    with pytest.raises(UserError, match=r"damaged|changed since"):
        open_set(copy, clean, CONFIG.cells)
    found = []
    try:
        found = verify(copy).problems
    except UserError as error:
        found = [str(error)]
    assert len(found) == 1


def test_a_renamed_image_would_shift_all_others(clean, jpegs, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(jpegs, copy, symlinks=True)
    for path in copy.rglob("test_0.JPEG"):
        path.rename(path.with_name("test_500.JPEG"))
    with pytest.raises(UserError, match=r"holds other images than it should, .*/test_500 among them"):
        open_set(copy, clean, CONFIG.cells)


def test_only_one_writes_at_a_time(clean, tmp_path):
    import filelock

    with filelock.FileLock(tmp_path / ".lock"), pytest.raises(UserError, match="another process is writing"):
        make(clean, tmp_path)


@pytest.mark.slow
def test_a_damaged_cell_can_be_made_again_as_advised(clean, jpegs, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(jpegs, copy, symlinks=True)
    next((copy / "fog" / "1").rglob("*.JPEG")).unlink()
    with pytest.raises(UserError, match=r"fog/1 .*; delete that folder, if it is there, and give doublevit"):
        open_set(copy, clean, CONFIG.cells)
    shutil.rmtree(copy / "fog" / "1")
    assert make(clean, copy, "jpeg") == 1
    assert open_set(copy, clean, CONFIG.cells)


def test_too_little_space_is_said_before(clean, tmp_path, monkeypatch):
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 99, 1000))
    with pytest.raises(UserError, match="no space left: writing 120 images needs"):
        make(clean, tmp_path / "set")


@pytest.mark.slow
@pytest.mark.parametrize("kept_as", ["store", "jpeg"])
def test_a_disk_that_fills_up_in_mid_write(clean, tmp_path, kept_as, monkeypatch):
    """The worker's write fails as on a full disk: one line, finished cells kept, the unfinished one not there."""
    import resource

    root = tmp_path / "set"
    make(clean, root, kept_as, config=CorruptionConfig(("fog",), severities=(1,)))
    size = 20_000 if kept_as == "store" else 600
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    _write = writing._write_clean_images
    monkeypatch.setattr(writing, "_write_clean_images", lambda *_: None)
    _write(root, clean)
    workers.Job(root, manifest_of(clean, kept_as), clean.labels, textures.generated()).save()
    monkeypatch.setattr(workers.Job, "save", lambda _: None)  # so that it is a worker whose disk is full
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        with pytest.raises(UserError, match=r"File too large.*give the same command again"):
            make(clean, root, kept_as)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert (root / "fog" / "1").is_dir()
    assert not (root / "fog" / "4").exists()
    monkeypatch.undo()
    assert make(clean, root, kept_as) == 3


def test_verify_finds_what_changed_in_a_store(store, tmp_path):
    assert verify(store).problems == []
    copy = tmp_path / "copy"
    shutil.copytree(store, copy, symlinks=True)
    path = copy / "fog" / "4" / "images.npy"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    (copy / "snow" / "1" / "images.npy").write_bytes(b"\x93NUMPY")
    problems = verify(copy).problems
    assert len(problems) == 2
    assert any("fog/4 has changed since it was written" in problem for problem in problems)
    assert any("snow/1/images.npy is damaged" in problem for problem in problems)


def test_verify_finds_what_changed_among_jpegs(jpegs, tmp_path):
    assert verify(jpegs).problems == []
    copy = tmp_path / "copy"
    shutil.copytree(jpegs, copy, symlinks=True)
    two = next(folder for folder in (copy / "fog" / "1").iterdir() if len(list(folder.iterdir())) > 1)
    first, second, *_ = two.iterdir()
    first.unlink()
    second.write_bytes(second.read_bytes()[:200])
    problems = verify(copy).problems
    assert any("fog/1 holds 29 images, expected 30" in problem for problem in problems)
    assert any(f"cannot read {second.relative_to(copy)}" in problem for problem in problems)


@pytest.mark.parametrize(
    "damage",
    ["{", '{"layout": 1}', "[]", {"kept_as": "JPEG"}, {"count": "x"}, {"count": 0}, {"side": None},
     {"class_ids": [[1]]}, {"cells": [[1, 2]]}, {"cells": []}, {"seed": "z"}, {"frost": None}, {"hue": 1}],
)  # fmt: skip
def test_damaged_manifest(store, tmp_path, damage):
    shutil.copytree(store, tmp_path / "copy", symlinks=True)
    path = tmp_path / "copy" / "corrupted.json"
    path.write_text(damage if isinstance(damage, str) else json.dumps(json.loads(path.read_text()) | damage))
    with pytest.raises(UserError, match=r"corrupted.json is damaged"):
        verify(tmp_path / "copy")


# The published set, in miniature: three classes of two images, fifteen corruptions.


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published") / "Tiny-ImageNet-C"
    generator = np.random.default_rng(0)
    for name in COMMON:
        for severity in SEVERITIES:
            for label, wnid in enumerate(WNIDS):
                folder = root / name / str(severity) / wnid
                folder.mkdir(parents=True)
                for number in (label, label + 10):
                    random_image(generator).save(folder / f"test_{number}.JPEG", quality=85)
    return root


@pytest.fixture
def defective(published: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "Tiny-ImageNet-C"
    shutil.copytree(published, copy, symlinks=True)
    return copy


@pytest.fixture(scope="module")
def tiny_val() -> Dataset:
    images = np.zeros((6, 64, 64, 3), np.uint8)
    class_ids = tuple(sorted(WNIDS))
    return Dataset(images, np.array([0, 1, 2, 0, 1, 2]), class_ids, class_ids, "Tiny ImageNet, val")


def packed(root: Path, tar: Path) -> Path:
    with tarfile.open(tar, "w") as archive:
        archive.add(root, root.name)
    return tar


@pytest.mark.parametrize("kind", ["folder", "parent", "tar"])
def test_published_set(published, tiny_val, tmp_path, kind):
    path = {"folder": published, "parent": published.parent}.get(kind) or packed(published, tmp_path / "c.tar")
    corrupted = open_set(path, tiny_val, CONFIG.cells)
    assert isinstance(corrupted, PublishedSet)
    assert corrupted.source == CorruptionSource(kind="published")
    assert corrupted.frost is None
    assert not corrupted.matched
    cell = corrupted.cell(("snow", 4))
    order = [(WNIDS[number % 10], number) for number in (0, 1, 2, 10, 11, 12)]  # by number: the same in every cell
    assert [cell.class_ids[label] for label in cell.labels] == [wnid for wnid, _ in order]
    for image, (wnid, number) in zip(images(cell), order, strict=True):
        assert np.array_equal(image, decode_jpeg((published / f"snow/4/{wnid}/test_{number}.JPEG").read_bytes()))
    first = open_set(path, tiny_val, CONFIG.cells, 4).cell(("snow", 4))
    assert np.array_equal(images(first), images(cell)[:4])
    assert first.id.subset == Subset("first", 4)
    assert str(first.id).endswith("first 4")
    assert verify(path).problems == []


def remove_corruption(root: Path) -> None:
    shutil.rmtree(root / "fog")


def remove_severity(root: Path) -> None:
    shutil.rmtree(root / "fog" / "3")


def remove_image(root: Path) -> None:
    (root / "fog" / "3" / WNIDS[0] / "test_0.JPEG").unlink()


def remove_class(root: Path) -> None:
    shutil.rmtree(root / "fog" / "3" / WNIDS[0])


def add_class(root: Path) -> None:
    shutil.copytree(root / "fog" / "3" / WNIDS[0], root / "fog" / "3" / "n99999999", symlinks=True)


def add_many_classes(root: Path) -> None:
    """As in the original archive's frost."""
    for number in range(997):
        folder = root / "fog" / "3" / f"n9{number:07d}"
        folder.mkdir()
        (folder / "test_0.JPEG").write_bytes(b"")


def rename_image(root: Path) -> None:
    folder = root / "fog" / "3" / WNIDS[0]
    (folder / "test_0.JPEG").rename(folder / "test_77.JPEG")


DEFECTS = {
    remove_corruption: (5, "fog/1 is missing"),
    remove_severity: (1, "fog/3 is missing"),
    remove_image: (1, "fog/3 holds 5 images, expected 6"),
    remove_class: (1, f"fog/3 lacks 1 of 3 classes, {WNIDS[0]} first"),
    add_class: (1, "fog/3 holds 4 classes, n99999999 among them, expected 3;"),
    add_many_classes: (
        1,
        r"1,000 classes.*defect of frost in Zenodo 2536630\); fetch the repaired archive, Zenodo 8206060",
    ),
    rename_image: (1, f"fog/3 holds other images than it should, {WNIDS[0]}/test_77 among them"),
}


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_every_defect_is_named(defective, tiny_val, defect):
    defect(defective)
    count, words = DEFECTS[defect]
    with pytest.raises(UserError, match=words):
        open_set(defective, tiny_val, CorruptionConfig(("common",)).cells)
    import re

    problems = verify(defective).problems
    assert sum("fog/" in problem and "cannot read" not in problem for problem in problems) == count
    assert re.search(words, problems[0])
    assert open_set(defective, tiny_val, CONFIG.cells[2:])  # cells that are whole can be used


def test_two_sets_below_one_folder(defective):
    shutil.copytree(defective, defective.parent / "again", symlinks=True)
    with pytest.raises(UserError, match="sets in Tiny-ImageNet-C and again; pass one"):
        verify(defective.parent)


def test_a_image_that_is_there_twice(defective):
    folder = defective / "fog" / "3" / WNIDS[0]
    shutil.copy(folder / "test_0.JPEG", folder / "test_0.png")
    assert any("fog/3 holds 7 images, expected 6" in problem for problem in verify(defective).problems)


def test_classes_of_another_network(published, clean):
    with pytest.raises(UserError, match="shows other classes"):
        open_set(published, clean, CONFIG.cells)


def test_an_unknown_corruption_is_named(defective):
    shutil.copytree(defective / "fog", defective / "frog", symlinks=True)
    assert any("unknown corruption 'frog'; did you mean" in problem for problem in verify(defective).problems)


def test_a_image_that_cannot_be_read(defective, tiny_val):
    path = defective / "fog" / "1" / WNIDS[0] / "test_0.JPEG"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"cannot read .*test_0.JPEG"):
        images(open_set(defective, tiny_val, CONFIG.cells).cell(("fog", 1)))
    random_image(np.random.default_rng(0), (32, 64)).save(path)
    with pytest.raises(UserError, match="expected 64 x 64 pixels, found 32 x 64"):
        images(open_set(defective, tiny_val, CONFIG.cells).cell(("fog", 1)))


def test_verify_at_the_command_line(defective, capsys):
    main(["data", "verify", "--corrupted-set", str(defective)])
    assert "75 cells, 450 images of 3 classes; every one is there" in capsys.readouterr().out
    remove_severity(defective)
    with pytest.raises(SystemExit) as end:
        main(["data", "verify", "--corrupted-set", str(defective)])
    assert end.value.code == 2
    assert "fog/3 is missing" in capsys.readouterr().err


@pytest.mark.parametrize("place", [0.3, 0.999])
def test_truncated_tar(published, tmp_path, place):
    tar = packed(published, tmp_path / "c.tar")
    whole = tar.read_bytes().rstrip(b"\0")
    tar.write_bytes(whole[: int(len(whole) * place)])
    with pytest.raises(UserError, match="no whole tar"):
        TarFiles(tar)


def test_compressed_tar_and_none(tmp_path):
    path = tmp_path / "c.tar"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("x"), io.BytesIO(b""))
    with pytest.raises(UserError, match="is compressed: expected a plain tar"):
        TarFiles(path)
    path.write_bytes(b"no tar" * 1000)
    with pytest.raises(UserError, match="no whole tar"):
        TarFiles(path)


@pytest.mark.parametrize("name", ["../outside.JPEG", "/etc/outside.JPEG", "fog/../../outside.JPEG"])
def test_tar_with_a_path_outside_its_folder(tmp_path, name):
    with tarfile.open(tmp_path / "c.tar", "w") as archive:
        member = tarfile.TarInfo(name)
        member.size = 3
        archive.addfile(member, io.BytesIO(b"abc"))
    with pytest.raises(UserError, match="holds a path outside its folder"):
        TarFiles(tmp_path / "c.tar")


def test_tar_with_an_impossible_size(tmp_path):
    member = tarfile.TarInfo("fog/1/n1/test_0.JPEG")
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + b"\xfe\x00"  # -512
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    (tmp_path / "c.tar").write_bytes(bytes(header[:512]) * 2 + bytes(1024))
    with pytest.raises(UserError, match="no whole tar"):
        TarFiles(tmp_path / "c.tar")


def test_tar_with_a_link(tmp_path):
    with tarfile.open(tmp_path / "c.tar", "w") as archive:
        member = tarfile.TarInfo("fog/1/n1/test_0.JPEG")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(UserError, match="holds a link"):
        TarFiles(tmp_path / "c.tar")


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_no_set_there(tmp_path, name):
    with pytest.raises(UserError, match=r"does not exist|expected one Tiny-ImageNet-C"):
        verify(tmp_path / name)
