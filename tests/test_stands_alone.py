"""A run without its training images, and with others in their place: nothing is mis-scored in silence."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors
from PIL import Image

import doublevit
from conftest import random_image
from doublevit import data
from doublevit.cli import main
from doublevit.data import DataConfig, image_folder
from doublevit.errors import UserError
from doublevit.jobs.geometry import with_geometry
from doublevit.jobs.load import load_run
from doublevit.jobs.options import EvalOptions
from doublevit.jobs.train import resume, start
from doublevit.recipes import fine_tuning
from doublevit.recipes.recipe import with_changes
from doublevit.runs.folder import METADATA, RunFolder
from doublevit.runs.model_info import read_info
from doublevit.runs.training_data import read_training_data
from doublevit.training.interrupt import Stopped
from moments import at_batch, ctrl_c
from test_train import same, weights

CLASSES = ("ant", "bee", "cat")
COUNT = 10
VIT = ["--model", "test_vit", "--weights", "none", "--model.image-size", "32", "--data.size", "32", "--batch-size", "8"]


def make_images(root: Path, classes: tuple[str, ...] = CLASSES, count: int = COUNT, seed: int = 0) -> Path:
    """A folder of class folders; each class has its own color, so that little training tells them apart."""
    generator = np.random.default_rng(seed)
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(count):
            image = np.asarray(random_image(generator, (40, 36))) // 4
            image[..., label % 3] += 150
            Image.fromarray(image).save(root / name / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images and a run on them."""
    place = tmp_path_factory.mktemp("alone")
    images = make_images(place / "images")
    options = ["--data", str(images), "--data.cache", str(place / "cache"), "--epochs", "2", "--data.split-seed", "1"]
    main(["train", *VIT, *options, "--lr", "0.01", "--output", str(place), "--name", "run"])
    return place


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> Path:
    """A copy of both, at another path, which the run's recipe names."""
    target = tmp_path / "copy"
    shutil.copytree(trained, target, symlinks=True)
    recipe = json.loads((target / "run" / "recipe.json").read_text())
    recipe["data"] |= {"path": str(target / "images"), "cache": str(target / "cache")}
    (target / "run" / "recipe.json").write_text(json.dumps(recipe))
    return target


def top1(run: Path) -> float:
    return next(row.value for row in reversed(RunFolder(run).rows()) if row.metric == "top-1")


def test_the_run_describes_its_model(trained):
    info = read_info(trained / "run")
    assert info.class_ids == info.class_names == CLASSES
    assert (info.name, info.side, info.image_size) == ("run", 32, 32)
    assert info.normalization["backbone"].std == (0.5, 0.5, 0.5)
    assert info.model is not None
    assert info.model.weights == "none"  # no path of this machine
    with safetensors.safe_open(trained / "run" / "checkpoints" / "last" / "model.safetensors", "pt") as file:
        assert json.loads(file.metadata()[METADATA])["class_ids"] == list(CLASSES)
    record = read_training_data(trained / "run")
    assert record is not None
    assert sum(split.count for split in record.splits.values()) == len(CLASSES) * COUNT


def test_everything_that_needs_no_images_works_without_them(place, tmp_path, capsys, monkeypatch):
    run = tmp_path / "elsewhere" / "run"
    shutil.move(place / "run", run)
    picture = tmp_path / "picture.png"
    shutil.copy(place / "images" / "bee" / "0.png", picture)
    before = doublevit.load(run).predict(picture)
    shutil.rmtree(place)
    monkeypatch.chdir(tmp_path)
    assert doublevit.load(run).predict(picture) == before
    main(["predict", str(run), str(picture), "--format", "csv"])
    assert capsys.readouterr().out.splitlines()[1].split(",")[1] == before[0].label
    main(["show", "attention", str(run), str(picture), "--output", str(tmp_path / "seen.png")])
    main(["speed", str(run), "--seconds", "0.01", "--batch-size", "2"])
    main(["export", str(run), "--output", str(tmp_path / "exported")])
    assert doublevit.load(tmp_path / "exported").predict(picture)[0].top == before[0].top
    others = make_images(tmp_path / "others", ("bee", "cat"), 4, seed=5)
    main(["evaluate", str(run), "--data", str(others), "--output", str(tmp_path / "runs")])
    assert "bee" in read_info(run).class_ids
    rows = RunFolder(tmp_path / "runs" / f"run-on-{tmp_path.name}-others").rows()
    assert {row.count for row in rows} == {8}
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["evaluate", str(run)])
    assert "is no folder" in capsys.readouterr().err


def test_a_renamed_class_is_named_and_not_mis_scored(place):
    (place / "images" / "ant").rename(place / "images" / "wasp")
    with pytest.raises(UserError, match=r"run does not know 1 of the classes of .*: wasp; it knows ant, bee, cat"):
        load_run(place / "run", EvalOptions())


def test_a_class_that_is_gone_changes_no_other(place, capsys):
    main(["evaluate", str(place / "run")])
    shutil.rmtree(place / "images" / "ant")
    dataset = load_run(place / "run", EvalOptions()).dataset
    assert dataset.class_ids == CLASSES
    assert set(dataset.labels.tolist()) == {1, 2}
    assert "the validation images have changed since the training" in " ".join(capsys.readouterr().err.split())


def test_one_more_image_moves_no_other(place):
    config = DataConfig("folder", place / "images", cache=place / "cache", split_seed=1)

    def split() -> dict[str, set[str]]:
        return {name: set(entries.names) for name, entries in image_folder.listing(config).splits.items()}

    before = split()
    for name in CLASSES:
        random_image(np.random.default_rng(9)).save(place / "images" / name / "more.png")
    after = split()
    assert before["train"] <= after["train"]
    assert before["val"] <= after["val"]
    assert len(after["train"] | after["val"]) == len(CLASSES) * (COUNT + 1)
    (place / "images" / "ant").rename(place / "images" / "zebra")  # nor does the name of a class
    assert {Path(file).name for file in split()["val"] if "zebra" in file} == {
        Path(file).name for file in after["val"] if "ant" in file
    }


def test_a_split_by_count_of_an_older_run_is_refused_once_its_images_change(place):
    recipe = json.loads((place / "run" / "recipe.json").read_text())
    del recipe["data"]["split"]
    (place / "run" / "recipe.json").write_text(json.dumps(recipe))
    assert RunFolder(place / "run").recipe()["data"]["split"] == "count"
    with pytest.raises(UserError, match=r"was drawn by count: some may have been trained on"):
        load_run(place / "run", EvalOptions())


def test_images_that_were_trained_on_are_never_validated_on(place):
    """Renamed files are drawn anew: most of those that are for validation now were trained on."""
    for file in (place / "images").rglob("*.png"):
        file.rename(file.with_name(f"renamed {file.name}"))
    with pytest.raises(UserError, match=r"\d+ of the \d+ validation images in .* were trained on"):
        load_run(place / "run", EvalOptions())
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["evaluate", str(place / "run"), "--data", str(place / "images")])


def test_a_run_on_images_that_it_was_trained_on_says_so(place, tmp_path):
    model = doublevit.load(place / "run")
    results = doublevit.evaluate(model, place / "images", cache=tmp_path / "cache")
    trained = read_training_data(place / "run").splits["train"].count
    assert f"trained-on: {trained} of the {len(CLASSES) * COUNT} images were trained on" in results.findings[0]
    images = make_images(tmp_path / "others", seed=5)
    assert not doublevit.evaluate(model, images, cache=tmp_path / "cache").findings


def test_a_description_of_other_classes_than_the_weights_is_refused(place):
    text = (place / "run" / "model.json").read_text()
    (place / "run" / "model.json").write_text(
        text.replace('"ant"', '"x"').replace('"bee"', '"ant"').replace('"x"', '"bee"')
    )
    for load in (doublevit.load, lambda run: load_run(run, EvalOptions())):
        with pytest.raises(UserError, match=r"is of a model with other classes or geometry than model\.json"):
            load(place / "run")


def test_resume_refuses_other_training_images_unless_they_are_accepted(place, capsys):
    run, files = place / "run", sorted((place / "images" / "cat").iterdir())
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["train"]["epochs"] = 3
    (run / "recipe.json").write_text(json.dumps(recipe))
    for file in files[:5]:
        file.unlink()
    with pytest.raises(UserError, match=r"training images of run have changed \(\d+ images then, \d+ now\)"):
        resume(run)
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["train", "--resume", str(run)])
    assert "--accept-changed-data" in capsys.readouterr().err
    main(["run", "--resume", str(run), "--accept-changed-data"])
    assert RunFolder(run).rows()[-1].checkpoint.changed_data
    (place / "images" / "ant").rename(place / "images" / "wasp")
    with pytest.raises(UserError, match=r"other classes than run was begun with \(ant, wasp in one only\)"):
        resume(run, accept_changed_data=True)


def test_a_resumed_run_reads_the_store_that_it_began_with(tmp_path):
    """A decoded store that came later is not taken, since its images differ in their last bits."""
    changes = {"model.weights": "none", "model.image_size": 32, "train.epochs": 2, "train.batch_size": 4}
    for index in range(10):  # large JPEG files, which an encoded store decodes at a fraction of their size
        file = tmp_path / "images" / "ab"[index % 2] / f"{index}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        random_image(np.random.default_rng(index), (200, 160)).save(file)
    images = {"data.source": "folder", "data.path": tmp_path / "images"}
    recipe = with_geometry(with_changes(fine_tuning("test_vit"), changes | images | {"data.cache": tmp_path / "cache"}))
    encoded = data.load(dataclasses.replace(recipe.data, store="encoded"))  # which "auto" takes then
    unbroken = start(recipe, tmp_path, "unbroken").run
    with at_batch(2, ctrl_c, training=True), pytest.raises(Stopped):
        start(recipe, tmp_path, "stopped")
    assert read_training_data(tmp_path / "stopped").store == "encoded"
    decoded = data.load(dataclasses.replace(recipe.data, store="decoded"))
    assert isinstance(data.load(recipe.data)["train"].images, np.memmap)  # what "auto" takes from now on
    assert (encoded["train"].images[:] != decoded["train"].images).any()
    assert same(weights(unbroken), weights(resume(tmp_path / "stopped").run))


def test_a_moved_folder_is_the_same_by_its_checksum(place, tmp_path):
    main(["evaluate", str(place / "run")])
    expected = top1(place / "run")
    (place / "images").rename(tmp_path / "moved")
    main(["evaluate", str(place / "run"), "--data", str(tmp_path / "moved")])
    rows = RunFolder(place / "run").rows()
    assert top1(place / "run") == expected
    assert len([row for row in rows if row.metric == "top-1"]) == 2
    assert rows[0].dataset.key == rows[-1].dataset.key
    main(["train", "--resume", str(place / "run"), "--data", str(tmp_path / "moved")])
    with pytest.raises(UserError, match="is no folder"):
        resume(place / "run")


def test_an_older_run_gets_a_line_and_a_command_that_mends_it(place, capsys):
    run = place / "run"
    expected = (run / "model.json").read_text()
    for name in ("model.json", "data.json"):
        (run / name).unlink()
    with pytest.raises(UserError, match=rf"has no model\.json.*doublevit upgrade {run}"):
        doublevit.load(run)
    main(["upgrade", str(run)])
    assert (run / "model.json").read_text() == expected
    assert "stands alone now" in capsys.readouterr().out
    assert doublevit.load(run).classes == CLASSES


@pytest.mark.parametrize(
    ("content", "words"),
    [("nonsense", "does not describe a model"), ('{"version": 99}', "version 99"), ("{}", "version None")],
)
def test_a_damaged_description_is_said(place, content, words):
    (place / "run" / "model.json").write_text(content)
    with pytest.raises(UserError, match=words):
        doublevit.load(place / "run")
