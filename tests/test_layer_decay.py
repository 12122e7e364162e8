"""Layer-wise learning-rate decay against timm's own groups."""

import pytest
import timm
from timm.optim import param_groups_layer_decay

from doublevit.errors import UserError
from doublevit.models import CrossConfig, ModelConfig
from doublevit.models.backbones import resolve
from doublevit.models.classifier import Classifier, build
from doublevit.training import TrainConfig
from doublevit.training.optimizer import make_optimizer

DECAY = 0.7
DOUBLE = ModelConfig("vit-digits-4", coarse="vit-digits-8", cross=CrossConfig((5,)), weights="none")
CONFIG = TrainConfig(optimizer="adamw", backbone_lr=0.01, weight_decay=0.1, layer_decay=DECAY)


def rates(model: Classifier) -> dict[str, tuple[float, float]]:
    """The rate and the weight decay of every trained parameter."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = make_optimizer(model, CONFIG).param_groups
    return {names[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}


def timms(name: str) -> dict[str, tuple[float, float]]:
    """The same of a network of timm with a classifier of its own."""
    backbone = resolve(name)
    network = timm.create_model(backbone.timm_name, pretrained=False, num_classes=3, **backbone.options)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    spared = network.no_weight_decay() if hasattr(network, "no_weight_decay") else ()
    groups = param_groups_layer_decay(network, 0.1, spared, layer_decay=DECAY)
    return {
        names[id(p)]: (0.01 * group["lr_scale"], group["weight_decay"]) for group in groups for p in group["params"]
    }


@pytest.mark.parametrize(
    ("config", "branches"),
    [
        (ModelConfig("vit-digits-4", weights="none"), {"backbone.network": "vit-digits-4"}),
        (ModelConfig("resnet-digits", weights="none", image_size=32), {"backbone.network": "resnet-digits"}),
        (DOUBLE, {"backbone.fine.vit": "vit-digits-4", "backbone.coarse.vit": "vit-digits-8"}),
    ],
    ids=["vit", "resnet", "double"],
)
def test_every_layer_has_timms_factor_and_new_layers_their_own_rate(config, branches):
    ours = rates(build(config, list("abc")))
    for branch, name in branches.items():
        expected = {f"{branch}.{layer}": rate for layer, rate in timms(name).items()}
        found = {layer: ours[layer] for layer in expected if layer in ours}
        for layer, both in found.items():
            assert both == pytest.approx(expected[layer]), layer
        assert {layer.split(".")[-2] for layer in expected.keys() - found.keys()} <= {"head", "fc"}
    new = {rate for layer, (rate, _) in ours.items() if not layer.startswith(tuple(branches))}
    assert new == {CONFIG.head_lr}


def test_frozen_layers_change_no_other_layers_factor():
    whole = rates(build(DOUBLE, list("abc")))
    part = rates(build(ModelConfig(**vars(DOUBLE) | {"freeze": "all-but-2-blocks"}), list("abc")))
    assert len(part) < len(whole)
    assert part == {name: whole[name] for name in part}


def test_a_network_whose_layers_timm_does_not_know_is_refused_by_name():
    model = build(ModelConfig("pit-digits", weights="none"), list("abc"))
    with pytest.raises(UserError, match=r"^`train.layer_decay`.*PoolingVisionTransformer"):
        make_optimizer(model, CONFIG)
