"""Policies: what each does, that only the draws decide it, and what is said of bad input."""

import dataclasses
import random

import numpy as np
import pytest
import timm.data.auto_augment as timm
import torch
import torchvision.transforms.autoaugment as torchvision
from PIL import Image
from scipy import stats
from torchvision.transforms import InterpolationMode

from doublevit.augment import POLICIES, AugmentConfig, AugMixConfig, describe
from doublevit.augment.classic import ColorJitter, Cutout, Placement
from doublevit.augment.crops import Crop
from doublevit.augment.draws import Draws, choose, draw_table
from doublevit.augment.mixing import Mixing, soft_labels
from doublevit.augment.operations import NAMES, describe_step
from doublevit.augment.policies import described_views, make_augmentation
from doublevit.augment.sequences import RandAugment, TrivialAugment
from doublevit.errors import UserError
from reference import CLOSE, EXACT, as_tensor, differences, done_by_pillow

CONFIGS = [AugmentConfig(policy) for policy in POLICIES]


def some_bytes(count: int, height: int = 32, width: int = 48) -> torch.Tensor:
    """Smooth pictures, laid out in memory as gathered from a store."""
    coarse = torch.randint(0, 256, (count, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    fine = torch.nn.functional.interpolate(coarse.float(), (height, width), mode="bicubic").clamp(0, 255)
    return fine.to(torch.uint8).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", [(64, 64), (32, 48)])
def test_crop_and_flip_equals_pad_cut_and_mirror(shape):
    images = torch.randint(0, 256, (40, 3, *shape), dtype=torch.uint8)
    draws = draw_table(0, 0, 40, 3)
    result = Crop(flip=True)(images, draws)
    pad_rows, pad_columns = max(1, round(8 / 224 * shape[0])), max(1, round(8 / 224 * shape[1]))
    for image, draw, made in zip(images.numpy(), draws, result.numpy(), strict=True):
        padded = np.pad(image, ((0, 0), (pad_rows, pad_rows), (pad_columns, pad_columns)))
        top, left = int(draw[0] * (2 * pad_rows + 1)), int(draw[1] * (2 * pad_columns + 1))
        cut = padded[:, top : top + shape[0], left : left + shape[1]]
        assert np.array_equal(made, cut[:, :, ::-1] if draw[2] < 0.5 else cut)


@pytest.mark.parametrize("size", [20, 33, 34])
def test_crops_of_another_size(size):
    images = torch.randint(1, 256, (500, 3, 32, 48), dtype=torch.uint8)
    draws = draw_table(0, 0, 500, 2)
    result = Crop(flip=False, size=size)(images, draws)
    for image, draw, made in zip(images.numpy(), draws, result.numpy(), strict=True):
        padded = np.pad(image, ((0, 0), (1, 1), (2, 2)))
        top, left = int(draw[0] * (34 - size + 1)), int(draw[1] * (52 - size + 1))
        assert np.array_equal(made, padded[:, top : top + size, left : left + size])


def test_crop_reaches_every_offset_equally_often_and_flips_half():
    draws = draw_table(0, 0, 50_000, 3)
    marked = torch.zeros(50_000, 1, 64, 1, dtype=torch.uint8)
    marked[:, :, 32] = 1
    centered = np.stack([draws[:, 0], np.full(50_000, 0.5, np.float32)], axis=1)
    places = Crop(flip=False)(marked.expand(-1, 3, -1, -1), centered)
    offsets = places[:, 0, :, 0].argmax(dim=1).bincount(minlength=64)
    assert offsets.nonzero().flatten().tolist() == [30, 31, 32, 33, 34]
    assert offsets[30:35].min() > 9_600
    assert (draws[:, 2] < 0.5).mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS, ids=list(POLICIES))
def test_draws_belong_to_the_sample_not_to_the_batch(config):
    augmentation, images = make_augmentation(config), some_bytes(300)
    draws = draw_table(3, 1, 300, augmentation.columns)
    whole = augmentation(images, draws)
    for size in (1, 7, 256):
        ends = range(0, 300 if size > 1 else 20, size)
        parts = [augmentation(images[i : i + size], draws[i : i + size]) for i in ends]
        assert torch.equal(torch.cat(parts), whole[: sum(map(len, parts))])
    if config.policy != "none":
        assert not torch.equal(augmentation(images, draw_table(3, 2, 300, augmentation.columns)), whole)
        assert not torch.equal(augmentation(images, draw_table(4, 1, 300, augmentation.columns)), whole)


@pytest.mark.parametrize("config", CONFIGS, ids=list(POLICIES))
@pytest.mark.parametrize("size", [(300, 310), (8, 8), (3, 2), (1, 1)])
def test_large_and_tiny_images(config, size):
    augmentation, images = make_augmentation(config), some_bytes(3, *size)
    draws = draw_table(0, 0, 3, augmentation.columns)
    whole = augmentation(images, draws)
    assert whole.shape[2:] == (3, *size)
    assert torch.equal(torch.cat([augmentation(images[i : i + 1], draws[i : i + 1]) for i in range(3)]), whole)


@pytest.mark.parametrize("config", CONFIGS, ids=list(POLICIES))
def test_floats_are_augmented_as_their_bytes(config):
    augmentation, images = make_augmentation(config), some_bytes(30)
    draws = draw_table(0, 0, 30, augmentation.columns)
    result = augmentation(images.float() / 255, draws)
    assert result.dtype == torch.float32
    assert torch.equal(result, augmentation(images, draws).float() / 255)
    if config.policy in ("classic", "trivial"):  # they work on bytes: rounded ones
        first = dataclasses.replace(augmentation, shared=augmentation.shared[-1:])
        draws = draw_table(0, 0, 30, first.columns)
        between = (images.float() - 0.4).clamp(min=0) / 255
        assert torch.equal(first(between, draws), first(images, draws).float() / 255)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("config", CONFIGS, ids=list(POLICIES))
def test_a_gpu_makes_the_same_of_the_same_draws(config):
    augmentation, images = make_augmentation(config), some_bytes(300)
    draws = draw_table(0, 0, 300, augmentation.columns)
    found = (augmentation(images.cuda(), draws).cpu().int() - augmentation(images, draws).int()).abs()
    assert (found > 1).float().mean() < 1e-3  # equalize passes a difference of one level on, enlarged


def test_a_draw_never_reaches_the_count():
    almost_one = np.array([np.nextafter(np.float32(1), np.float32(0))])
    assert all(choose(almost_one, count)[0] == count - 1 for count in (1, 3, 5, 13, 100_000))


def test_classic_places_by_one_map_as_pillow_does():
    images = some_bytes(40, 40, 60)
    draws = draw_table(0, 0, 40, 5)
    maps, _ = Placement().maps(draws, (40, 60))
    originals = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    expected = [
        original.transform(original.size, Image.Transform.AFFINE, tuple(one[:2].ravel()), Image.Resampling.BILINEAR)
        for original, one in zip(originals, maps, strict=True)
    ]
    found = differences(Placement()(images, draws), expected)
    assert found.max() <= 1
    assert (found > 0).mean() < 0.005


def test_classic_composes_crop_flips_and_rotation_in_that_order():
    images = some_bytes(40)
    draws = draw_table(0, 0, 40, 5)
    draws[:, 4] = 0.5  # not rotated
    for size in (None, 20):
        cropped = Crop(flip=False, size=size)(images, draws[:, :2])
        for made, crop, draw in zip(Placement(size)(images, draws), cropped, draws, strict=True):
            flips = [axis for axis, mirrored in ((2, draw[2] < 0.5), (1, draw[3] < 0.5)) if mirrored]
            assert torch.equal(made, crop.flip(flips))
    draws[:, :4] = (0.5, 0.5, 0.9, 0.9)
    draws[:, 4] = draw_table(1, 0, 40, 1)[:, 0]
    turned = [
        Image.fromarray(image.permute(1, 2, 0).numpy()).rotate(15 * (2 * float(draw) - 1), Image.Resampling.BILINEAR)
        for image, draw in zip(images, draws[:, 4], strict=True)
    ]
    assert differences(Placement()(images, draws), turned).max() <= 1


def test_jitter_is_pillows_in_every_order():
    images, jitter = some_bytes(60), ColorJitter()
    draws = draw_table(0, 0, 60, jitter.columns)
    orders = set()
    for image, draw, made in zip(images, draws, jitter(images, draws), strict=True):
        order = draw[:4].argsort()
        orders.add(tuple(order))
        original = Image.fromarray(image.permute(1, 2, 0).numpy())
        factors = [*(1 + 0.4 * (2.0 * draw[4:7] - 1)), 0.1 * (2.0 * draw[7] - 1)]
        for which in order:
            original = EXACT[jitter.names[which]][1](original, float(factors[which]))
        assert np.array_equal(made.permute(1, 2, 0).numpy(), np.asarray(original))
    assert len(orders) > 15


def test_cutout_is_a_gray_square_centered_anywhere():
    images = torch.zeros(2000, 3, 32, 48, dtype=torch.uint8)
    cut = Cutout()(images, draw_table(0, 0, 2000, 2))[:, 0] == 128
    rows, columns = cut.any(2), cut.any(1)
    assert torch.equal(cut, rows[:, :, None] & columns[:, None, :])
    assert (rows.sum(1).unique().tolist(), columns.sum(1).unique().tolist()) == ([4, 5, 6, 7, 8], list(range(6, 13)))
    assert cut.any(0).all()


def test_randaugment_draws_as_timms():
    """Which operations, how often none, and the rotations' distribution, against 4,000 of timm's own."""
    layers = RandAugment()._layers(draw_table(0, 0, 40_000, RandAugment.columns))
    codes = np.stack([layer.code for layer in layers])
    assert (codes < 0).mean() == pytest.approx(0.5, abs=0.01)
    counts = np.bincount(codes[codes >= 0], minlength=len(NAMES))
    assert stats.chisquare(counts[counts > 0]).pvalue > 1e-3
    assert (counts > 0).sum() == len(timm._RAND_INCREASING_TRANSFORMS)
    random.seed(0)
    op = next(op for op in timm.rand_augment_transform("rand-m9-mstd0.5-inc1", {}).ops if op.name == "Rotate")
    theirs = []
    with pytest.MonkeyPatch.context() as patch:
        op.prob = 1.0
        op.aug_fn = lambda image, degrees, **_: theirs.append(degrees)
        patch.setattr(op, "magnitude_std", 0.5)
        for _ in range(4000):
            op(None)
    mine = layers[0].amount[codes[0] == NAMES.index("rotate")]
    assert stats.ks_2samp(mine, theirs).pvalue > 1e-3


@pytest.mark.parametrize("size", [(64, 64), (64, 41)])
def test_trivial_augment_is_torchvisions_operation(pil_images, size):
    """What torchvision makes of the same operation and magnitude, to a level."""
    policy, names = TrivialAugment(), {"autocontrast": "AutoContrast"}
    pil_images = [original.crop((0, 0, *size)) for original in pil_images]
    draws, images = draw_table(0, 0, 200, policy.columns), as_tensor(pil_images)
    applied = policy._operation(draws, *size[::-1])
    expected = []
    for original, code, amount in zip(pil_images, applied.code, applied.amount, strict=True):
        name = NAMES[code] if code >= 0 else "identity"
        title = names.get(name, "".join(part.title() for part in name.split("-")))
        if name in ("brightness", "color", "contrast", "sharpness"):
            amount -= 1  # noqa: PLW2901 - torchvision counts from 1
        if name.startswith("translate"):
            amount *= -size[name.endswith("y")]  # noqa: PLW2901 - and in pixels, the other way
        how = {"interpolation": InterpolationMode.BILINEAR, "fill": [0, 0, 0]}
        expected.append(torchvision._apply_op(original, title, round(float(amount), 6), **how))
    found = differences(policy(images, draws), expected)
    # torchvision shears by the tangent of an angle: a source on the very edge can fall to the other side.
    assert (found > 1).mean() < 1e-4
    assert (found > 0).mean() < 0.005
    assert len(set(applied.code)) == 14
    many = policy._operation(draw_table(0, 0, 40_000, policy.columns), *size[::-1])
    degrees = np.round(np.abs(many.amount[many.code == NAMES.index("rotate")]), 6)
    assert np.array_equal(np.unique(degrees), np.round(np.linspace(0, 135, 31), 6))
    assert stats.chisquare(np.unique(degrees, return_counts=True)[1]).pvalue > 1e-3
    assert sorted({describe_step(applied, i) == "" for i in range(200)}) == [False, True]


def test_jsd_views_are_the_clean_image_and_two_of_it():
    config, images = AugmentConfig("augmix-jsd"), some_bytes(20)
    augmentation = make_augmentation(config)
    draws = draw_table(0, 0, 20, augmentation.columns)
    views = augmentation(images, draws)
    assert views.shape == (20, 3, 3, 32, 48)
    assert torch.equal(views[:, 0], Crop(flip=True)(images, draws[:, :3]))
    once = make_augmentation(AugmentConfig("augmix"))
    assert torch.equal(views[:, 1], once(images, draws[:, : once.columns])[:, 0])
    second = np.concatenate([draws[:, :3], draws[:, once.columns :]], axis=1)
    assert torch.equal(views[:, 2], once(images, second)[:, 0])


def test_randaugment_makes_what_pillow_makes(pil_images):
    policy, images = RandAugment(), as_tensor(pil_images)
    draws = draw_table(0, 0, 200, policy.columns)
    expected = as_tensor([done_by_pillow(original, policy._layers(draws), i) for i, original in enumerate(pil_images)])
    assert (policy(images, draws).float() - expected.float()).abs().mean() < 0.02


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0.0), (0.0, 1.0), (0.8, 1.0)])
def test_mixing_blends_images_and_labels_alike(mixup, cutmix):
    mixing, draws = Mixing(mixup, cutmix), draw_table(0, 0, 4000, Mixing.columns)
    own, other = torch.full((4000, 3, 16, 24), 250, dtype=torch.uint8), torch.zeros(4000, 3, 16, 24, dtype=torch.uint8)
    mixed, share = mixing(own, other, draws)
    assert mixed.float().mean((1, 2, 3)) / 250 == pytest.approx(share.numpy(), abs=0.002)
    cut = torch.isin(mixed, torch.tensor([0, 250], dtype=torch.uint8)).flatten(1).all(1)
    if mixup and cutmix:
        assert cut.float().mean() == pytest.approx(0.5, abs=0.05)
    elif mixup:
        assert stats.kstest(share.numpy(), stats.beta(0.8, 0.8).cdf).pvalue > 1e-3
        assert (mixed.flatten(1) == mixed[:, 0, :1, 0]).all()  # evenly
    else:
        assert cut.all()
    targets = soft_labels(torch.tensor([1, 0]), torch.tensor([2, 0]), torch.tensor([0.75, 0.3]), 3)
    assert targets.tolist() == [[0, 0.75, 0.25], [1, 0, 0]]


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [1.5, 4.0])
def test_cutmix_cuts_rectangles_of_the_area_that_was_drawn(alpha):
    draws = draw_table(0, 0, 1500, Mixing.columns)
    draws[:, 3:] = 0.5  # in the middle, so that nothing lies outside
    own, other = (torch.full((1500, 1, 200, 100), value, dtype=torch.uint8) for value in (0, 1))
    mixed, share = Mixing(0, alpha)(own, other, draws)
    rows, columns = mixed[:, 0].any(2), mixed[:, 0].any(1)
    assert torch.equal(mixed[:, 0].bool(), rows[:, :, None] & columns[:, None, :])
    assert (rows.sum(1) - 2 * columns.sum(1)).abs().max() <= 1  # of the image's own shape
    assert stats.kstest(share.numpy(), stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    _, anywhere = Mixing(0, alpha)(own, other, draw_table(0, 0, 1500, Mixing.columns))
    assert (anywhere >= share - 1e-6).all()  # what lies outside is the image's own


def test_partners_are_spread_over_the_data_set():
    partners = Mixing(1, 0).partners(draw_table(0, 0, 50_000, 5), 100)
    assert stats.chisquare(np.bincount(partners, minlength=100)).pvalue > 1e-3


@pytest.mark.parametrize("config", CONFIGS, ids=list(POLICIES))
def test_views_are_described_by_what_was_done(config):
    images = some_bytes(6).permute(0, 2, 3, 1).numpy()
    rows = described_views(images[[4, 1]], np.array([4, 1]), config, 4)
    assert [len(row) for row in rows] == [4, 4]
    augmentation = make_augmentation(config)
    made, lines = [], []
    for epoch in range(4):
        draws = draw_table(0, epoch, 6, augmentation.columns)[[4, 1]]
        views = augmentation(torch.from_numpy(images[[4, 1]]).permute(0, 3, 1, 2), draws)
        made += views[1].permute(0, 2, 3, 1).numpy().tolist()
        lines += augmentation.describe(draws[1:], (32, 48))
    assert [picture.tolist() for picture, _ in rows[1]] == made[:4]
    assert [text for _, text in rows[1]] == lines[:4]
    draws = draw_table(0, 0, 6, augmentation.columns)[[4, 1]]
    if config.policy == "augmix":
        chosen = augmentation.shared[1].mixture(draws[:1, 3:])
        shown = " ".join(rows[0][0][1])
        for step in chosen.steps:
            assert all(describe_step(step, chain) in shown for chain in range(3))


def test_descriptions_name_operations_overlap_and_place():
    assert describe(AugmentConfig("augmix")) == (
        "augmix, severity 3, 3 chains of 1 to 3, alpha 1, operations timm (13), overlapping the test corruptions in"
        " color contrast brightness sharpness, at the image's own size"
    )
    strict = describe(AugmentConfig("augmix-strict", place="input"))
    assert strict.endswith("alpha 1, operations strict (9), at the network's input size")
    own = AugMixConfig(operations=("rotate", "color"), depth=2)
    assert "operations rotate color, overlapping the test corruptions in color," in describe(
        AugmentConfig("augmix", augmix=own)
    )
    assert describe(AugmentConfig(mixup=0.2, crop_size=60)) == (
        "basic, mixup 0.2, crops of 60 pixels, at the image's own size"
    )
    assert "random resized crop of 0.08 to 1, random erasing 0.25" in describe(AugmentConfig(scale=0.08, erasing=0.25))
    for policy, expected in (("classic", 3), ("trivial", 4), ("randaugment", 4), ("basic", 0)):
        overlap = describe(AugmentConfig(policy)).partition("overlapping the test corruptions in ")[2].partition(",")[0]
        assert len(overlap.split()) == expected


def test_what_the_report_says_of_fixed_policies_is_what_they_do():
    assert set(AugmentConfig("trivial").operations) == set(TrivialAugment.names)
    assert set(AugmentConfig("randaugment").operations) == set(RandAugment.names)
    assert {*ColorJitter.names, "rotate"} == set(AugmentConfig("classic").operations)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: AugmentConfig("augmx"), "unknown augmentation policy 'augmx'; did you mean augmix"),
        (lambda: AugMixConfig(operations=("rotat",)), "unknown operation 'rotat'; did you mean rotate"),
        (lambda: AugMixConfig(severity=10.5), "expected 0 to 10, found 10.5"),
        (lambda: AugMixConfig(severity=-1), "expected 0 to 10, found -1"),
        (lambda: AugMixConfig(severity=float("nan")), "expected 0 to 10, found nan"),
        (lambda: AugMixConfig(width=0), "width`: expected 1 to 32 chains, found 0"),
        (lambda: AugMixConfig(width=10**9), "width`: expected 1 to 32 chains, found 1000000000"),
        (lambda: AugMixConfig(width=2.5), "width`: expected 1 to 32 chains, found 2.5"),
        (lambda: AugMixConfig(depth=0), "depth`: expected 1 to 32, or -1"),
        (lambda: AugMixConfig(depth=10**9), "depth`: expected 1 to 32, or -1"),
        (lambda: AugmentConfig(place="nowhere"), "unknown place for augmentation 'nowhere'"),
        (lambda: AugmentConfig(cutmix=1e308), "`augment.cutmix`: expected 0 (none) to 1000, found 1e+308"),
        (lambda: AugmentConfig(crop_size=20.5), "expected a whole number above 0, found 20.5"),
        (
            lambda: make_augmentation(AugmentConfig(crop_size=40))(some_bytes(1), np.zeros((1, 3), np.float32)),
            "a crop of 40 x 40 pixels does not fit images of 32 x 48",
        ),
        (lambda: AugMixConfig(alpha=0), "expected 0.1 to 1000, found 0"),
        (lambda: AugmentConfig("augmix-jsd", mixup=0.2), "choose one of them"),
        (lambda: AugmentConfig("augmix-jsd", cutmix=0.2), "choose one of them"),
        (lambda: AugmentConfig(mixup=-0.1), "`augment.mixup`: expected 0 (none) to 1000, found -0.1"),
        (lambda: AugmentConfig(crop_size=0), "expected a whole number above 0, found 0"),
        (lambda: AugmentConfig("none", scale=0.08), "`augment.scale`: the policy none does not crop"),
        (lambda: AugmentConfig(scale=8), "`augment.scale`: expected a fraction of the area, above 0 to 1, found 8"),
        (lambda: AugmentConfig(scale=0), "`augment.scale`: expected a fraction of the area, above 0 to 1, found 0"),
        (lambda: AugmentConfig(erasing=25), "`augment.erasing`: expected a probability, 0 (none) to 1, found 25"),
        (lambda: AugmentConfig(scale=0.08, crop_size=32, place="input"), "to the network's input; leave it out"),
        (lambda: AugmentConfig("none", crop_size=32), "the policy none does not crop"),
        (lambda: AugmentConfig("basic", augmix=AugMixConfig(severity=5)), "changes nothing in basic"),
        (
            lambda: AugmentConfig("augmix-strict", augmix=AugMixConfig(operations=("rotate", "color"))),
            "augmix-strict` leaves out color",
        ),
        (lambda: AugmentConfig(crop_size=69).check_size(64, 80), "expected at most 68, since the images are 64 x 80"),
    ],
)
def test_bad_input_is_refused_in_one_line(make, says):
    with pytest.raises(UserError) as caught:
        make()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("config", CONFIGS, ids=list(POLICIES))
def test_no_images_give_none_and_other_things_are_refused(config):
    augmentation = make_augmentation(config)
    columns, views = augmentation.columns, len(augmentation.views)
    draws = draw_table(0, 0, 2, columns)
    assert augmentation(some_bytes(2)[:0], draws[:0]).shape == (0, views, 3, 32, 48)
    for images in (some_bytes(2).int(), some_bytes(2)[:, :1], some_bytes(2)[0]):
        with pytest.raises(ValueError, match=r"expected uint8 or float \(B, 3, H, W\), found"):
            augmentation(images, draws)
    with pytest.raises(ValueError, match="expected draws of shape"):
        augmentation(some_bytes(2), draw_table(0, 0, 2, columns + 1))


def test_crops_as_large_as_the_padding_allows_are_made():
    config = AugmentConfig(crop_size=68)
    config.check_size(64, 80)
    assert make_augmentation(config)(some_bytes(2, 64, 80), draw_table(0, 0, 2, 3)).shape == (2, 1, 3, 68, 68)


def test_every_operation_has_a_reference():
    assert set(NAMES) == {*EXACT, *CLOSE}


@pytest.mark.parametrize("rows", [1000, 10**9])
@pytest.mark.parametrize("columns", [1, 3, 5, 8, 51])
def test_single_rows_of_draws_are_those_of_the_whole_table(columns, rows):
    table, draws = draw_table(3, 2, 1000, columns), Draws(3, 2, rows, columns)
    assert (draws._table is None) == (rows > 1000)
    for chosen in (np.random.default_rng(1).permutation(1000)[:300], np.arange(7), np.array([999, 0, 0, 998])):
        assert np.array_equal(draws.rows(chosen), table[chosen])
