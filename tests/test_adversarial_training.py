"""Adversarial training: PGD against an independent one, its ball, its draws, and what it must leave as it was."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from doublevit.attacks.draws import AttackDraws
from doublevit.augment import AugmentConfig
from doublevit.errors import UserError
from doublevit.jobs.load import load_data_and_model
from doublevit.recipes import get_recipe
from doublevit.recipes.recipe import with_changes
from doublevit.runs.folder import RunFolder
from doublevit.training import TrainConfig
from doublevit.training.adversarial import START, attacked, epsilon_at, pixels
from doublevit.training.step import Meter, train_step
from doublevit.training.summary import describe_step
from doublevit.training.training import Training, TrainingBatch, epoch_batches, prepare, require_trainable

EPSILON = 8 / 255
STEP = 9  # of the optimizer; the first whose clean loss is logged


def training_of(name: str = "digits-vit", **changes: object) -> Training:
    """A few digits, with a frozen prefix, and PGD of 3 steps."""
    base = {"data.per_class": 1, "model.freeze": "all-but-4-tensors", "train.adversarial": "pgd"}
    base |= {"train.epsilon": "8/255", "train.epsilon_epochs": 0.0, "train.attack_steps": 3, "train.batch_size": 6}
    recipe = with_changes(get_recipe(name), base | changes)
    splits, model = load_data_and_model(recipe)
    for head in model.heads:  # a linear one begins at zero, where no image has a gradient
        if isinstance(head, torch.nn.Linear):
            torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(0))
    trainable = require_trainable(model, splits["train"], recipe.train)
    training = prepare(trainable, splits, recipe.train, recipe.augment, RunFolder(Path()), seed=3)
    training.wrapped.train()
    return training


def first_batch(training: Training) -> TrainingBatch:
    return next(epoch_batches(training, 0, 0))


def reference(training: Training, batch: TrainingBatch) -> torch.Tensor:
    """PGD as it is written in papers, of the plain network in evaluation mode."""
    model, images = training.model.eval(), batch.images[:, 0] / 255
    start = AttackDraws(3, batch.indices.numpy(), STEP).uniform(START, *images.shape[1:])
    delta = torch.from_numpy(start) * 2 * EPSILON - EPSILON
    for _ in range(3):
        delta = ((images + delta).clamp(0, 1) - images).requires_grad_()
        F.cross_entropy(model(images + delta), batch.targets).backward()
        delta = (delta + 2.5 / 3 * EPSILON * delta.grad.sign()).detach().clamp(-EPSILON, EPSILON)
    model.train()
    model.zero_grad()
    return (images + delta).clamp(0, 1)


@pytest.mark.parametrize(
    ("name", "changes"),
    [("digits-vit", {"augment.mixup": 0.5}), ("digits-double", {}), ("digits-double", {"model.head": "paper-double"})],
)
def test_images_are_those_of_an_independent_pgd(name, changes):
    """Through dropout, two branches and frozen blocks; with hard and with soft targets."""
    training = training_of(name, **changes)
    batch = first_batch(training)
    expected, found = reference(training, batch), attacked(training, batch, STEP).images[:, 0]
    close = torch.isclose(found, expected, atol=1e-6)
    assert close.float().mean() > 0.999  # a gradient of nearly zero may have either sign
    moved = (found - pixels(batch)).abs()
    assert moved.max() <= EPSILON + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1
    assert (moved > 0.9 * EPSILON).float().mean() > 0.3


@pytest.mark.parametrize("name", ["digits-vit", "digits-resnet"])
def test_an_attack_leaves_the_network_as_it_was(name):
    """No gradients, no statistics of batch norm, no mode of a module; and no draw of torch's is made."""
    training = training_of(name)
    model = training.model
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    trained = [parameter.requires_grad for parameter in model.parameters()]
    torch.manual_seed(0)
    attacked(training, first_batch(training), STEP)
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(0)))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == trained
    assert any(modes)
    assert not all(modes)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_starts_are_those_of_seed_step_and_image_in_any_part_or_process():
    training = training_of()
    whole = first_batch(training)
    images = attacked(training, whole, STEP).images
    parts = torch.cat([attacked(training, part, STEP).images for part in whole.split([2, 4])])
    assert (images - parts).abs().gt(1e-6).float().mean() < 1e-3
    process = SimpleNamespace(process_index=1, num_processes=2, device=torch.device("cpu"))
    second = attacked(training, next(epoch_batches(dataclasses.replace(training, accelerator=process), 0, 0)), STEP)
    assert (second.images - images[1::2]).abs().gt(1e-6).float().mean() < 1e-3
    assert not torch.equal(attacked(training, whole, STEP + 1).images, images)
    assert torch.equal(attacked(training, whole, STEP).images, images)


def test_sparse_attention_is_attacked_as_narrow_as_it_trains():
    training = training_of(**{"model.top_k": "4"})
    training.model.attention.narrowed = 0.5
    seen = []
    training.model.register_forward_hook(lambda *_: seen.append(training.model.attention.narrowed))
    attacked(training, first_batch(training), STEP)
    assert seen == [0.5] * 3
    assert training.model.attention.narrowed == 0.5


def test_a_step_trains_on_attacked_images_and_logs_clean_ones_too():
    """By the loss of the images that `attacked` returns, which exceeds that of clean ones."""
    training = training_of(**{"train.accumulate": 2, "train.backbone_lr": 0.0, "train.head_lr": 0.0})
    batch, meter = first_batch(training), Meter(torch.device("cpu"))
    train_step(training, batch, STEP, meter)
    read = meter.read()
    model = training.model.eval()
    with torch.no_grad():
        losses = [
            F.cross_entropy(model(images), batch.labels).item()
            for images in (attacked(training, batch, STEP).images[:, 0], batch.images[:, 0])
        ]
    assert [read["loss"], read["clean_loss"]] == pytest.approx(losses, rel=1e-3)
    assert read["loss"] > read["clean_loss"] + 0.05
    meter.start()
    train_step(training, batch, STEP + 1, meter)
    assert "clean_loss" not in meter.read()


def test_epsilon_rises_linearly_over_its_epochs():
    config = TrainConfig(epochs=4, adversarial="pgd", epsilon="2/255")
    values = [epsilon_at(step, 10, config) for step in range(40)]
    assert values == pytest.approx([2 / 255 * min(1, step / 20) for step in range(40)])
    steady = dataclasses.replace(config, epsilon_epochs=0.0)
    assert epsilon_at(0, 10, steady) == pytest.approx(2 / 255)
    assert np.allclose([epsilon_at(s, 10, dataclasses.replace(config, epsilon_epochs=0.5)) for s in (1, 5)],
                       [2 / 255 / 5, 2 / 255])  # fmt: skip


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"train.epsilon": "1/255"}, None),  # the default, as recipes of older runs have it
        ({"train.epsilon": "2/255"}, "`train.epsilon` is for training on attacked images: expected `train.adversarial"),
        ({"train.adversarial": "pgd", "train.epsilon": "8"}, "`train.epsilon` 8: expected at most 1"),
        ({"train.adversarial": "pgd", "train.epsilon": "0"}, "`train.epsilon` 0: expected more than 0"),
        ({"train.adversarial": "pgd", "train.epsilon_epochs": 99.0}, "`train.epsilon_epochs` 99: expected 0 to all"),
        ({"train.adversarial": "pgd", "train.attack_steps": 0}, "`train.attack_steps`: expected at least 1, found 0"),
        ({"train.adversarial": "pgd", "augment": AugmentConfig("crop", place="input")}, "expected `augment.place"),
        ({"train.adversarial": "pgd", "augment": AugmentConfig("augmix-jsd")}, "and `augment.policy=augmix-jsd`"),
    ],
)  # fmt: skip
def test_impossible_options_get_one_line(options, complaint):
    recipe = get_recipe("digits-double")
    if complaint is None:
        assert with_changes(recipe, options) == recipe
        return
    with pytest.raises(UserError) as error:
        with_changes(recipe, options)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_images_are_attacked_at_the_side_that_the_network_is_trained_at():
    training, sides = training_of(**{"train.image_size": 16}), set()
    patches = training.model.backbone.branches()["backbone"].patch_embed
    patches.register_forward_pre_hook(lambda module, arguments: sides.add(arguments[0].shape[-1]))
    attacked(training, first_batch(training), STEP)
    assert sides == {16}


def test_what_a_step_trains_on_is_said():
    assert describe_step(TrainConfig(), None, 9) == ""
    config = TrainConfig(epochs=3, adversarial="pgd", epsilon="2/255", sampling="balanced", ema=0.99)
    assert describe_step(config, 2, 6).splitlines() == [
        "6 training images, at most 2 of each class",
        "balanced sampling: every class comes equally often",
        "attacked images: pgd, 2 steps, Linf 2/255, rising from 0 over 1.5 epochs",
        "moving average of the weights, decay 0.99: validated and saved in their place",
    ]
    steady = dataclasses.replace(config, epsilon_epochs=0.0, attack_steps=1, sampling="shuffled", ema=None)
    assert describe_step(steady, None, 6) == "attacked images: pgd, 1 step, Linf 2/255\n"
