"""Training at another image size, with fewer patches and blocks: as timm does it, and nothing of it in evaluation."""

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from timm.layers import DropPath
from torch import nn

from doublevit.augment import AugmentConfig
from doublevit.errors import UserError
from doublevit.jobs.load import load_data_and_model
from doublevit.models.classifier import Classifier, build
from doublevit.models.config import CrossConfig, ModelConfig
from doublevit.recipes import get_recipe
from doublevit.recipes.recipe import with_changes
from doublevit.runs.folder import RunFolder
from doublevit.training import TrainConfig
from doublevit.training.step import Meter, train_step
from doublevit.training.training import epoch_batches, prepare, require_trainable

VIT = ModelConfig("vit-digits-4", weights="none", head="paper-single")
DOUBLE = ModelConfig(
    "vit-digits-4", coarse="vit-digits-8", weights="none", head="paper-double", cross=CrossConfig((2, 6))
)
RESNET = ModelConfig("resnet-digits", weights="none", head="paper-single")
NETWORKS = pytest.mark.parametrize("config", [VIT, DOUBLE, RESNET], ids=["vit", "double", "resnet"])
IMAGES = torch.rand(3, 3, 40, 40, generator=torch.Generator().manual_seed(0))


def made(config: ModelConfig, training_size: int | None = None) -> Classifier:
    torch.manual_seed(0)
    return build(config, list("abc"), training_size=training_size)


def features(model: Classifier) -> torch.Tensor:
    return torch.cat(model.backbone(model.resize(IMAGES)))


@NETWORKS
def test_training_at_another_size_is_timms_network_of_that_size(config):
    """Of timm's `set_input_size`, which resamples positions once and for all."""
    side = 80 if config is RESNET else 16
    model, expected = made(config, side).eval(), made(config).eval()
    full = features(expected)
    expected.resize.size = side
    for network in expected.backbone.branches().values():
        if hasattr(network, "set_input_size"):
            network.set_input_size(img_size=side)
    model.resize.train()
    assert torch.allclose(features(model), features(expected), atol=1e-6)
    assert not torch.allclose(features(model), full, atol=1e-3)


@NETWORKS
def test_evaluation_and_weights_are_those_of_the_full_size(config):
    plain, model = made(config).eval(), made(config, 80 if config is RESNET else 16).eval()
    assert torch.equal(model(IMAGES), plain(IMAGES))
    shapes = [{name: tensor.shape for name, tensor in m.state_dict().items()} for m in (plain, model)]
    assert shapes[0] == shapes[1]


def test_the_last_epochs_are_trained_at_the_full_size_whatever_augments_at_it():
    recipe = with_changes(get_recipe("digits-vit"), {"data.per_class": 2, "data.val_fraction": 0.02})
    train = TrainConfig(epochs=2, batch_size=5, image_size=16, finish_epochs=0.5)
    splits, model = load_data_and_model(dataclasses.replace(recipe, train=train))
    config = AugmentConfig("none", place="input")
    training = prepare(
        require_trainable(model, splits["train"], train), splits, train, config, RunFolder(Path()), seed=0
    )
    training.wrapped.train()
    sides: list[int] = []
    model.resize.register_forward_hook(lambda module, inputs, output: sides.append(output.shape[-1]))
    for epoch in range(2):
        for number, batch in enumerate(epoch_batches(training, epoch, 0)):
            assert batch.images.shape[-1] == 32
            train_step(training, batch, 4 * epoch + number, Meter(torch.device("cpu")))
        model.eval()(batch.images[:, 0])
        model.train()
    assert sides == [16, 16, 16, 16, 32, 16, 16, 32, 32, 32]


@pytest.mark.parametrize(
    ("config", "side", "complaint"),
    [
        (VIT, 18, "patches of 4 pixels do not divide an input of 18: choose 16 or 20"),
        (DOUBLE, 20, "patches of 8 pixels do not divide an input of 20"),
        (ModelConfig("pit-digits", weights="none"), 16, "not for pit-digits"),
    ],
    ids=["vit", "double", "pit"],
)
def test_a_size_that_a_network_cannot_have_is_refused_by_name(config, side, complaint):
    with pytest.raises(UserError, match=f"^`train.image_size`.*{complaint}"):
        made(config, side)


@pytest.mark.parametrize(
    ("train", "complaint"),
    [
        ({"finish_epochs": 1}, "`train.finish_epochs` 1: expected `train.image_size` too"),
        ({"image_size": 16, "finish_epochs": 11}, "`train.finish_epochs` 11: expected at most all epochs, 10"),
        ({"image_size": 0}, "`train.image_size`: expected at least 1"),
        ({"ema": 1.0}, "`train.ema`: expected 0 or more and less than 1"),
        ({"layer_decay": 0}, "`train.layer_decay`: expected more than 0 and at most 1"),
    ],
)
def test_training_options_are_checked(train, complaint):
    with pytest.raises(UserError, match=complaint):
        TrainConfig(**train)


def test_the_least_of_an_epoch_at_the_full_size_is_a_step():
    steps = [TrainConfig(image_size=16, finish_epochs=epochs).finish_steps(4) for epochs in (0, 0.01, 0.5, 2)]
    assert steps == [0, 1, 2, 8]


def test_stages_of_sparse_attention_want_the_number_of_keys_of_evaluation():
    for name, value in (("train.image_size", 16), ("model.patch_drop", 0.5)):
        with pytest.raises(UserError, match=f"^`{name}` .*expected one `model.top_k` for all stages, found 8,4"):
            with_changes(get_recipe("digits-double"), {"model.top_k": "8,4", name: value})


@pytest.mark.parametrize("config", [VIT, DOUBLE], ids=["vit", "double"])
def test_training_drops_patches_of_each_branch_and_evaluation_none(config):
    model = made(dataclasses.replace(config, patch_drop=0.75))
    tokens: list[int] = []
    for network in model.backbone.branches().values():
        network.blocks[0].register_forward_pre_hook(lambda module, inputs: tokens.append(inputs[0].shape[1]))
    model.train()(IMAGES)
    assert tokens == [1 + 16, 1 + 4][: len(tokens)]
    assert torch.equal(model.eval()(IMAGES), made(config).eval()(IMAGES))
    assert tokens[len(tokens) // 2 :] == [1 + 64, 1 + 16][: len(tokens) // 2]


def test_a_distillation_token_is_no_patch():
    model = made(ModelConfig("deit_tiny_distilled_patch16_224", weights="none", patch_drop=0.5))
    assert model.backbone.network.patch_drop.num_prefix_tokens == 2


def test_a_network_without_tokens_before_its_patches_drops_patches_too():
    network = made(ModelConfig("hiera_tiny_224", weights="none", patch_drop=0.5, image_size=64)).backbone.train()
    images = torch.rand(1, 3, 64, 64)
    (first,), (second,) = network(images), network(images)
    assert not torch.allclose(first, second)


@NETWORKS
def test_blocks_are_left_out_in_training_with_timms_linear_rule_and_in_evaluation_never(config):
    model = made(dataclasses.replace(config, drop_path=0.5))
    for network in model.backbone.branches().values():
        rates = [module.drop_prob for module in network.modules() if isinstance(module, DropPath) and module.drop_prob]
        assert max(rates) == 0.5
        assert rates == sorted(rates)
    assert torch.equal(model.eval()(IMAGES), made(config).eval()(IMAGES))
    model.train()
    without = copy.deepcopy(model)
    for module in without.modules():
        if isinstance(module, DropPath | nn.Dropout):
            module.p = module.drop_prob = 0.0
    assert not torch.allclose(model(IMAGES), without(IMAGES), atol=1e-4)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        (dataclasses.replace(RESNET, patch_drop=0.5), "`model.patch_drop`.*not for resnet-digits"),
        (ModelConfig("inception-resnet-v2", weights="none", drop_path=0.1), "`model.drop_path`.*not for inception"),
    ],
    ids=["patches", "blocks"],
)
def test_a_network_without_patches_or_blocks_is_refused_by_name(config, complaint):
    with pytest.raises(UserError, match=complaint):
        made(config)
    with pytest.raises(UserError, match=r"`model.drop_path`: expected 0 or more and less than 1, found 1"):
        dataclasses.replace(VIT, drop_path=1)
