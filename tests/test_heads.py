"""Where a linear head starts: the checkpoint's classifiers, cut to some classes, and the probe."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from timm.data import ImageNetInfo

from doublevit import data
from doublevit.data import DataConfig
from doublevit.data.dataset import Dataset
from doublevit.errors import UserError
from doublevit.jobs import train as jobs
from doublevit.jobs.load import load_data_and_model
from doublevit.models import CrossConfig, ModelConfig
from doublevit.models.backbones import Network, SingleBackbone
from doublevit.models.classifier import build
from doublevit.models.config import of_older
from doublevit.models.heads import pretrained_heads
from doublevit.models.preprocess import Normalize
from doublevit.recipes import from_dict, get_recipe, to_dict
from doublevit.recipes.named import fine_tuning
from doublevit.recipes.recipe import with_changes
from doublevit.runs.folder import RunFolder
from doublevit.training import probe
from moments import at_file
from test_stands_alone import make_images

ROWS = [900, 5]
WNIDS = [ImageNetInfo().label_names()[row] for row in ROWS]


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_efficientnet", "test_convnext"])
def test_a_pretrained_head_is_timms_classifier_cut_to_the_classes(name):
    network = timm.create_model(name).eval()
    (head,) = pretrained_heads([network], WNIDS)
    images = torch.rand(2, 3, 160, 160)
    with torch.inference_mode():
        feature = network.forward_head(network.forward_features(images), pre_logits=True)
        assert torch.allclose(head(feature), network(images)[:, ROWS], atol=1e-5)


@pytest.mark.parametrize(("name", "options"), [("pit_ti_distilled_224", {"img_size": 96}), ("swiftformer_xs", {})])
def test_two_heads_of_a_distilled_network_are_timms_mean(name, options):
    """On two tokens, or both on the pooled feature."""
    network = timm.create_model(name, **options).eval()
    for head in network.get_classifier():
        torch.nn.init.normal_(head.weight)
    heads, images = pretrained_heads([network], WNIDS), torch.rand(2, 3, 96, 96)
    backbone = SingleBackbone(Network(network, 96, "bicubic", Normalize((0.0,) * 3, (1.0,) * 3)))
    with torch.inference_mode():
        features = backbone(images)
        assert [feature.shape[1] for feature in features] == [*backbone.widths]
        ours = sum(head(feature) for head, feature in zip(heads, features, strict=True)) / 2
        assert torch.allclose(ours, network(images)[:, ROWS], atol=1e-4)


@pytest.mark.parametrize(("coarse", "after"), [("test_vit2", ()), ("test_vit", (1,))])
def test_a_double_vit_starts_as_the_mean_of_its_branches_classifiers(coarse, after, tmp_path):
    """Of two checkpoints, though residual cross attention stands between them."""
    networks, files = [timm.create_model(name).eval() for name in ("test_vit", coarse)], []
    for network in networks:
        for parameter in network.get_classifier().parameters():
            torch.nn.init.normal_(parameter)
        files.append(str(tmp_path / f"{len(files)}.pth"))
        torch.save(network.state_dict(), files[-1])
    config = ModelConfig(
        "test_vit",
        coarse=coarse,
        weights=files[0],
        coarse_weights=files[1],
        head_init="pretrained",
        cross=CrossConfig(after, heads=1, fusion="residual"),
    )
    model, images = build(config, WNIDS).eval(), torch.rand(2, 3, 160, 160)
    with torch.inference_mode():
        logits = [
            network(normalize(images))[:, ROWS]
            for network, normalize in zip(networks, model.backbone.normalizations().values(), strict=True)
        ]
        assert (logits[0] - logits[1]).abs().max() > 1e-2
        assert torch.allclose(model(images), (logits[0] + logits[1]) / 2, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: pretrained_heads([timm.create_model("test_vit")], [*WNIDS, "cat", "dog"]), "2 of 4 .*, not cat, dog;"),
        (lambda: pretrained_heads([timm.create_model("test_vit", num_classes=7)], WNIDS), "1000 classes"),
        (lambda: build(ModelConfig("test_vit", weights="none", head_init="pretrained"), WNIDS), "`model.weights`"),
        (lambda: ModelConfig(head="paper-single", head_init="probe"), "expected `model.head=linear`"),
        (lambda: ModelConfig(head_init="prob"), "did you mean probe"),
    ],
)
def test_a_start_that_does_not_fit_is_said_in_one_line(make, words):
    with pytest.raises(UserError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_an_older_run_with_a_pretrained_head_is_read(tmp_path):
    recipe = to_dict(get_recipe("pretrained-vit-ti"))
    run = RunFolder.create(recipe, tmp_path, "old")
    older = {name: value for name, value in recipe["model"].items() if name != "head_init"} | {"head": "pretrained"}
    (run.path / "recipe.json").write_text(json.dumps(recipe | {"model": older}))
    assert from_dict(run.recipe()) == get_recipe("pretrained-vit-ti")
    assert of_older({"head": "linear"}) == {"head": "linear"}


@pytest.fixture(scope="module")
def clusters() -> tuple[torch.Tensor, torch.Tensor]:
    """150 features of 20 dimensions and of three classes, of scales from 1e-2 to 1e2, one of them constant."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(150) % 3
    centers = torch.randn(3, 20, generator=generator)
    features = (centers[labels] + 2 * torch.randn(150, 20, generator=generator)) * torch.logspace(-2, 2, 20) + 5
    features[:, 3] = 7.0
    return features, labels


@pytest.mark.parametrize("l2", [1e-1, 1e-3])
def test_the_fit_is_scikit_learns(clusters, l2):
    linear_model = pytest.importorskip("sklearn.linear_model")
    features, labels = clusters
    standard = (features - features.mean(0)) / features.std(0).clamp(min=1e-3)
    ours = probe.fit(standard, labels, l2, probe.LinearFit.zeros(3, standard))
    theirs = linear_model.LogisticRegression(C=1 / (l2 * 150), tol=1e-8, max_iter=1000).fit(standard, labels)
    reference = probe.LinearFit(*(torch.tensor(each).float() for each in (theirs.coef_, theirs.intercept_)))
    assert ours.loss(standard, labels) == pytest.approx(reference.loss(standard, labels), abs=1e-4)
    assert torch.allclose(ours.weight, reference.weight, atol=2e-2)
    assert torch.equal(ours.logits(standard).argmax(1), torch.from_numpy(theirs.predict(standard)))


def test_the_fit_is_the_same_in_parts(clusters, monkeypatch):
    features, labels = clusters
    standard = (features - features.mean(0)) / features.std(0).clamp(min=1e-3)
    start = probe.LinearFit.zeros(3, standard)
    whole = probe.fit(standard, labels, 1e-2, start)
    monkeypatch.setattr(probe, "ROWS", 70)
    assert torch.allclose(whole.weight, probe.fit(standard, labels, 1e-2, start).weight, atol=1e-3)


def test_the_probe_is_of_features_as_they_are_and_chooses_by_held_out_images(clusters):
    features, labels = clusters
    fitted = probe.probe(features, labels, 3, seed=0)
    assert probe.probe(features, labels, 3, seed=0).facts() == fitted.facts()
    assert float((fitted.fit.logits(features).argmax(1) == labels).float().mean()) > fitted.held_out_top1 > 0.6
    assert fitted.held_out == 30
    out = probe.held_out(labels.numpy(), 0)
    standard = (features - features.mean(0)) / features.std(0, correction=0).clamp(min=1e-3)
    scores, start = [], probe.LinearFit.zeros(3, standard)
    for l2 in probe.L2[:9]:  # the loss has risen by then
        start = probe.fit(standard[~out], labels[~out], l2, start)
        correct = int((start.logits(standard[out]).argmax(1) == labels[out]).sum())
        scores.append((correct, -start.loss(standard[out], labels[out])))
    losses = [-loss for _, loss in scores]
    least = int(np.argmin(losses))
    assert 0 < least < 8
    correct, loss = max(scores[: least + 2])
    assert fitted.l2 == probe.L2[scores.index((correct, loss))]
    assert (fitted.held_out_top1, fitted.held_out_loss) == pytest.approx((correct / 30, -loss), abs=1e-5)


def test_some_of_each_class_are_held_out_by_seed():
    labels = np.repeat([0, 1, 2], [50, 7, 2])
    first, again, other = (probe.held_out(labels, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert np.bincount(labels[first.numpy()]).tolist() == [10, 1, 1]


RECIPE = with_changes(
    get_recipe("digits-vit"),
    {"data.per_class": 6, "data.val_fraction": 0.02, "model.head_init": "probe", "train.epochs": 0},
)


def test_a_run_starts_from_the_probe_and_a_resumed_run_fits_none(tmp_path, monkeypatch):
    trained = jobs.start(RECIPE, tmp_path, "run")
    splits, model = load_data_and_model(RECIPE)
    (feature,) = probe.features_of(model, splits["train"], torch.float32)
    expected = probe.probe(feature, torch.from_numpy(splits["train"].labels), 10, seed=0)
    assert torch.allclose(trained.model.heads[0].weight, expected.fit.weight, atol=1e-6)
    (entry,) = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert entry["probe"] == [pytest.approx(expected.facts())]
    monkeypatch.setattr(jobs, "fit_heads", None)
    resumed = jobs.resume(tmp_path / "run")
    assert torch.equal(resumed.model.heads[0].weight, trained.model.heads[0].weight)


def test_a_run_that_was_killed_before_its_first_checkpoint_fits_the_same_head(tmp_path):
    whole = jobs.start(RECIPE, tmp_path, "whole")
    with at_file("os.rename", "index.json", _stop), pytest.raises(SystemExit):
        jobs.start(RECIPE, tmp_path, "killed")
    killed = jobs.resume(tmp_path / "killed")
    assert torch.equal(killed.model.heads[0].weight, whole.model.heads[0].weight)
    assert len((tmp_path / "killed" / "log.jsonl").read_text().splitlines()) == 1


def test_the_probe_sees_training_images_as_they_are_validated(tmp_path, monkeypatch):
    """Stored for a random crop, they show more than that, and smaller."""
    changes = {"data.path": make_images(tmp_path / "images", count=3), "data.cache": tmp_path / "cache"}
    model = {"model.weights": "none", "model.head_init": "probe", "train.epochs": 0}
    seen: list[Dataset] = []
    monkeypatch.setattr(jobs, "fit_heads", lambda model, train, *rest: seen.append(train) or [])
    run = jobs.start(with_changes(fine_tuning("vit-digits-8"), changes | model), tmp_path, "run").run
    config = from_dict(run.recipe()).data
    assert config.margin
    whole = data.load(dataclasses.replace(config, margin=0))["train"]
    assert np.array_equal(seen[0].images[:], whole.images[:])


def test_two_processes_share_the_features(monkeypatch):
    splits, model = load_data_and_model(RECIPE)
    train = splits["train"].first(7)
    (whole,) = probe.features_of(model, train, torch.float32)
    parts: list[object] = []
    monkeypatch.setattr(probe, "gather_object", lambda own: parts.extend(own) or parts)
    for rank in (0, 1):
        process = SimpleNamespace(process_index=rank, num_processes=2)
        monkeypatch.setattr(probe, "this_process", lambda process=process: process)
        (features,) = probe.features_of(model, train, torch.float32)
        assert len(features) == (4, 7)[rank]
    assert torch.allclose(features, whole, atol=1e-5)


def test_too_few_images_make_no_folder(tmp_path):
    with pytest.raises(UserError, match=r"at least 2 training images of each, found 1 of class '0'"):
        jobs.start(dataclasses.replace(RECIPE, data=DataConfig("digits", per_class=1)), tmp_path, "none")
    assert not list(tmp_path.iterdir())


def _stop(*_: object) -> None:
    raise SystemExit
