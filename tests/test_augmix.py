"""AugMix against timm's: the same chains give the same pictures, and the draws come from the same distributions."""

import io
import random

import numpy as np
import pytest
import timm.data.auto_augment as timm
import torch
from PIL import Image
from scipy import stats

from doublevit.augment import OPERATION_SETS
from doublevit.augment.augmix import AugMix, mix
from doublevit.augment.config import AugmentConfig, AugMixConfig
from doublevit.augment.draws import draw_table
from doublevit.augment.operations import NAMES, apply_operations
from doublevit.augment.policies import make_augmentation
from reference import FILL, as_tensor, done_by_pillow

P = 1e-3  # below this a two-sample or goodness-of-fit test fails; seeds are fixed


def augmix(name: str = "timm", *, severity: float = 3, width: int = 3, depth: int = -1, alpha: float = 1) -> AugMix:
    return AugMix(OPERATION_SETS[name], severity, width, depth, alpha)


def timms(name: str) -> timm.AugMixAugment:
    if name == "timm":
        return timm.augment_and_mix_transform("augmix-m3-w3", {})
    left_out = ("Color", "Contrast", "Brightness", "Sharpness")
    transforms = [transform for transform in timm._AUGMIX_TRANSFORMS if not transform.startswith(left_out)]
    settings = {"translate_const": 250, "img_mean": FILL, "magnitude_std": float("inf")}
    return timm.AugMixAugment(timm.augmix_ops(3, settings, transforms))


@pytest.mark.parametrize("name", ["timm", "strict"])
def test_chains_are_timms(name, pil_images):
    """With the same operations: below 0.01 levels on average before the mixing."""
    chosen = augmix(name, severity=10)
    mixture = chosen.mixture(draw_table(0, 0, 200, chosen.columns))
    images = as_tensor(pil_images)
    chains = images.new_empty((600, 3, 64, 64))
    for number, step in enumerate(mixture.steps):
        apply_operations(chains if number else images, step, chains)
    expected = as_tensor([done_by_pillow(pil_images[row // 3], mixture.steps, row) for row in range(600)])
    assert (chains.float() - expected.float()).abs().mean() < 0.01


def test_mixing_is_timms_to_the_bit(pil_images):
    chosen = augmix()
    mixture = chosen.mixture(draw_table(0, 0, 50, chosen.columns))
    chains = as_tensor(pil_images[:150]).view(50, 3, 3, 64, 64)
    ours = mix(as_tensor(pil_images[150:]), chains, mixture)
    for i, original in enumerate(pil_images[150:]):
        theirs, parts = timms("timm"), iter(pil_images[3 * i : 3 * i + 3])
        theirs.ops, theirs.depth = [lambda image, parts=parts: next(parts)], 1
        expected = theirs._apply_basic(original, mixture.weights[i], mixture.fraction[i])
        assert np.array_equal(ours[i].permute(1, 2, 0).numpy(), np.asarray(expected))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["timm", "strict"])
def test_pixels_change_as_much_as_with_timms(name, real_files):
    """2,000 images: per image the mean change, the mean absolute change and the variance of the change.

    Two-sample Kolmogorov-Smirnov tests on each, and Welch's test on the means; all at 0.001.
    """
    originals = [Image.open(io.BytesIO(file)).convert("RGB") for file in real_files]
    images, chosen, theirs = as_tensor(originals), augmix(name), timms(name)
    random.seed(0)
    np.random.seed(0)  # timm draws from the global generators
    changes = []
    for result in (chosen(images, draw_table(0, 0, 2000, chosen.columns)), as_tensor([theirs(p) for p in originals])):
        change = (result.float() - images.float()).flatten(1)
        changes.append(torch.stack([change.mean(1), change.abs().mean(1), change.var(1)]).numpy())
    for ours, expected in zip(*changes, strict=True):
        assert stats.ks_2samp(ours, expected).pvalue > P
        assert stats.ttest_ind(ours, expected, equal_var=False).pvalue > P


def steps_of(chosen: AugMix, count: int = 20_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes, amounts and interpolations of so many images' chains, each (count * width, deepest)."""
    mixture = chosen.mixture(draw_table(5, 2, count, chosen.columns))
    return tuple(np.stack([getattr(step, f) for step in mixture.steps], 1) for f in ("code", "amount", "interpolation"))


@pytest.mark.parametrize("name", ["timm", "strict"])
def test_operations_depths_and_interpolations_are_uniform(name):
    codes, _, interpolation = steps_of(augmix(name))
    present = np.bincount(codes[codes >= 0], minlength=len(NAMES))
    assert set(np.flatnonzero(present)) == {NAMES.index(operation) for operation in OPERATION_SETS[name]}
    assert stats.chisquare(present[present > 0]).pvalue > P
    assert stats.chisquare(np.bincount((codes >= 0).sum(1))[1:]).pvalue > P
    assert np.array_equal(codes >= 0, np.sort(codes >= 0, axis=1)[:, ::-1])  # chains have no holes
    assert stats.chisquare(np.bincount(interpolation[codes >= 0])[1:]).pvalue > P
    pairs = np.bincount((codes[:, 0] * len(NAMES) + codes[:, 1])[codes[:, 1] >= 0])
    assert stats.chisquare(pairs[pairs > 0]).pvalue > P  # one does not depend on the other


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("width", [2, 3, 5])
def test_weights_are_dirichlet_and_beta(alpha, width):
    chosen = augmix(width=width, alpha=alpha)
    mixture = chosen.mixture(draw_table(0, 0, 20_000, chosen.columns))
    assert mixture.weights.sum(axis=1) == pytest.approx(1, abs=1e-6)
    for weight in mixture.weights.T:
        assert stats.kstest(weight, stats.beta(alpha, alpha * (width - 1)).cdf).pvalue > P
    assert stats.kstest(mixture.fraction, stats.beta(alpha, alpha).cdf).pvalue > P
    expected = -1 / (width - 1)
    assert np.corrcoef(mixture.weights[:, 0], mixture.weights[:, 1])[0, 1] == pytest.approx(expected, abs=0.03)


def test_magnitudes_are_uniform_up_to_the_severity_and_signs_even():
    codes, amounts, _ = steps_of(augmix(severity=6))
    turned = amounts[codes == NAMES.index("rotate")]
    assert stats.kstest(turned, stats.uniform(-18, 36).cdf).pvalue > P
    moved = amounts[codes == NAMES.index("translate-y")]
    assert stats.kstest(moved, stats.uniform(-0.27, 0.54).cdf).pvalue > P


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_depth_can_be_told(depth):
    codes, _, _ = steps_of(augmix(depth=depth, width=2), 50)
    assert codes.shape == (100, depth)
    assert (codes >= 0).all()


def test_severity_zero_of_geometry_changes_nothing(pil_images):
    config = AugmentConfig("augmix", augmix=AugMixConfig(severity=0, operations=("rotate", "shear-x", "translate-y")))
    augmentation = make_augmentation(config)
    draws = draw_table(0, 0, 50, augmentation.columns)
    draws[:, :3] = (0.5, 0.5, 0.9)  # the crop in the middle, not mirrored
    images = as_tensor(pil_images[:50])
    # Weights that sum to a little less than 1 cost a level, in timm too.
    assert (augmentation(images, draws)[:, 0].int() - images.int()).abs().max() <= 1
