"""Each operation against Pillow's, through timm's and torchvision's own functions, on 200 images."""

import numpy as np
import pytest
import timm.data.auto_augment as timm
import torch
from PIL import Image, ImageOps

from doublevit.augment import OPERATION_SETS, OPERATIONS
from doublevit.augment.crops import Crop
from doublevit.augment.operations import (
    COLOR_OPERATIONS,
    GEOMETRIC_OPERATIONS,
    NAMES,
    TIMM,
    WIDE,
    Applied,
    apply_operations,
)
from doublevit.augment.pixels import BICUBIC, BILINEAR, NEAREST
from reference import CLOSE, EXACT, PILLOW, argument, as_tensor, differences


@pytest.mark.parametrize("name", EXACT)
def test_levels_equal_pillows(name, pil_images):
    ours, theirs, amounts = EXACT[name]
    expected = [theirs(image, *argument(name, amount)) for image, amount in zip(pil_images, amounts, strict=True)]
    assert differences(ours(as_tensor(pil_images), np.float64(amounts)), expected).max() == 0


@pytest.mark.parametrize("name", CLOSE)
@pytest.mark.parametrize("interpolation", [BILINEAR, BICUBIC])
def test_places_equal_pillows_to_a_level(name, interpolation, pil_images):
    ours, theirs, amounts = CLOSE[name]
    how = {"resample": PILLOW[interpolation], "fillcolor": (128, 128, 128)}
    expected = [theirs(image, amount, **how) for image, amount in zip(pil_images, amounts, strict=True)]
    found = differences(ours(as_tensor(pil_images), amounts, interpolation, 128), expected)
    assert found.max() <= 1
    assert (found > 0).mean() < 0.0015


@pytest.mark.parametrize("name", ["translate-x", "translate-y"])
@pytest.mark.parametrize("interpolation", [NEAREST, BILINEAR, BICUBIC])
def test_whole_pixels_are_translated_exactly(name, interpolation, pil_images):
    ours, theirs, _ = CLOSE[name]
    shares = np.arange(-100, 100) / 64
    how = {"resample": PILLOW[interpolation], "fillcolor": (128, 128, 128)}
    expected = [theirs(image, share, **how) for image, share in zip(pil_images, shares, strict=True)]
    assert differences(ours(as_tensor(pil_images), shares, interpolation, 128), expected).max() == 0


@pytest.mark.parametrize("name", ["rotate", "shear-x", "shear-y"])
def test_nearest_neighbors_are_pillows(name, pil_images):
    """But where a source lies between two pixels: Pillow computes this one in fixed point."""
    ours, theirs, amounts = CLOSE[name]
    how = {"resample": PILLOW[NEAREST], "fillcolor": (128, 128, 128)}
    expected = [theirs(image, amount, **how) for image, amount in zip(pil_images, amounts, strict=True)]
    assert (differences(ours(as_tensor(pil_images), amounts, NEAREST, 128), expected) > 0).mean() < 0.001


@pytest.mark.parametrize("name", [*EXACT, *CLOSE])
def test_images_that_are_not_square_or_flat(name):
    generator = np.random.default_rng(1)
    wide = [Image.fromarray(generator.integers(0, 256, (31, 50, 3), dtype=np.uint8)) for _ in range(8)]
    wide[0], wide[1] = (Image.new("RGB", (50, 31), (value, 255, 0)) for value in (0, 77))
    if name in EXACT:
        ours, theirs, amounts = EXACT[name]
        expected = [theirs(image, *argument(name, amount)) for image, amount in zip(wide, amounts, strict=False)]
        assert differences(ours(as_tensor(wide), np.float64(amounts[:8])), expected).max() == 0
        return
    ours, theirs, amounts = CLOSE[name]
    how = {"resample": PILLOW[BICUBIC], "fillcolor": (0, 0, 0)}
    expected = [theirs(image, amount, **how) for image, amount in zip(wide, amounts, strict=False)]
    found = differences(ours(as_tensor(wide), amounts[:8], BICUBIC, 0), expected)
    assert found.max() <= 1
    assert (found > 0).mean() < 0.005


def test_flips_are_exact(pil_images):
    images = as_tensor(pil_images)
    still = np.full((200, 3), 0.5, np.float32)
    still[:, 2] = 0.4
    assert (
        differences(Crop(flip=True)(images, still), [ImageOps.mirror(original) for original in pil_images]).max() == 0
    )
    still[:, 2] = 0.6
    assert torch.equal(Crop(flip=True)(images, still), images)


@pytest.mark.parametrize("name", OPERATIONS)
def test_magnitudes_are_timms(name):
    theirs = {"rotate": "Rotate", "shear-x": "ShearX", "shear-y": "ShearY", "translate-x": "TranslateXRel"}
    theirs |= {"translate-y": "TranslateYRel", "solarize-add": "SolarizeAdd"}
    level_of = timm.LEVEL_TO_ARG.get(theirs.get(name, f"{name.title()}Increasing"))
    levels = np.linspace(0, 9.99, 100)
    for sign, draw in ((1.0, 0.4), (-1.0, 0.6)):
        ours = TIMM[name](levels / 10, np.full(100, sign))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(timm.random, "random", lambda draw=draw: draw)
            expected = [level_of(level, {})[0] if level_of else 0 for level in levels]
        assert ours == pytest.approx(np.array(expected), abs=1e-9)


def test_the_wide_space_is_torchvisions():
    from torchvision.transforms import TrivialAugmentWide

    title = {"autocontrast": "AutoContrast"}
    space = TrivialAugmentWide()._augmentation_space(31)
    assert len(space) == len(WIDE)
    for name, amount in WIDE.items():
        magnitudes, signed = space[title.get(name, "".join(part.title() for part in name.split("-")))]
        level, ones = np.linspace(0, 1, 31), np.ones(31)
        enhanced = name in ("brightness", "color", "contrast", "sharpness")
        expected = magnitudes.numpy() + enhanced if magnitudes.ndim else np.zeros(31)
        # (15.999999 in float32 should be 16 pixels.)
        expected = np.trunc(expected + 1e-4) if name.startswith("translate") else expected
        assert amount(level, ones) == pytest.approx(expected, abs=1e-4)
        assert signed == (not np.array_equal(amount(level, -ones), amount(level, ones)))


def test_each_image_gets_its_own_operation(pil_images):
    images = as_tensor(pil_images[:60])
    names = [NAMES[i % len(NAMES)] for i in range(60)]
    names[7] = None
    codes = np.array([-1 if name is None else NAMES.index(name) for name in names])
    amounts = np.array([{"posterize": 3, "solarize": 100}.get(name, 0.2) for name in names])
    interpolation = np.array([BILINEAR, BICUBIC] * 30)
    whole = images.clone()
    apply_operations(images, Applied(codes, amounts, interpolation, 128), whole)
    for i, name in enumerate(names):
        one = images[i : i + 1]
        if name is None:
            expected = one
        elif name in COLOR_OPERATIONS:
            expected = COLOR_OPERATIONS[name][0](one, amounts[i : i + 1])
        else:
            expected = GEOMETRIC_OPERATIONS[name][0](one, amounts[i : i + 1], int(interpolation[i]), 128)
        assert torch.equal(whole[i], expected[0]), name


def test_sets_are_timms_and_the_papers():
    names = {"ColorIncreasing": "color", "TranslateXRel": "translate-x", "TranslateYRel": "translate-y"}
    names |= {"ShearX": "shear-x", "ShearY": "shear-y"}
    theirs = {names.get(name, name.removesuffix("Increasing").lower()) for name in timm._AUGMIX_TRANSFORMS}
    assert set(OPERATION_SETS["timm"]) == theirs
    assert set(OPERATION_SETS["strict"]) == theirs - {"color", "contrast", "brightness", "sharpness"}
