import io

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from doublevit.augment.pixels import to_bytes
from doublevit.models import BACKBONES
from doublevit.models.preprocess import Normalize, Resize

PILLOW = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@pytest.mark.parametrize("interpolation", PILLOW)
@pytest.mark.parametrize("size", [224, 40])
def test_resize_is_pillows_on_real_images(real_images, interpolation, size):
    images = [Image.open(io.BytesIO(content)).convert("RGB") for content in real_images[:50]]
    stored = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2)
    resized = np.stack([np.asarray(image.resize((size, size), PILLOW[interpolation])) for image in images])
    expected = torch.from_numpy(resized).permute(0, 3, 1, 2).int()
    difference = (Resize(size, interpolation)(stored / 255) * 255 - expected).abs()
    # Pillow rounds to whole levels after each of its two passes, ours never: half a level each, a little amplified.
    assert difference.max() <= 1.3
    assert difference.mean() < 0.4
    difference = (Resize(size, interpolation)(stored).int() - expected).abs()
    # torch keeps fewer bits of the weights than Pillow; all our checkpoints want bicubic.
    assert difference.max() <= 2
    assert (difference > 0).float().mean() < (0.01 if interpolation == "bicubic" else 0.08)


@pytest.mark.parametrize("shape", [(48, 96), (300, 250)])
def test_resize_is_torchs_where_nothing_clips(shape):
    images = 0.4 + 0.2 * torch.rand(2, 3, *shape)
    expected = torch.nn.functional.interpolate(images, size=(64, 64), mode="bicubic", antialias=True)
    assert torch.allclose(Resize(64, "bicubic")(images), expected, atol=1e-5)


def test_network_size_is_left_as_it_is():
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(Resize(32, "bicubic")(images), images)
    levels = (images * 255).byte()
    assert torch.equal(Resize(32, "bicubic")(levels), levels)


def test_resize_is_differentiable():
    images = (0.3 + 0.4 * torch.rand(1, 3, 6, 5, dtype=torch.float32)).requires_grad_()
    assert torch.autograd.gradcheck(Resize(8, "bicubic"), (images,), eps=1e-3, atol=1e-3)


def test_resize_keeps_full_precision_under_autocast():
    images = torch.rand(1, 3, 16, 16)
    plain = Resize(24, "bicubic")(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(Resize(24, "bicubic")(images), plain)


def test_weights_made_in_inference_mode_serve_training():
    resize = Resize(30, "bicubic")
    with torch.inference_mode():
        resize(torch.rand(1, 3, 17, 17))
    images = torch.rand(1, 3, 17, 17, requires_grad=True)
    resize(images).sum().backward()
    assert images.grad is not None


def test_normalize_is_the_checkpoints():
    images = torch.rand(2, 3, 4, 4)
    normalized = Normalize((0.1, 0.2, 0.3), (0.5, 0.25, 2.0))(images)
    for channel, (mean, std) in enumerate(((0.1, 0.5), (0.2, 0.25), (0.3, 2.0))):
        assert torch.allclose(normalized[:, channel], (images[:, channel] - mean) / std, atol=1e-6)
    levels = (images * 255).byte()
    normalize = Normalize((0.1, 0.2, 0.3), (0.5, 0.25, 2.0))
    assert torch.allclose(normalize(levels), normalize(levels / 255), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "mean", "size"),
    [
        ("vit-b16", 0.5, 224),
        ("vit-b32", 0.5, 224),
        ("vit-l16", 0.5, 224),
        ("pit-b", 0.485, 224),
        ("inception-resnet-v2", 0.5, 299),
        ("resnet50", 0.485, 224),
        ("vit-ti16", 0.5, 224),
        ("deit-ti16", 0.485, 224),
    ],
)
def test_pinned_tags_have_the_constants_of_their_checkpoints(name, mean, size):
    config = timm.get_pretrained_cfg(BACKBONES[name].timm_name)
    assert (config.mean[0], config.input_size[-1], config.interpolation) == (mean, size, "bicubic")


def test_floats_become_the_bytes_that_they_were():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_bytes(levels), levels)
    assert torch.equal(to_bytes(levels.float() / 255), levels)
    assert torch.equal(to_bytes(torch.tensor([0.4, 0.6]) / 255), torch.tensor([0, 1], dtype=torch.uint8))
