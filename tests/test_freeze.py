import pytest
import torch

from doublevit.errors import UserError
from doublevit.models import CrossConfig, ModelConfig, freeze
from doublevit.models.classifier import build
from doublevit.training.summary import leak_warning

CLASSES = [f"class{i}" for i in range(200)]


def on_meta(freeze_spec: str, *after: int):
    with torch.device("meta"):
        config = ModelConfig(
            "vit-b16",
            coarse="vit-b32",
            weights="none",
            head="paper-double",
            freeze=freeze_spec,
            cross=CrossConfig(after),
        )
        return build(config, CLASSES)


def trained(module: torch.nn.Module) -> list[str]:
    return [name for name, parameter in module.named_parameters() if parameter.requires_grad]


def test_the_papers_90_are_counted_in_each_branch():
    model = on_meta("all-but-90-tensors", 9)
    for branch in model.backbone.branches().values():
        names = trained(branch)
        assert len(names) == 90
        assert len(list(branch.parameters())) == 150
        # 2 of the norm, 7 whole blocks of 12, and the last 4 (the MLP) of the block before.
        assert names[:4] == [f"blocks.4.mlp.{layer}.{kind}" for layer in ("fc1", "fc2") for kind in ("weight", "bias")]
        assert names[4].startswith("blocks.5.")
    assert all(
        parameter.requires_grad for part in (model.heads, model.backbone.cross) for parameter in part.parameters()
    )


def test_counts_of_the_summary_add_up():
    model = on_meta("all-but-90-tensors", 9, 12)
    parts = freeze.summary(model.parts())
    assert [part.name for part in parts] == ["fine", "coarse", "cross", "head"]
    assert sum(part.parameters for part in parts) == sum(p.numel() for p in model.parameters())
    per_block = 768 * 768 * 12 + 768 * 13  # qkv, proj, two MLP layers and their biases, two norms
    mlp = 2 * 768 * 3072 + 768 + 3072
    assert parts[0].trained_parameters == 7 * per_block + mlp + 2 * 768


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("none", 150),
        ("all-but-head", 0),
        ("all-but-1-tensors", 1),
        ("all-but-150-tensors", 150),
        ("all-but-1-blocks", 14),
        ("all-but-12-blocks", 146),
    ],
)
def test_specs(spec, expected):
    assert [len(trained(branch)) for branch in on_meta(spec).backbone.branches().values()] == [expected] * 2


@pytest.mark.parametrize("spec", ["all-but-151-tensors", "all-but-13-blocks", "all-but-0-blocks", "all", "last 90"])
def test_bad_specs(spec):
    with pytest.raises(UserError, match=r"`model.freeze`"):
        on_meta(spec)


@pytest.mark.parametrize(("name", "count"), [("pit-ti", 12), ("resnet18", 8)])
def test_blocks_of_other_networks(name, count):
    model = build(ModelConfig(name, weights="none", freeze=f"all-but-{count}-blocks"), CLASSES[:2])
    assert trained(model.backbone)
    with pytest.raises(UserError, match=f"has {count} blocks"):
        build(ModelConfig(name, weights="none", freeze=f"all-but-{count + 1}-blocks"), CLASSES[:2])


def small(spec: str = "all-but-20-tensors"):
    return build(ModelConfig("vit-digits-4", weights="none", freeze=spec), CLASSES[:2])


def test_frozen_prefix_runs_without_autograd_and_in_evaluation_mode():
    model = small().train()
    records = {}
    for number, block in enumerate(model.backbone.network.blocks):
        block.register_forward_hook(lambda module, _, out, number=number: records.update({number: out.requires_grad}))
    model(torch.rand(2, 3, 32, 32))
    assert records == {0: False, 1: False, 2: False, 3: False, 4: True, 5: True}
    modes = [block.training for block in model.backbone.network.blocks]
    assert modes == [False, False, False, False, True, True]
    assert model.heads.training


def test_frozen_batch_norm_keeps_its_statistics():
    model = build(ModelConfig("resnet18", weights="none", freeze="all-but-2-blocks"), CLASSES[:2]).train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model(torch.rand(2, 3, 64, 64))
    changed = {name for name, buffer in model.named_buffers() if not torch.equal(buffer, before[name])}
    assert changed
    assert all("layer4" in name for name in changed)


def test_trained_positions_before_frozen_blocks_are_found():
    model = small()
    assert freeze.autograd_leaks(model.backbone.network) == []
    assert freeze.autograd_leaks(small("none").backbone.network) == []
    model.backbone.network.pos_embed.requires_grad_(True)
    assert freeze.autograd_leaks(model.backbone.network) == ["pos_embed"]
    assert "backbone.pos_embed trained before frozen layers" in leak_warning(model)
