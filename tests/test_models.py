import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F

from doublevit.errors import UserError
from doublevit.models import BACKBONES, CrossConfig, ModelConfig
from doublevit.models.classifier import build
from doublevit.models.heads import HEAD_MAKERS

CLASSES = [f"class{i}" for i in range(200)]


def on_meta(config: ModelConfig):
    with torch.device("meta"):
        return build(config, CLASSES)


@pytest.mark.parametrize(
    ("name", "millions", "tensors"),
    [  # with a linear head for 200 classes
        ("vit-b16", 85.95, 152),
        ("vit-b32", 87.61, 152),
        ("vit-l16", 303.5, 296),
        ("inception-resnet-v2", 54.61, 694),
        ("vit-ti16", 5.56, 152),
    ],
)
def test_sizes_of_the_papers_networks(name, millions, tensors):
    parameters = list(on_meta(ModelConfig(name, weights="none")).parameters())
    assert sum(parameter.numel() for parameter in parameters) / 1e6 == pytest.approx(millions, abs=0.06)
    assert len(parameters) == tensors


def test_heads_are_the_released_codes():
    def shapes(name, width):
        return [tuple(p.shape) for p in HEAD_MAKERS[name](width, 200).parameters() if p.ndim == 2]

    assert shapes("paper-single", 768) == [(1024, 768), (256, 1024), (200, 256)]
    assert shapes("paper-double", 1536) == [(768, 1536), (200, 768)]
    assert [m.p for m in HEAD_MAKERS["paper-double"](8, 2) if isinstance(m, torch.nn.Dropout)] == [0.4]


@pytest.mark.parametrize("name", ["vit-digits-4", "pit-ti", "resnet18", "vit_tiny_patch16_224"])
def test_any_network_speaks_pixels_of_any_size(name):
    model = build(ModelConfig(name, weights="none", head="paper-single"), CLASSES).eval()
    for shape in ((64, 64), (50, 80)):
        assert model(torch.rand(2, 3, *shape)).shape == (2, 200)


def test_logits_equal_timms_on_real_images(vit_weights, real_images):
    """The same image through timm's own model and our whole pipeline; only the 64 -> 224 resize is shared."""
    import io

    from PIL import Image

    originals = np.stack([np.asarray(Image.open(io.BytesIO(c)).convert("RGB")) for c in real_images[:8]])
    images = torch.from_numpy(originals).permute(0, 3, 1, 2).float() / 255
    wnids = ["n01443537", "n02124075", "n07920052"]
    ours = build(ModelConfig("vit-ti16", weights=vit_weights, head_init="pretrained"), wnids).eval()
    theirs = timm.create_model("vit_tiny_patch16_224", checkpoint_path=vit_weights).eval()
    names = timm.data.ImageNetInfo().label_names()
    with torch.inference_mode():
        expected = theirs((ours.resize(images) - 0.5) / 0.5)[:, [names.index(wnid) for wnid in wnids]]
        assert torch.allclose(ours(images), expected, atol=1e-4)


def test_distilled_network_trains_both_heads_and_averages_them():
    model = build(ModelConfig("pit-ti", weights="none"), CLASSES[:3]).eval()
    for head in model.heads:
        torch.nn.init.normal_(head.weight)
    images = torch.rand(2, 3, 64, 64)
    both = model(images, every_head=True)
    assert both.shape == (2, 2, 3)
    assert torch.allclose(model(images), both.mean(dim=0))
    tokens = model.backbone.network.forward_features(model.backbone.normalize(model.resize(images)))
    assert torch.allclose(both[1], model.heads[1](tokens[:, 1]), atol=1e-6)
    F.cross_entropy(both.flatten(0, 1), torch.zeros(4, dtype=torch.long)).backward()
    assert all(head.weight.grad.abs().sum() > 0 for head in model.heads)


def test_image_size_moves_the_input():
    assert build(ModelConfig("inception-resnet-v2", weights="none", image_size=224), CLASSES).resize.size == 224
    vit = build(ModelConfig("vit-ti16", weights="none", image_size=64), CLASSES[:2])
    assert vit.backbone.network.pos_embed.shape == (1, 17, 192)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "words"),
    [
        (lambda: ModelConfig("vit-b61", weights="none"), "unknown model 'vit-b61'; did you mean vit-b16"),
        (lambda: ModelConfig("vit_tiny_patch16_224.nonsense", weights="none"), "unknown model"),
        (lambda: ModelConfig("inception-resnet-v2", weights="none", image_size=32), "32: this network takes no images"),
        (lambda: ModelConfig("eva02_tiny_patch14_224", weights="none", image_size=30), "14 pixels do not divide"),
        (lambda: ModelConfig("test_maxvit", weights="none", image_size=100), r"takes no images .*divisible by window"),
        (lambda: ModelConfig("vit-ti16@x", weights="none"), "patch size"),
        (lambda: ModelConfig("vit-ti16@30", weights="none"), "patches of 30 pixels do not divide an input of 224"),
        (lambda: ModelConfig("resnet50", weights="none", coarse="vit-b32"), "made of two ViTs, found ResNet"),
        (lambda: ModelConfig("vit-ti16", weights="none", coarse="vit-digits-8"), "want 224 and 32 pixels"),
        (
            lambda: ModelConfig(
                "vit-ti16", weights="none", coarse="vit-ti16@32", cross=CrossConfig(tuple(range(1, 14)))
            ),
            r"expected blocks in 1 \.\. 12",
        ),
        (
            lambda: ModelConfig("vit-ti16", weights="none", coarse="vit-ti16@32", cross=CrossConfig((9,), heads=5)),
            "does not divide the width 192",
        ),
        (
            lambda: ModelConfig(
                "vit-ti16", weights="none", coarse="vit_small_patch32_224", cross=CrossConfig((9,), routing="swapped")
            ),
            "one width, found 192 and 384",
        ),
        (lambda: ModelConfig("vit-ti16", weights="none", cross=CrossConfig((9,))), "needs two branches"),
        (lambda: CrossConfig((9, 9)), "rising order"),
        (lambda: CrossConfig((0,)), "rising order"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(config, words):
    with pytest.raises(UserError, match=words) as caught:
        build(config(), CLASSES)
    assert "\n" not in str(caught.value)


def test_every_named_network_can_be_made():
    for name in BACKBONES:
        assert on_meta(ModelConfig(name, weights="none")).heads[0].out_features == 200
