"""Random resized crop and random erasing: boxes as torchvision and timm draw them, pixels as Pillow resizes them."""

import dataclasses
import io
import random

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from timm.data.random_erasing import RandomErasing
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms.v2 import functional

from doublevit import data
from doublevit.augment.classic import Placement
from doublevit.augment.config import POLICIES, AugmentConfig
from doublevit.augment.draws import draw_table
from doublevit.augment.erasing import Erasing
from doublevit.augment.policies import described_views, make_augmentation
from doublevit.augment.resized_crop import ResizedCrop
from doublevit.data.batches import gather
from doublevit.data.stores import fast
from doublevit.geometry import Geometry, to_square, window_of
from doublevit.images import Region, Regions
from doublevit.regions import resize_regions


def smooth(height: int, width: int, seed: int = 0) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return Image.fromarray(levels).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("size", [(64, 64), (40, 90)])
@pytest.mark.parametrize("scale", [0.08, 0.5])
def test_boxes_are_distributed_as_torchvisions(size, scale):
    torch.manual_seed(0)
    image = torch.zeros(3, *size)
    theirs = np.array([RandomResizedCrop.get_params(image, [scale, 1], [3 / 4, 4 / 3]) for _ in range(1000)])
    boxes = ResizedCrop(scale).boxes(draw_table(0, 0, 20_000, ResizedCrop.columns), size)
    assert (boxes[:, 2:] > 0).all()
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= size).all()
    for column in range(4):
        assert stats.ks_2samp(boxes[:, column], theirs[:, column]).pvalue > 1e-3
    for quantity in (np.multiply, np.divide):  # area and ratio of sides
        assert stats.ks_2samp(quantity(*boxes.T[2:]), quantity(*theirs.T[2:])).pvalue > 1e-3


@pytest.mark.parametrize("size", [(10, 100), (100, 10), (33, 33)])
def test_where_no_try_fits_the_box_is_torchvisions_in_the_center(size):
    draws = np.full((1, ResizedCrop.columns), 0.9, np.float32)
    draws[:, 1::2] = 0.0  # the least ratio, which no square of the whole area has
    expected = RandomResizedCrop.get_params(torch.zeros(3, *size), [1.0, 1.0], [3 / 4, 4 / 3])
    if size == (33, 33):
        expected = (0, 0, 33, 33)
    assert tuple(ResizedCrop(1.0).boxes(draws, size)[0]) == expected


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("side", [20, 64])
def test_regions_are_resized_as_torchvision_resizes_crops_of_pillow(interpolation, side):
    images = [smooth(64, 64, seed) for seed in range(40)]
    boxes = ResizedCrop(0.08).boxes(draw_table(0, 0, 40, ResizedCrop.columns), (64, 64))
    mode = InterpolationMode(interpolation)
    expected = [
        np.asarray(functional.resized_crop(image, *box, [side, side], mode))
        for image, box in zip(images, boxes.tolist(), strict=True)
    ]
    made = resize_regions(np.stack([np.asarray(image) for image in images]), Regions(boxes, side, interpolation))
    difference = np.abs(made.astype(int) - np.stack(expected))
    assert difference.max() <= 2
    assert (difference > 1).mean() < 1e-4
    assert (difference > 0).mean() < 0.02


GEOMETRY = Geometry(side=32, crop=0.8)
REGIONS = [
    Region(3, 5, 20, 15, 32, "bicubic"),  # scaled up from the square, not from the file
    Region(0, 0, 32, 32, 32, "bilinear"),
    Region(1, 0, 31, 32, 16, "bicubic"),
    Region(10, 30, 1, 1, 8, "bilinear"),
]


def decoded(image: Image.Image, region: Region | None) -> np.ndarray:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=95)

    def plan(height, width):
        return window_of(height, width, 0, geometry=GEOMETRY)

    def exact(content):
        return to_square(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")), GEOMETRY)

    return fast.decode_fast(content.getvalue(), region, plan=plan, exact=exact)


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("size", [(50, 70), (300, 200), (700, 900)])
def test_a_region_is_pillows_crop_of_the_whole_file_resized(region, size):
    """To a level; where it is decoded smaller, to four. The box is the region to the nearest pixel that was decoded."""
    image, window = smooth(*size), window_of(*size, geometry=GEOMETRY)
    rows, columns, factor = fast.source_of(size, window, region)
    scale = size[0] / window.height
    ideal = [(window.top + region.top) * scale, (window.top + region.top + region.height) * scale]
    assert np.abs(np.array(rows) * factor - ideal).max() <= max(factor / 2, scale)
    content = io.BytesIO()
    image.save(content, "JPEG", quality=95)
    box = np.array([columns[0], rows[0], columns[1], rows[1]]) * factor
    mode = Image.Resampling[region.interpolation.upper()]
    expected = Image.open(content).crop(tuple(box.tolist())).resize((region.side, region.side), mode)
    difference = np.abs(decoded(image, region).astype(int) - np.asarray(expected))
    assert difference.max() <= (1 if factor == 1 else 4)
    assert difference.mean() < 0.7


def test_what_is_no_plain_jpeg_is_cut_out_of_its_square():
    region, image, content = REGIONS[2], smooth(90, 70), io.BytesIO()
    image.save(content, "PNG")
    square = to_square(np.asarray(image), GEOMETRY)
    made = fast.decode_fast(content.getvalue(), region, plan=window_of, exact=lambda _: square)
    expected = Image.fromarray(square[1:32, 0:32]).resize((16, 16), Image.Resampling.BICUBIC)
    assert np.abs(made.astype(int) - np.asarray(expected)).max() <= 1


def test_boxes_of_erasing_are_distributed_as_timms():
    random.seed(0)
    theirs = []
    erase = RandomErasing(1.0, mode="const", device="cpu")
    for _ in range(1000):
        image = torch.ones(3, 40, 64)
        erase(image)
        rows, columns = (image[0] == 0).any(1).nonzero(), (image[0] == 0).any(0).nonzero()
        theirs.append((rows[0].item(), columns[0].item(), len(rows), len(columns)))
    boxes = Erasing(0.25).boxes(draw_table(0, 0, 40_000, Erasing.columns), (40, 64))
    erased = boxes[boxes[:, 2] > 0]
    assert len(erased) / len(boxes) == pytest.approx(0.25, abs=0.01)
    for column in range(4):
        assert stats.ks_2samp(erased[:, column], np.array(theirs)[:, column]).pvalue > 1e-3


def test_erasing_writes_noise_of_imagenets_mean_and_deviation_into_the_box_alone():
    images, erasing = torch.full((300, 3, 40, 64), 7, dtype=torch.uint8), Erasing(0.5)
    draws = draw_table(0, 0, 300, erasing.columns)
    made, boxes = erasing(images, draws), erasing.boxes(draws, (40, 64))
    noise = []
    for image, (top, left, height, width) in zip(made, boxes.tolist(), strict=True):
        noise.append(image[:, top : top + height, left : left + width].reshape(3, -1).clone())
        image[:, top : top + height, left : left + width] = 7
        assert (image == 7).all()
    levels = torch.cat(noise, dim=1).double()
    assert levels.mean(1).tolist() == pytest.approx([0.485 * 255, 0.456 * 255, 0.406 * 255], abs=1.5)
    assert levels.std(1).tolist() == pytest.approx([0.229 * 255, 0.224 * 255, 0.225 * 255], abs=2.5)  # clipped
    assert np.abs(np.corrcoef(levels[:, :-1], levels[:, 1:])[:3, 3:]).max() < 0.02  # of neighbors
    assert np.abs(np.corrcoef(levels)[np.triu_indices(3, 1)]).max() < 0.02  # of channels
    alone = [part.flatten().tolist() for part in noise if part.shape[1] > 10]
    assert len({tuple(part[:30]) for part in alone}) == len(alone)


def test_erased_views_leave_the_first_of_three_clean():
    images = torch.zeros(30, 3, 32, 32, dtype=torch.uint8)
    augmentation = make_augmentation(AugmentConfig("augmix-jsd", erasing=1.0))
    views = augmentation(images, draw_table(0, 0, 30, augmentation.columns))
    assert not views[:, 0].any()
    assert all(view.any() for view in views[:, 1:].flatten(0, 1))


def test_every_policy_takes_resized_crops_at_any_size():
    images = np.stack([np.asarray(smooth(32, 48, seed)) for seed in range(4)])
    for policy in POLICIES:
        if policy == "none":
            continue
        config = AugmentConfig(policy, scale=0.08, crop_size=24, erasing=0.5)
        augmentation = make_augmentation(config)
        rows = described_views(images, np.arange(4), config, len(augmentation.views))
        draws = draw_table(0, 0, 4, augmentation.columns)
        boxes = augmentation.boxes(draws, (32, 48))
        regions = torch.from_numpy(resize_regions(images, Regions(boxes, 24, "bicubic"))).permute(0, 3, 1, 2)
        made = augmentation(regions, draws)
        assert made.shape == (4, len(augmentation.views), 3, 24, 24)
        for row, views, (top, left, height, width) in zip(rows, made, boxes.tolist(), strict=True):
            assert [image.tolist() for image, _ in row] == views.permute(0, 2, 3, 1).tolist()
            assert row[0][1][0] == f"crop of {width} x {height} at x {left}, y {top}"
        mirrored = torch.from_numpy(draws[:, ResizedCrop.columns] < 0.5)
        if policy == "augmix-jsd":
            assert torch.equal(made[mirrored, 0], regions[mirrored].flip(3))
            assert torch.equal(made[~mirrored, 0], regions[~mirrored])


def test_classic_turns_resized_crops_without_cropping_them_again():
    placement, images = Placement(padded=False), torch.from_numpy(np.array(smooth(32, 48))).permute(2, 0, 1)[None]
    draws = np.array([[0.0, 0.0, 0.9, 0.1, 0.5]], np.float32)  # upside down
    assert torch.equal(placement(images, draws), images.flip(2))


def test_a_store_that_stays_encoded_gathers_the_regions_that_a_decoded_one_does(tmp_path):
    for index in range(6):
        folder = tmp_path / "photos" / ("train" if index < 4 else "val") / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        smooth(200 + 40 * index, 260, index).save(folder / f"{index}.jpg", quality=95)
    config = data.DataConfig("folder", tmp_path / "photos", cache=tmp_path / "cache", size=32, crop=0.8, margin=3)
    regions = Regions(ResizedCrop(0.08).boxes(draw_table(0, 0, 3, ResizedCrop.columns), (38, 38)), 32, "bicubic")
    chosen, made = np.array([3, 0, 2]), []
    for kind in ("decoded", "encoded", "none"):
        batch = gather(data.load(dataclasses.replace(config, store=kind))["train"], chosen, regions)
        assert batch.indices.tolist() == [3, 0, 2]
        made.append(batch.images.permute(0, 2, 3, 1).numpy().astype(int))
    whole = [np.abs(image - made[0]).mean() for image in made[1:]]
    assert max(whole) < 12  # sharper, not elsewhere: a pixel to the side makes twice that
    assert np.array_equal(made[1], made[2])
    assert np.abs(np.roll(made[1], 2, axis=2) - made[0]).mean() > 2 * max(whole)
