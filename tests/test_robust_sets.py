"""ImageNet-A, -R, -V2, -Sketch, ObjectNet and ImageNet-C in miniature, in the layouts in which they are published."""

import io
import json
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

import doublevit
from doublevit.analysis.compare import compare_runs
from doublevit.cli import main
from doublevit.corrupted_sets.sets import open_set
from doublevit.corruptions import COMMON
from doublevit.data.decode import decode
from doublevit.errors import UserError
from doublevit.jobs import judge as judging
from doublevit.jobs.eval_data import load_for
from doublevit.jobs.fit import fit
from doublevit.jobs.several import GAP
from doublevit.jobs.wrap import imagenet_ids
from doublevit.report.tables.every import every_table
from doublevit.runs.folder import RunFolder
from doublevit.statistics import independent_difference

OF_A = """
6 11 13 15 17 22 23 27 30 37 39 42 47 50 57 70 71 76 79 89 90 94 96 97 99 105 107 108 110 113 124 125 130 132 143 144
150 151 207 234 235 254 277 283 287 291 295 298 301 306 307 308 309 310 311 313 314 315 317 319 323 324 326 327 330 334
335 336 347 361 363 372 378 386 397 400 401 402 404 407 411 416 417 420 425 428 430 437 438 445 456 457 461 462 470 472
483 486 488 492 496 514 516 528 530 539 542 543 549 552 557 561 562 569 572 573 575 579 589 606 607 609 614 626 627 640
641 642 643 658 668 677 682 684 687 701 704 719 736 746 749 752 758 763 765 768 773 774 776 779 780 786 792 797 802 803
804 813 815 820 823 831 833 835 839 845 847 850 859 862 870 879 880 888 890 897 900 907 913 924 932 933 934 937 943 945
947 951 954 956 957 959 971 972 980 981 984 986 987 988
"""
OF_R = """
1 2 4 6 8 9 11 13 22 23 26 29 31 39 47 63 71 76 79 84 90 94 96 97 99 100 105 107 113 122 125 130 132 144 145 147 148 150
151 155 160 161 162 163 171 172 178 187 195 199 203 207 208 219 231 232 234 235 242 245 247 250 251 254 259 260 263 265
267 269 276 277 281 288 289 291 292 293 296 299 301 308 309 310 311 314 315 319 323 327 330 334 335 337 338 340 341 344
347 353 355 361 362 365 366 367 368 372 388 390 393 397 401 407 413 414 425 428 430 435 437 441 447 448 457 462 463 469
470 471 472 476 483 487 515 546 555 558 570 579 583 587 593 594 596 609 613 617 621 629 637 657 658 701 717 724 763 768
774 776 779 780 787 805 812 815 820 824 833 847 852 866 875 883 889 895 907 928 931 932 933 934 936 937 943 945 947 948
949 951 953 954 957 963 965 967 980 981 983 988
"""
"""Of ImageNet's thousand: thousand_k_to_200 in eval.py of hendrycks/natural-adv-examples, and imagenet_r_mask."""
STEP = 8  # levels between the colors of two classes


def color(index: int) -> tuple[int, int, int]:
    """The color by which `Reads` knows a class."""
    return STEP * (index % 32), STEP * (index // 32), 100


class Reads(nn.Module):
    """ImageNet's thousand logits from an image's mean color; class 0 is the first of all where it is `biased`."""

    biased = True

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        codes = torch.tensor([color(index) for index in range(1000)])
        logits = -torch.cdist(255 * images.mean(dim=(2, 3)), codes.float())
        if self.biased:
            logits[:, 0] = 10
        return logits


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> doublevit.Model:
    """A model that knows a class by its color, and that any name opens."""
    model = doublevit.wrap(Reads(), mean=(0,) * 3, std=(1,) * 3, size=224, name="reader")
    monkeypatch.setattr(judging, "open_model", lambda *_, **__: model)
    return model


def picture(index: int, border: int = 0, side: int = 20) -> bytes:
    image = Image.new("RGB", (side, side + 4), (255, 0, 0))
    image.paste(color(index), (border, border, side - border, side + 4 - border))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def write(root: Path, folders: dict[str, int], names: Sequence[str] = ("0.png",), border: int = 0) -> Path:
    """Images of the class of each folder."""
    for folder, index in folders.items():
        (root / folder).mkdir(parents=True)
        for name in names:
            (root / folder / name).write_bytes(picture(index, border))
    return root


def by_wnid(indices: Sequence[int]) -> dict[str, int]:
    return {imagenet_ids()[index]: index for index in indices}


def indices_of(text: str) -> list[int]:
    return [int(word) for word in text.split()]


@pytest.mark.parametrize(
    ("name", "indices", "subset"), [("ImageNet-A", OF_A, "ff8c3845"), ("ImageNet-R", OF_R, "354baa0a")]
)
def test_two_hundred_classes_are_scored_among_themselves(reader, tmp_path, capsys, name, indices, subset):
    folder = write(tmp_path / "set", by_wnid(indices_of(indices)))
    row = doublevit.evaluate(reader, folder)["clean", "top-1"]
    assert (row.value, row.count) == (1, 200)  # of all thousand logits, that of class 0 would be the largest
    assert row.model == "reader, among 200 of 1,000 classes"
    assert row.dataset.source.startswith(f"{name} (200 of 1,000 classes, sub-set {subset}, by wnid), images in ")
    assert f"{name}: 200 of 1,000 classes, sub-set {subset}" in capsys.readouterr().err
    shutil.rmtree(folder / imagenet_ids()[indices_of(indices)[-1]])
    other = doublevit.evaluate(reader, folder)["clean", "top-1"].dataset.source
    assert other.startswith("classes of ImageNet (199 of 1,000 classes, sub-set ")
    assert subset not in other


def test_v2s_folders_are_numbers_and_sketchs_are_wnids(tmp_path):
    network = Reads()
    network.biased = False
    model = doublevit.wrap(network, mean=(0,) * 3, std=(1,) * 3, size=32)
    numbers = {str(index): index for index in range(1000)}
    row = doublevit.evaluate(model, write(tmp_path / "frequency", numbers))["clean", "top-1"]
    assert (row.value, row.count) == (1, 1000)  # sorted as text, 2 classes in 1,000 would be right
    assert row.dataset.source.startswith("ImageNet-V2 (all 1,000 classes, by wnid), ")
    assert ", among " not in row.model
    sketch = write(tmp_path / "sketch", by_wnid(range(1000)), ["sketch_7.JPEG"])
    row = doublevit.evaluate(model, sketch)["clean", "top-1"]
    assert (row.value, row.dataset.source[:36]) == (1, "ImageNet-Sketch (all 1,000 classes, ")


def test_some_of_v2_are_known_by_the_folders_name_alone(reader, tmp_path):
    some = {str(index): index for index in (3, 20, 100)}
    row = doublevit.evaluate(reader, write(tmp_path / "imagenetv2-top-images-format-val", some))["clean", "top-1"]
    assert (row.value, row.model) == (1, "reader, among 3 of 1,000 classes")
    with pytest.raises(UserError, match="knows none of the classes"):
        doublevit.evaluate(reader, write(tmp_path / "numbers", some))
    with pytest.raises(UserError, match="expected folders 0 to 999 of ImageNet-V2, found 1000"):
        doublevit.evaluate(reader, write(tmp_path / "imagenet-v2", {"5": 5, "1000": 5}))


def test_logits_are_those_of_timms_transform_and_plain_indexing(shared, tmp_path):
    network, root = timm.create_model("test_vit").eval(), tmp_path / "renditions"
    transform = timm.data.create_transform(**timm.data.resolve_data_config(model=network))
    model, files = doublevit.wrap(network), {}
    with tarfile.open(shared / "data" / "imagenet-400.tar") as archive:
        for member in archive:
            wnid = member.name.split("/")[2] if member.isfile() else ""
            if wnid and imagenet_ids().index(wnid) in indices_of(OF_R):
                files[wnid] = archive.extractfile(member).read()
                (root / wnid).mkdir(parents=True)
                (root / wnid / "art_0.jpg").write_bytes(files[wnid])
    among, images = fit(model, load_for(model, str(root)))
    wnids, columns = sorted(files), [imagenet_ids().index(wnid) for wnid in sorted(files)]
    with torch.inference_mode():
        pixels = torch.stack([transform(Image.open(io.BytesIO(files[wnid])).convert("RGB")) for wnid in wnids])
        expected = network(pixels)[:, columns]
        found = among(torch.from_numpy(np.array(images.images)).permute(0, 3, 1, 2))
    assert images.class_ids == tuple(wnids)
    assert images.labels.tolist() == list(range(75))
    assert (found - expected).abs().max() < 1e-4
    accuracy = doublevit.evaluate(model, root)["clean", "top-1"].value
    assert accuracy == pytest.approx((expected.argmax(1) == torch.arange(75)).float().mean().item())


CLOCKS = {"alarm_clock": (409, 530), "backpack": (414,), "tie": (457, 906), "still_camera": (732, 759)}


@pytest.fixture
def objectnet(tmp_path: Path) -> Path:
    """Four classes of ObjectNet that are several of ImageNet's, and one that is none, with a red border."""
    root, maps = tmp_path / "objectnet-1.0", tmp_path / "objectnet-1.0" / "mappings"
    maps.mkdir(parents=True)
    order = np.random.default_rng(0).permutation(1000).tolist()  # the line of each logit
    info = timm.data.ImageNetInfo()
    words = [f"{info.index_to_description(index)}#{index}".replace("#", ", ") for index in range(1000)]
    lines = [words[order.index(line)] for line in range(1000)]
    (maps / "imagenet_to_label_2012_v2").write_text("\n".join(lines))
    (maps / "pytorch_to_imagenet_2012_id.json").write_text(json.dumps({str(i): line for i, line in enumerate(order)}))
    labels = {name: name.replace("_", " ").capitalize() for name in (*CLOCKS, "air_freshener")}
    (maps / "folder_to_objectnet_label.json").write_text(json.dumps(labels))
    several = {labels[name]: "; ".join(words[index] for index in indices) for name, indices in CLOCKS.items()}
    (maps / "objectnet_to_imagenet_1k.json").write_text(json.dumps(several))
    for place in (0, -1):
        shown = {name: indices[place] for name, indices in CLOCKS.items()} | {"air_freshener": 5}
        for name, index in shown.items():
            (root / "images" / name).mkdir(parents=True, exist_ok=True)
            (root / "images" / name / f"{place}.png").write_bytes(picture(index, border=2))
    return root


def test_objectnets_classes_are_the_best_of_several_of_imagenets(reader, objectnet, capsys):
    for place in (objectnet, objectnet.parent, objectnet / "images"):
        row = doublevit.evaluate(reader, place)["clean", "top-1"]
        assert (row.value, row.count) == (1, 8)  # with the border, colors would be those of other classes
    assert row.model == "reader, among 4 merged from 7 of 1,000 classes"
    assert row.dataset.source.startswith("ObjectNet (4 classes, which are 7 of ImageNet's 1,000, each the best of its")
    assert "1 folders that are no class of ImageNet left out; border of 2 pixels cut off" in capsys.readouterr().err
    among, images = fit(reader, load_for(reader, str(objectnet)))
    pixels = torch.from_numpy(np.array(images.images[:])).permute(0, 3, 1, 2)
    expected = [reader(pixels)[:, list(indices)].amax(dim=1) for _, indices in sorted(CLOCKS.items())]
    assert torch.equal(among(pixels), torch.stack(expected, dim=1))
    assert images.class_ids[0] == f"{imagenet_ids()[409]}+{imagenet_ids()[530]}"
    assert images.class_names[0] == "analog clock or digital clock"


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("folder_to_objectnet_label.json", lambda text: text[:20], "cannot be read .folder_to_objectnet_label.json"),
        ("objectnet_to_imagenet_1k.json", lambda text: text.replace("backpack", "rucksack"), "stands 0 times"),
        ("objectnet_to_imagenet_1k.json", lambda text: text.replace("Tie", "Bow"), "cannot be read"),
        ("imagenet_to_label_2012_v2", lambda text: "\n".join(["x", *text.split("\n")]), "in another order"),
    ],
)
def test_damaged_mappings_of_objectnet_are_refused(reader, objectnet, name, change, words):
    path = objectnet / "mappings" / name
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=words):
        load_for(reader, str(objectnet))


def imagenet_c(root: Path, grouped: bool) -> Path:
    """ImageNet-C of five classes with an image each; at severity s, s of them show another class."""
    archives = ("noise",) * 3 + ("blur",) * 4 + ("weather",) * 4 + ("digital",) * 4
    for archive, name in zip(archives, COMMON, strict=True):
        for severity in range(1, 6):
            for place, index in enumerate(SHOWN):
                folder = root / (archive if grouped else "") / name / str(severity) / imagenet_ids()[index]
                folder.mkdir(parents=True)
                shown = SHOWN[place - 1] if place < severity else index
                image = Image.new("RGB", (224, 224), color(shown))
                image.save(folder / f"ILSVRC2012_val_0000000{5 - place}.JPEG", quality=85)
    return root


SHOWN = (10, 200, 300, 700, 900)


def in_tars(root: Path, tars: Path) -> Path:
    """Four of the five archives of Zenodo 2235448, with a file beside them."""
    tars.mkdir()
    for folder in root.iterdir():
        with tarfile.open(tars / f"{folder.name}.tar", "w") as archive:
            for cells in sorted(folder.iterdir()):
                archive.add(cells, cells.name)  # blur.tar begins with defocus_blur/1
    (tars / "README.txt").write_text("not read")
    return tars


def test_imagenet_c_is_the_same_in_its_tars(reader, tmp_path):
    clean = load_for(reader, str(write(tmp_path / "val", by_wnid(SHOWN), ["ILSVRC2012_val_00000001.JPEG"])))
    folder = imagenet_c(tmp_path / "imagenet-c", grouped=True)
    tars, cache, cells = in_tars(folder, tmp_path / "tars"), tmp_path / "cache", [("fog", 2), ("glass_blur", 5)]
    for _ in range(2):  # the second time by the index in the cache
        unpacked, packed = open_set(folder, clean, cells), open_set(tars, clean, cells, cache=cache)
        for cell in cells:
            one, other = unpacked.cell(cell), packed.cell(cell)
            assert (one.images[:] == other.images[:]).all()
            assert one.labels.tolist() == other.labels.tolist()
        assert len([*cache.glob("tar-*.npz")]) == 4
        (alone,) = open_set(tars / "blur.tar", clean, cells[1:]).cell(cells[1]).images[:1]
        assert (alone == packed.cell(cells[1]).images[:1][0]).all()
    shutil.copy(tars / "blur.tar", tars / "extra.tar")
    with pytest.raises(
        UserError, match=r"extra.tar holds .*_blur/\d/n\d+/ILS.*, which another tar beside it holds too"
    ):
        open_set(tars, clean, cells)


@pytest.mark.parametrize("grouped", [False, True])
def test_imagenet_c_is_read_as_it_is_published(reader, tmp_path, capsys, grouped):
    clean = write(tmp_path / "val", by_wnid(SHOWN), ["ILSVRC2012_val_00000001.JPEG"])
    published = imagenet_c(tmp_path / "imagenet-c", grouped)
    images = ["timm:reader", "--data", str(clean), "--runs", str(tmp_path / "runs"), "--name", "c"]
    main(["evaluate", *images, "--corrupted-set", str(published), "--corruptions", "common"])
    output = capsys.readouterr()
    assert "ImageNet-C, 5 classes: images of 224 pixels as published, not resized or cut" in " ".join(
        output.err.split()
    )
    assert "mCE" not in output.out  # AlexNet's errors are of a thousand classes
    rows = [row for row in RunFolder(tmp_path / "runs" / "c").rows() if row.metric == "top-1"]
    cells = [row for row in rows if hasattr(row.condition, "severity")]
    assert len(cells) == 75
    for row in cells:
        assert row.value == pytest.approx(1 - row.condition.severity / 5)
        assert (row.dataset.source, row.condition.source.constants) == ("ImageNet-C", "imagenet")
    measured = doublevit.evaluate(reader, clean, corruptions="fog", severities=2, corrupted_set=published)
    assert measured["fog 2", "top-1"].value == pytest.approx(0.6)
    cell = open_set(published, load_for(reader, str(clean)), [("fog", 2)]).cell(("fog", 2))
    first = next(published.rglob(f"fog/2/{imagenet_ids()[SHOWN[-1]]}/*"))  # the smallest number of all names
    assert (np.asarray(cell.images[:1])[0] == decode(first.read_bytes())).all()
    first.unlink()
    with pytest.raises(UserError, match=r"fog/2 lacks 1 of 5 classes, .*fetch its archive again, Zenodo 2235448"):
        open_set(published, load_for(reader, str(clean)), [("fog", 2)])


def test_several_sets_have_rows_of_their_own_beside_their_clean_images(reader, tmp_path, capsys, objectnet):
    some = indices_of(OF_A)[:10]
    hard = write(tmp_path / "hard", by_wnid(some[:4]), ["0.png", "1.png"])
    for wnid in sorted(by_wnid(some[:4]))[:2]:
        (hard / wnid / "0.png").write_bytes(picture(some[3]))
    clocks = [index for indices in CLOCKS.values() for index in indices]
    clean = write(tmp_path / "val", by_wnid([*some, *clocks]), ["ILSVRC2012_val_00000001.JPEG"])
    where = ["--clean", str(clean), "--runs", str(tmp_path / "runs")]
    main(["evaluate", "timm:reader", "--data", str(hard), str(objectnet), *where])
    output = capsys.readouterr().out
    folders = sorted(path.name for path in (tmp_path / "runs").iterdir())
    gaps = [row for name in folders[::2] for row in RunFolder(tmp_path / "runs" / name).rows() if row.metric == GAP]
    found = [(row.value, row.low, row.high, row.count, row.condition.clean_count) for row in gaps]
    expected = [(independent_difference(6, 8, 4, 4), 8, 4), (independent_difference(8, 8, 7, 7), 8, 7)]
    assert found == [(gap.value, gap.low, gap.high, *counts) for gap, *counts in expected]
    assert gaps[0].condition.clean.key == RunFolder(tmp_path / "runs" / folders[1]).rows()[0].dataset.key
    assert "-25.0" in output  # in the table
    table = every_table(compare_runs([tmp_path / "runs" / folders[0]]))["accuracy"][0]
    (cell,) = (cell for column, cell in zip(table.columns, table.rows[0], strict=True) if column.head == "gap")
    assert (cell.text, cell.low, cell.high) == ("-25.0", gaps[0].low, gaps[0].high)
    measured = doublevit.evaluate(reader, hard, clean=str(clean), cache=tmp_path / "cache")
    assert (measured["gap", GAP].value, measured.clean["clean", "top-1"].count) == (-0.25, 4)
    assert [name.endswith("-clean") for name in folders] == 2 * [False, True]
    row = RunFolder(tmp_path / "runs" / folders[1]).rows()[0]
    assert row.model == "reader, among 4 of 1,000 classes"
    assert ", of 4 classes, sub-set " in row.dataset.source
    with pytest.raises(SystemExit):
        main(["evaluate", "timm:reader", "--data", str(hard), "--clean", str(objectnet / "images"), *where[2:]])
    assert "lacks 4 of the classes of the other set" in capsys.readouterr().err


def test_the_gaps_interval_is_newcombes():
    gap = independent_difference(56, 70, 48, 80)  # Newcombe (1998), Table II, method 10, example (a)
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
