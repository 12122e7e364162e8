import math

import pytest
import timm
import torch

from doublevit.errors import UserError
from doublevit.models import CrossConfig, ModelConfig
from doublevit.models.backbones import create
from doublevit.models.classifier import build
from doublevit.models.double_vit import CrossAttention, CrossLayer, DoubleViT

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def double(*after: int, **cross: object) -> DoubleViT:
    torch.manual_seed(0)
    fine, coarse = create("vit-digits-4", "none"), create("vit-digits-8", "none")
    for network in (fine, coarse):
        network.module.reset_classifier(0)
    return DoubleViT(fine, coarse, CrossConfig(after, **cross)).eval()


def test_without_cross_attention_equals_two_timm_vits_run_apart():
    model = double()
    apart = [vit((IMAGES - 0.5) / 0.5) for vit in (model.fine.vit, model.coarse.vit)]  # timm's own forward
    assert torch.equal(model(IMAGES)[0], torch.cat(apart, dim=1))


def test_branches_of_different_widths_and_normalizations():
    images = torch.rand(1, 3, 224, 224)
    fine, coarse = create("deit-ti16", "none"), create("vit_small_patch32_224", "none")
    for network in (fine, coarse):
        network.module.reset_classifier(0)
    model = DoubleViT(fine, coarse, CrossConfig((2,))).eval()
    feature = DoubleViT(fine, coarse, CrossConfig()).eval()(images)[0]
    mean, std = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1), torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)
    expected = torch.cat([fine.module((images - mean) / std), coarse.module((images - 0.5) / 0.5)], dim=1)
    assert torch.allclose(feature, expected, atol=1e-5)
    assert model(images)[0].shape == (1, 192 + 384) == (1, model.widths[0])


@pytest.mark.parametrize("projection", ["paper", "crossvit"])
@pytest.mark.parametrize("after", [(4,), (4, 6), (1, 2, 3, 4, 5, 6)])
def test_residual_fusion_starts_exactly_as_no_cross_attention(after, projection):
    model = double(*after, fusion="residual", projection=projection)
    plain = double()
    plain.fine.load_state_dict(model.fine.state_dict())
    plain.coarse.load_state_dict(model.coarse.state_dict())
    assert torch.equal(model(IMAGES)[0], plain(IMAGES)[0])


def test_replacing_fusion_does_not():
    assert not torch.allclose(double(4)(IMAGES)[0], double()(IMAGES)[0], atol=1e-3)


def plain_layer_norm(x: torch.Tensor, norm: torch.nn.LayerNorm) -> torch.Tensor:
    centered = x - x.mean(-1, keepdim=True)
    return centered / (centered.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight + norm.bias


def plain_project(x: torch.Tensor, projection: torch.nn.Sequential) -> torch.Tensor:
    if len(projection) == 3:
        x = plain_layer_norm(x, projection[0])
        x = x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    return x @ projection[-1].weight.T + projection[-1].bias


@pytest.mark.parametrize("fusion", ["replace", "residual"])
@pytest.mark.parametrize("projection", ["paper", "crossvit"])
@pytest.mark.parametrize(("heads", "head_dim"), [(4, None), (2, 64), (1, 5)])
def test_cross_attention_equals_the_plain_formula(fusion, projection, heads, head_dim):
    """CrossViT's equations (Chen et al. 2021), one sample and one head at a time."""
    torch.manual_seed(1)
    layer = CrossAttention(12, 20, CrossConfig((1,), heads, head_dim, projection, fusion=fusion))
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    width = head_dim or 20 // heads
    class_token, patches = torch.randn(3, 1, 12), torch.randn(3, 7, 20)
    for sample, result in zip(range(3), layer(class_token, patches), strict=True):
        carried = plain_project(class_token[sample], layer.project_in)
        z = plain_layer_norm(torch.cat([carried, patches[sample]]), layer.norm)
        query = z[:1] @ layer.query.weight.T + layer.query.bias
        key, value = (z @ layer.key_value.weight.T + layer.key_value.bias).split(heads * width, dim=1)
        read = []
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            weights = torch.softmax(query[:, part] @ key[:, part].T / math.sqrt(width), dim=1)
            read.append(weights @ value[:, part])
        y = carried + torch.cat(read, dim=1) @ layer.project.weight.T + layer.project.bias
        expected = plain_project(y, layer.project_out)
        expected = expected + class_token[sample] if fusion == "residual" else expected
        assert torch.allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("routing", ["own", "swapped"])
def test_routing_keeps_or_exchanges_patches(routing):
    layer = CrossLayer(8, 8, CrossConfig((1,), heads=2, routing=routing))
    fine, coarse = torch.randn(1, 5, 8), torch.randn(1, 3, 8)
    new_fine, new_coarse = layer(fine, coarse)
    kept = (fine, coarse) if routing == "own" else (coarse, fine)
    assert torch.equal(new_fine[:, 1:], kept[0][:, 1:])
    assert torch.equal(new_coarse[:, 1:], kept[1][:, 1:])
    assert torch.equal(new_fine[:, :1], layer.fine(fine[:, :1], coarse[:, 1:]))
    assert torch.equal(new_coarse[:, :1], layer.coarse(coarse[:, :1], fine[:, 1:]))


def test_layers_stand_after_the_blocks_named():
    model = double(2, 5, fusion="replace")
    seen = []
    for number, block in enumerate(model.fine.vit.blocks, 1):
        block.register_forward_hook(lambda *_, number=number: seen.append(number))
    for number, layer in enumerate(model.cross):
        layer.register_forward_hook(lambda *_, number=number: seen.append(f"cross {number}"))
    model(IMAGES)
    assert seen == [1, 2, "cross 0", 3, 4, 5, "cross 1", 6]


def test_every_parameter_gets_a_gradient():
    model = build(
        ModelConfig(
            "vit-digits-4", coarse="vit-digits-8", weights="none", head="paper-double", cross=CrossConfig((3, 6))
        ),
        list("abc"),
    )
    model(IMAGES).square().sum().backward()
    # After the last block only class tokens are used: its layers, and the cross layers' own parameters, all feed them.
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_class_token_is_required_for_cross_attention_only():
    pooled = timm.create_model("vit_tiny_patch16_224", global_pool="avg", num_classes=0)
    fine, coarse = create("vit-ti16", "none"), create("vit-ti16@32", "none")
    import dataclasses

    fine = dataclasses.replace(fine, module=pooled)
    DoubleViT(fine, coarse, CrossConfig())
    with pytest.raises(UserError, match="classifies from its class token"):
        DoubleViT(fine, coarse, CrossConfig((9,)))
