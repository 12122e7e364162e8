"""Merged runs: weights by hand, batch norm by torch, alpha on images that were not trained on, and what is refused."""

import dataclasses
import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import doublevit
from doublevit import data
from doublevit.cli import main
from doublevit.corruptions import VALIDATION
from doublevit.corruptions.apply import corrupt
from doublevit.errors import UserError
from doublevit.geometry import Geometry
from doublevit.images import checksums
from doublevit.jobs import train as jobs
from doublevit.jobs.load import load_model
from doublevit.jobs.merge import merge as merging
from doublevit.jobs.merge.images import selection_images
from doublevit.jobs.merge.mean import WeightMean
from doublevit.jobs.options import EvalOptions
from doublevit.models.weights import mean_state
from doublevit.recipes import get_recipe
from doublevit.recipes.recipe import with_changes
from doublevit.runs.checkpoint import identify
from doublevit.runs.model_info import read_info
from doublevit.runs.training_data import read_training_data, write_training_data

SMALL = {"data.per_class": 2, "data.val_fraction": 0.03, "train.epochs": 1, "train.batch_size": 10}


def trained(runs: Path, name: str, recipe: str = "digits-vit", **changes: object) -> Path:
    return jobs.start(with_changes(get_recipe(recipe), SMALL | changes), runs, name).run.path


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A start, on more images than were trained on; two fine-tuned runs; one of other images, and one all of them."""
    folder = tmp_path_factory.mktemp("runs")
    trained(folder, "start", **{"train.epochs": 0, "data.per_class": None})
    trained(folder, "tuned", **{"train.backbone_lr": 3e-3})
    trained(folder, "other", seed=1)
    return folder


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / "last" / "model.safetensors")


def test_weights_are_interpolated_and_the_run_is_like_any_other(runs, tmp_path):
    run = doublevit.merge([runs / "start", runs / "tuned"], 0.3, name="merged", output=tmp_path)
    start, tuned, merged = (weights(path) for path in (runs / "start", runs / "tuned", run.path))
    assert merged.keys() == tuned.keys()
    for name in merged:
        expected = 0.7 * start[name].numpy().astype(np.float64) + 0.3 * tuned[name].numpy().astype(np.float64)
        assert np.array_equal(merged[name].numpy(), expected.astype(np.float32)), name
    assert any(not torch.equal(merged[name], tuned[name]) for name in merged)
    assert read_info(run.path).name == "merged"
    sources = json.loads((run.path / "merge.json").read_text())["sources"]
    assert [(each["run"], each["weight"]) for each in sources] == [("start", 0.7), ("tuned", 0.3)]
    digests = [identify(runs / name / "checkpoints", "last").digest for name in ("start", "tuned")]
    assert [each["checkpoint"]["digest"] for each in sources] == digests
    assert jobs.resume(run.path).validation is None  # nothing is left to train
    assert weights(run.path).keys() == merged.keys()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    network = load_model(runs / "tuned", EvalOptions()).network
    network.load_state_dict(mean_state([start, tuned], (0.7, 0.3)))
    with torch.no_grad():
        assert torch.allclose(run.model(images), network.eval()(images), atol=1e-5)


def test_a_run_whose_training_went_on_with_other_images_says_so_in_the_merged_run(runs, tmp_path):
    shutil.copytree(runs / "other", tmp_path / "other")
    write_training_data(tmp_path / "other", msgspec.structs.replace(read_training_data(runs / "other"), changed=True))
    for paths, changed in (((tmp_path / "other", runs / "tuned"), True), ((runs / "other", runs / "tuned"), False)):
        run = doublevit.merge(paths, 0.5, output=tmp_path, name=f"changed-{changed}")
        assert read_training_data(run.path).changed == changed


@pytest.mark.parametrize(("alpha", "source"), [(0.0, "start"), (1.0, "tuned")])
def test_the_ends_are_the_runs_bit_for_bit(runs, tmp_path, alpha, source):
    merged = weights(doublevit.merge([runs / "start", runs / "tuned"], alpha, output=tmp_path).path)
    assert all(torch.equal(merged[name], tensor) for name, tensor in weights(runs / source).items())


def test_a_soup_is_the_mean_of_all(runs, tmp_path):
    names = ("start", "tuned", "other")
    merged = weights(doublevit.merge([runs / name for name in names], output=tmp_path).path)
    sources = [weights(runs / name) for name in names]
    for name, tensor in merged.items():
        mean = np.mean([source[name].numpy().astype(np.float64) for source in sources], axis=0)
        assert np.allclose(tensor.numpy(), mean, rtol=1e-6, atol=1e-9)


def test_alpha_is_chosen_by_accuracy_on_images_that_no_run_was_trained_on(runs, tmp_path, capsys):
    """By plain sums over predictions of the merged network, on images found by their bytes."""
    sources = [str(runs / "start"), str(runs / "tuned")]
    main(["merge", *sources, "--alpha", "1", "0.5", "--samples", "12", "--runs", str(tmp_path), "--name", "merged"])
    record = json.loads((tmp_path / "merged" / "merge.json").read_text())
    selection = record["selection"]
    tuned = load_model(runs / "tuned", EvalOptions())
    images, trained_on = selection_images(tuned, 12)
    config = tuned.recipe.data
    seen = np.concatenate([checksums(data.load(config)[split].images) for split in ("train", "val")])
    assert not trained_on
    assert not np.isin(checksums(images.images), seen).any()
    assert (selection["count"], selection["trained_on"], selection["corruptions"]) == (12, False, [*VALIDATION])
    sets = [images.images, *(corrupt(np.asarray(images.images), name, 3, seed=0) for name in VALIDATION)]
    for point in selection["curve"]:
        state = mean_state([weights(Path(source)) for source in sources], (1 - point["alpha"], point["alpha"]))
        tuned.network.load_state_dict(state)
        pixels = [torch.from_numpy(np.asarray(each)).permute(0, 3, 1, 2) for each in sets]
        with torch.no_grad():
            right = [(tuned.network.eval()(each).argmax(1).numpy() == images.labels).mean() for each in pixels]
        assert [point["clean"]["value"], point["corrupted"]["value"]] == pytest.approx([right[0], np.mean(right[1:])])
    means = [point["clean"]["value"] + point["corrupted"]["value"] for point in selection["curve"]]
    assert [point["alpha"] for point in selection["curve"]] == [0.5, 1.0]
    assert record["sources"][1]["weight"] == (0.5, 1.0)[int(np.argmax(means))]
    assert "Accuracy by alpha" in capsys.readouterr().out


@pytest.mark.parametrize("changes", [{}, {"train.epochs": 0, "model.head_init": "probe"}], ids=["epochs", "probe"])
def test_images_that_were_trained_on_are_said_to_be(runs, changes):
    loaded = load_model(runs / "tuned", EvalOptions())
    recipe = with_changes(loaded.recipe, {"data.per_class": None, **changes})
    images, trained_on = selection_images(dataclasses.replace(loaded, recipe=recipe), 20)
    assert trained_on
    assert len(images) == 20


def test_statistics_of_batch_norm_are_those_of_the_merged_weights(tmp_path):
    """Against torch's own training mode, over one batch that holds all images; frozen layers keep theirs."""
    paths = [trained(tmp_path, f"seed{seed}", "digits-resnet", seed=seed) for seed in (0, 1)]
    loaded = [load_model(path, EvalOptions()) for path in paths]
    mean = WeightMean(loaded[1], [each.network for each in loaded])
    mean.apply((0.5, 0.5))
    ours = loaded[1].network.state_dict()
    plain = loaded[0].network
    plain.load_state_dict(mean_state([weights(path) for path in paths], (0.5, 0.5)))
    plain.train()
    for layer in plain.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    images = data.load(loaded[1].recipe.data)["train"].images
    with torch.no_grad():
        plain(torch.from_numpy(np.asarray(images)).permute(0, 3, 1, 2))
    names = [name for name in ours if name.endswith("running_mean")]
    assert names
    for name in names:
        assert torch.allclose(ours[name], plain.state_dict()[name], atol=1e-4, rtol=1e-3), name
    alike = WeightMean(loaded[1], [loaded[1].network, loaded[1].network])
    before = {name: ours[name].clone() for name in names}
    alike.apply((0.5, 0.5))
    assert all(torch.equal(before[name], loaded[1].network.state_dict()[name]) for name in names)


def test_geometries_differ_in_the_fields_that_are_named():
    assert (
        merging.differing(Geometry(side=8), Geometry(side=8, fit="pad", crop=0.5))
        == "fit crop and pad, crop 1.0 and 0.5"
    )


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"model.backbone": "vit-digits-8", "train.epochs": 0},
            "differ in `model.backbone` (vit-digits-4-xavier and vit-digits-8)",
        ),
        ({"model.head": "paper-single", "train.epochs": 0}, "differ in `model.head` (linear and paper-single)"),
        ({"data.val_fraction": 0.04, "train.epochs": 0}, "differ in validation images ("),
        ({"data.per_class": 3}, "differ in training images ("),
    ],
)
def test_runs_that_do_not_fit_get_one_line(runs, tmp_path, changes, complaint):
    other = trained(tmp_path, "another", **changes)
    with pytest.raises(UserError) as error:
        merging.merge([runs / "tuned", other], (0.5,), tmp_path, "merged")
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize(
    ("names", "alphas", "complaint"),
    [
        (("tuned",), (), "expected two runs or more to merge, found 1"),
        (("tuned", "tuned"), (), "expected different runs"),
        (("start", "tuned"), (1.5,), "`alpha`: expected 0 (the first run) to 1 (the second), found 1.5"),
        (("start", "tuned"), (float("nan"),), "found nan"),
        (("start", "tuned", "other"), (0.5,), "`alpha` is between two runs: expected 2 of them, found 3"),
        (("start", "nowhere"), (0.5,), "is no run"),
    ],
)
def test_impossible_merges_get_one_line(runs, tmp_path, names, alphas, complaint):
    with pytest.raises(UserError) as error:
        merging.merge([runs / name for name in names], alphas, tmp_path, "merged")
    assert complaint in str(error.value)
    assert not [*tmp_path.iterdir()]
