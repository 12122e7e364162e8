"""Batch norm that a single image fails: found beforehand, never met in training."""

import dataclasses

import pytest
import torch
from torch import nn

from doublevit.augment import AugmentConfig
from doublevit.data import DataConfig
from doublevit.errors import UserError
from doublevit.jobs import train as jobs
from doublevit.models import ModelConfig
from doublevit.models.classifier import Classifier, build
from doublevit.recipes import Recipe, get_recipe
from doublevit.recipes.recipe import with_changes
from doublevit.training import TrainConfig, training
from doublevit.training.batch_norm import fewest_images, part_sizes, require_enough
from doublevit.training.step import Meter, train_step
from doublevit.training.training import epoch_batches
from moments import at_batch, ctrl_c
from test_train import same, weights


def pooled(**train: object) -> Recipe:
    """33 images and batches of 32 for a network whose last feature map is a single pixel."""
    base = get_recipe("digits-double")
    options = {"epochs": 2, "batch_size": 32} | train
    return dataclasses.replace(
        base,
        data=DataConfig("digits", per_class=4, val_fraction=0.04),
        model=ModelConfig("resnet10t", weights="none", image_size=32),
        augment=AugmentConfig("none"),
        train=dataclasses.replace(base.train, **options),
    )


@pytest.fixture
def one_image_left(monkeypatch):
    """Of the 40 images the first 33."""
    from doublevit.jobs import train

    load = train.load_data_and_model

    def few(*arguments, **options):
        splits, model = load(*arguments, **options)
        return splits | {"train": splits["train"].subset(range(33))}, model

    monkeypatch.setattr(train, "load_data_and_model", few)


def network(side: int) -> Classifier:
    return build(ModelConfig("resnet10t", weights="none", image_size=side), list("ab"))


def fails_on_one(model: Classifier, side: int) -> bool:
    model.train()
    try:
        model(torch.zeros(1, 3, side, side, dtype=torch.uint8))
    except ValueError as error:
        assert "more than 1 value per channel" in str(error)  # noqa: PT017
        return True
    return False


@pytest.mark.parametrize("side", [32, 64])
def test_what_fails_on_one_image_is_found_and_the_network_left_as_it_was(side):
    model = network(side).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fewest = fewest_images(model)
    assert same(before, model.state_dict())
    assert model.training
    assert fewest == (2 if fails_on_one(model, side) else 1) == (2 if side == 32 else 1)


def test_frozen_batch_norm_and_networks_without_it_take_one_image():
    model = network(32)
    for parameter in model.backbone.parameters():
        parameter.requires_grad = False
    assert fewest_images(model) == 1
    assert fewest_images(build(ModelConfig("vit-digits-4", weights="none"), list("ab"))) == 1
    model.heads[0] = nn.Sequential(nn.BatchNorm1d(512), nn.Linear(512, 2))
    assert fewest_images(model) == 2


@pytest.mark.slow
def test_one_image_left_over_is_trained_with_the_batch_before_and_a_stopped_run_resumes(tmp_path, one_image_left):
    whole = jobs.start(pooled(), tmp_path, "whole").run
    assert (whole.checkpoints / "epoch-002-step-0000002").is_dir()
    with at_batch(1, ctrl_c, training=True), pytest.raises(jobs.loop.Stopped):
        jobs.start(pooled(), tmp_path, "stopped")
    assert same(weights(whole), weights(jobs.resume(tmp_path / "stopped").run))


@pytest.mark.slow
def test_accumulation_has_no_part_of_one_image(one_image_left):
    splits, model = jobs.load_data_and_model(pooled())
    config = dataclasses.replace(pooled().train, accumulate=16)
    training = jobs.prepare(
        jobs.require_trainable(model, splits["train"], config),
        splits,
        config,
        AugmentConfig("none"),
        jobs.RunFolder("."),
        seed=0,
    )
    (batch,) = epoch_batches(training, 0, 0)
    train_step(training, batch, 0, Meter(torch.device("cpu")))
    assert len(batch) == 33


@pytest.mark.parametrize("count", range(1, 40))
@pytest.mark.parametrize("parts", [1, 2, 3, 7, 16])
def test_parts_hold_all_images_and_none_is_too_small(count, parts):
    assert part_sizes(count, parts, 1) == [len(part) for part in torch.arange(count).split(-(-count // parts))]
    sizes = part_sizes(count, parts, 2)
    assert sum(sizes) == count
    assert len(sizes) <= parts
    assert min(sizes) >= min(count, 2)


@pytest.mark.parametrize(
    ("options", "processes", "count", "complaint"),
    [
        ({"batch_size": 1}, 1, 9, r"needs two images at a time: expected `train.batch_size` of at least 2, found 1"),
        ({"batch_size": 8, "accumulate": 8}, 1, 9, r"at least 9 in 8 parts, found 8"),
        ({"batch_size": 8, "accumulate": 2}, 4, 9, r"at least 12 in 2 parts for 4 processes, found 8"),
        ({"batch_size": 8}, 4, 7, r"expected at least 8 training images, found 7"),
    ],
)
def test_single_images_are_refused_at_once(options, processes, count, complaint):
    config = TrainConfig(**options)
    with pytest.raises(UserError, match=complaint):
        require_enough(config, 2, processes, count)
    require_enough(config, 1, processes, count)
    require_enough(dataclasses.replace(config, epochs=0), 2, processes, count)


def test_the_trial_of_one_image_is_made_once(tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(training, "fewest_images", lambda model: tried.append(model) or 1)
    trained = jobs.start(with_changes(get_recipe("digits-vit"), {"train.epochs": 0}), tmp_path, "run")
    assert tried == [trained.model]
