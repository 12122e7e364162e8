"""Corruptions against the published generator's pictures, draw for draw, and against its statistics."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, stats
from sklearn.datasets import load_sample_images

from doublevit.corruptions import COMMON, SEVERITIES, VALIDATION, textures
from doublevit.corruptions.apply import CORRUPTIONS, CorruptedImages, corrupt
from doublevit.corruptions.blur import disk
from doublevit.corruptions.config import IMAGENET, TINY, table_for
from doublevit.corruptions.draws import CorruptionDraws, to_normal, to_range, to_uniform
from doublevit.corruptions.noise import draw_counts
from doublevit.corruptions.textures import Textures
from doublevit.errors import UserError

EXACT = (
    "gaussian_noise", "speckle_noise", "shot_noise", "defocus_blur", "glass_blur", "gaussian_blur", "frost", "contrast",
    "saturate", "pixelate", "jpeg_compression",
)  # fmt: skip
SHARE_OFF = {"motion_blur": 0.005, "brightness": 0.004, "zoom_blur": 0.001}
OTHERWISE = 0.0005  # of values may be a level off
CELLS = [(name, severity) for name in CORRUPTIONS for severity in SEVERITIES]


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "golden" / "corruptions.npz", allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def ice(shared: Path) -> Textures:
    return textures.find(shared / "textures", Path("/nowhere"), download=False)


@pytest.fixture(scope="module")
def small() -> np.ndarray:
    """Ten images of 64 x 64, cut from scikit-learn's two."""
    images = [image[y : y + 256 : 4, x : x + 256 : 4] for image in load_sample_images().images for y in (0, 150)
              for x in (0, 130, 260, 380)]  # fmt: skip
    return np.stack(images)[:10]


def recorded(golden: dict[str, np.ndarray], name: str, severity: int, ice: Textures) -> dict[str, object]:
    """The golden draws, under the names that our functions take."""
    head = f"{name}/{severity}/"
    draws = {key.removeprefix(head): value for key, value in golden.items() if key.startswith(head)}
    draws.pop("out")
    return draws | ({"textures": ice} if CORRUPTIONS[name].wants_textures else {})


@pytest.mark.parametrize(("name", "severity"), [cell for cell in CELLS if cell[0] != "impulse_noise"])
def test_draw_for_draw_as_published(golden, ice, name, severity):
    constants, draws = TINY.constants[name][severity - 1], recorded(golden, name, severity, ice)
    ours = CORRUPTIONS[name].apply(golden["clean"], constants, **draws).astype(int)
    difference = np.abs(ours - golden[f"{name}/{severity}/out"])
    if name in EXACT:
        assert difference.max() == 0
    else:
        assert difference.max() <= 1
        assert (difference > 0).mean() <= SHARE_OFF.get(name, OTHERWISE)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_impulses_given_their_places(golden, severity):
    clean, out = golden["clean"], golden[f"impulse_noise/{severity}/out"]
    pepper, salt = (out == 0) & (clean != 0), (out == 255) & (clean != 255)
    ours = CORRUPTIONS["impulse_noise"].apply(
        clean, TINY.constants["impulse_noise"][severity - 1], pepper=pepper, salt=salt
    )
    assert np.array_equal(ours, out)


@pytest.mark.slow
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_statistics_as_published(shared, real_images, ice, name):
    import io

    from PIL import Image

    published = json.loads((shared / "golden" / "corruption_stats.json").read_text())["corruptions"]
    clean = np.stack([np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in real_images])
    # Which of five very different textures 300 images get moves frost by several percent: more seeds, less of that.
    seeds, tolerance = (range(6), 0.06) if name == "frost" else (range(1), 0.03)
    for severity in SEVERITIES:
        sets = (corrupt(clean, name, severity, seed, textures=ice).astype(float) for seed in seeds)
        found = np.mean([measures(clean.astype(float), out) for out in sets], axis=0)
        expected = [published[f"{name}/{severity}"][key] for key in MEASURES]
        assert found == pytest.approx(expected, rel=tolerance), f"severity {severity}"


MEASURES = ("mean", "mean_abs_change", "vertical_gradient", "horizontal_gradient")


def measures(clean: np.ndarray, out: np.ndarray) -> list[float]:
    gradients = (np.abs(np.diff(out, axis=axis)).mean() for axis in (1, 2))
    return [out.mean(), np.abs(out - clean).mean(), *gradients]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_picture_depends_on_seed_and_index_alone(small, name):
    whole = corrupt(small, name, 3, seed=5)
    order = np.array([7, 2, 9])
    assert np.array_equal(corrupt(small[order], name, 3, seed=5, indices=order), whole[order])
    parts = [corrupt(small[i : i + 1], name, 3, seed=5, indices=np.array([i])) for i in range(len(small))]
    assert np.array_equal(np.concatenate(parts), whole)
    random = CORRUPTIONS[name].draw.__name__ != "draw_nothing"
    assert np.array_equal(corrupt(small, name, 3, seed=6), whole) != random
    assert np.array_equal(corrupt(small[:1], name, 3, seed=5, indices=np.array([1])), whole[:1]) != random


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("size", [(64, 64), (32, 32), (33, 48), (224, 224)])
def test_every_size_and_severity(small, name, size):
    image = np.kron(small[:2], np.ones((1, 4, 4, 1), np.uint8))[:, : size[0], : size[1]]
    kept = image.copy()
    changes = []
    for severity in SEVERITIES:
        out = corrupt(image, name, severity)
        assert out.shape == image.shape
        assert out.dtype == np.uint8
        changes.append(np.abs(out.astype(int) - image).mean())
    assert np.array_equal(image, kept)
    assert changes[0] > 0
    if name in GROWING:
        assert changes == sorted(changes)


GROWING = ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "gaussian_blur", "contrast", "zoom_blur")


def test_negative_seeds_and_indices(small):
    with pytest.raises(ValueError, match="seed and indices of 0 or more"):
        corrupt(small, "fog", 1, seed=-1)
    with pytest.raises(ValueError, match="seed and indices of 0 or more"):
        corrupt(small[:1], "fog", 1, indices=np.array([-1]))


def test_no_images():
    assert corrupt(np.empty((0, 64, 64, 3), np.uint8), "snow", 1).shape == (0, 64, 64, 3)


def test_constants_are_chosen_by_size():
    assert table_for(64, 64) is TINY
    assert table_for(127, 300) is TINY
    assert table_for(300, 128) is IMAGENET
    assert table_for(224, 224) is IMAGENET
    assert TINY.constants.keys() == IMAGENET.constants.keys() == CORRUPTIONS.keys() == {*COMMON, *VALIDATION}
    assert all(len(rows) == 5 for table in (TINY, IMAGENET) for rows in table.constants.values())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("snow", 0), "severity: expected 1 .weakest. to 5, found 0"),
        (("snow", 6), "severity: expected 1 .weakest. to 5, found 6"),
        (("snoww", 1), "did you mean snow"),
        (("gausian_noise", 1), "did you mean gaussian_noise"),
    ],
)
def test_what_there_is_not(small, arguments, words):
    with pytest.raises(UserError, match=words):
        corrupt(small, *arguments)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((2, 64, 64, 3), np.float32), r"uint8 \(N, H, W, 3\), found float32"),
        (np.zeros((2, 3, 64, 64), np.uint8), r"found uint8 \(2, 3, 64, 64\)"),
        (np.zeros((64, 64, 3), np.uint8), r"found uint8 \(64, 64, 3\)"),
        (np.zeros((2, 31, 64, 3), np.uint8), "64 x 31 pixels are smaller than the corruptions' kernels"),
    ],
)
def test_what_is_no_image(images, words):
    with pytest.raises(UserError, match=words):
        corrupt(images, "fog", 1)
    with pytest.raises(UserError, match=words):
        CorruptedImages(images, "fog", 1, 0, textures.generated())


def test_frost_is_enlarged_for_images_that_leave_it_no_room(small):
    random = np.random.default_rng(0)
    ice = Textures("small", tuple(random.integers(0, 256, (60, 90, 3), dtype=np.uint8) for _ in range(5)))
    for side, least in ((17, 18), (18, 27), (64, 96), (40, 60)):  # 60 * 0.3 is 18, of which an image of 17 has room
        pictures = ice.for_images(0.3, side, side)
        assert min(picture.shape[0] for picture in pictures) == least
        assert pictures == ice.scaled(0.3 * least / 18)
    assert ice.for_images(0.3, 10, 54)[0].shape[:2] == (54, 81)  # 27 wide as published: by the width
    made = corrupt(small, "frost", 1, textures=ice)
    assert made.shape == small.shape
    assert np.array_equal(made, CorruptedImages(small, "frost", 1, 0, ice)[np.arange(len(small))])
    assert not np.array_equal(made, small)


@pytest.mark.parametrize("side", [224, 359, 360, 384])
def test_frost_at_the_sizes_of_networks(side):
    """As published below 360 pixels of the generated textures; ice is as large in the image from there on."""
    pictures = textures.generated().for_images(1, side, side)
    assert pictures[0].shape == ((360, 540, 3) if side < 360 else (1.5 * side, 2.25 * side, 3))
    images = np.full((2, side, side, 3), 90, np.uint8)
    made = corrupt(images, "frost", 3)
    assert made.std() > 10
    assert not np.array_equal(made[0], made[1])


def test_corrupted_images_are_as_good_as_an_array(small):
    lazy = CorruptedImages(small, "shot_noise", 2, 3, textures.generated())
    whole = corrupt(small, "shot_noise", 2, 3)
    assert lazy.shape == whole.shape
    assert len(lazy) == len(whole)
    for which in (slice(None), slice(2, 7, 2), np.array([3, 3, 0]), 4, -1):
        assert np.array_equal(lazy[which], whole[which])


def test_words_are_drawn_apart():
    def words(seed=1, name="fog", severity=1, index=4, count=64):
        return CorruptionDraws(seed, name, severity, np.array([index])).words(count)[0]

    same = words()
    assert np.array_equal(same, words())
    assert np.array_equal(same[:20], words(count=20))
    others = [words(seed=2), words(name="snow"), words(severity=2), words(index=5)]
    assert all(not np.isin(other, same).any() for other in others)


def test_distributions_of_draws():
    words = CorruptionDraws(0, "fog", 1, np.arange(50)).words(4000)
    uniform, normal = to_uniform(words).ravel(), to_normal(words).ravel()
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert stats.kstest(uniform, "uniform").pvalue > 1e-3
    assert stats.kstest(normal, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(normal[:-1], normal[1:])[0, 1]) < 0.01
    ranged = to_range(words, -45, 45)
    assert -45 <= ranged.min() < -44.9
    assert 44.9 < ranged.max() < 45
    assert np.isfinite(to_normal(np.zeros((1, 4), np.uint32))).all()  # the logarithm of nothing


@pytest.mark.parametrize("photons", [250, 15, 3])
@pytest.mark.parametrize("level", [1, 40, 255])
def test_counts_are_poisson(photons, level):
    images = np.full((60, 64, 64, 3), level, np.uint8)
    counts = draw_counts(CorruptionDraws(0, "shot_noise", 1, np.arange(60)), images, (photons,))["counts"].ravel()
    expected = stats.poisson(level / 255 * photons)
    edges = np.unique(expected.ppf(np.linspace(0.001, 0.999, 20)))
    found = np.histogram(counts, [-1, *edges + 0.5, np.inf])[0]
    shares = np.diff([0, *expected.cdf(edges), 1])
    assert stats.chisquare(found[shares > 0], shares[shares > 0] * counts.size).pvalue > 1e-3


def test_black_catches_no_photons():
    images = np.zeros((4, 64, 64, 3), np.uint8)
    assert not draw_counts(CorruptionDraws(0, "shot_noise", 1, np.arange(4)), images, (250,))["counts"].any()


def test_plasma_is_the_published_recursion():
    """Diamonds and squares written out, pixel by pixel, for one small map."""
    from doublevit.corruptions.weather import plasma_fractal

    side, decay = 8, 2.0
    uniform = np.random.default_rng(0).uniform(-1, 1, (1, side**2 - 1)).astype(np.float32)
    heights, draws = np.zeros((side, side)), iter(uniform[0].tolist())
    step, wibble = side, 100.0
    while step >= 2:
        half = step // 2
        cells = list(itertools.product(range(0, side, step), repeat=2))
        at = lambda y, x: heights[y % side, x % side]  # noqa: E731
        for y, x in cells:
            mean = (at(y, x) + at(y + step, x) + at(y, x + step) + at(y + step, x + step)) / 4
            heights[y + half, x + half] = mean + wibble**2 * next(draws)
        for y, x in cells:
            mean = (at(y + half, x + half) + at(y - half, x + half) + at(y, x) + at(y, x + step)) / 4
            heights[y, x + half] = mean + wibble**2 * next(draws)
        for y, x in cells:
            mean = (at(y + half, x + half) + at(y + half, x - half) + at(y, x) + at(y + step, x)) / 4
            heights[y + half, x] = mean + wibble**2 * next(draws)
        step, wibble = half, wibble / decay
    heights -= heights.min()
    assert plasma_fractal(uniform, side, decay)[0] == pytest.approx(heights / heights.max(), abs=1e-4)


def test_published_quirks(small):
    """What the generator does, though it may not have been meant."""
    from doublevit.corruptions.blur import draw_shifts
    from doublevit.corruptions.weather import draw_crops

    for severity in SEVERITIES:
        constants = TINY.constants["glass_blur"][severity - 1]
        shifts = draw_shifts(CorruptionDraws(0, "glass_blur", severity, np.arange(10)), small, constants)["shifts"]
        reach = int(constants[1])
        assert set(np.unique(shifts)) == set(range(-reach, reach))  # never to the right by the whole reach
    crops = draw_crops(
        CorruptionDraws(0, "frost", 1, np.arange(2000)), small[:1].repeat(2000, 0), (1, 0.3, 0.3), textures.generated()
    )
    assert set(crops["texture"]) == {0, 1, 2, 3, 4}
    assert "frost6.jpg" not in textures.PUBLISHED  # never drawn
    flat = np.full((1, 64, 64, 3), 201, np.uint8)
    assert (CORRUPTIONS["gaussian_noise"].apply(flat, (), noise=np.float64(0.9 / 255)) == 201).all()  # cut off


class TestTextures:
    def test_published_ones_are_known_by_their_bytes(self, shared, tmp_path):
        assert textures.find(shared / "textures", tmp_path, download=False).name == "published textures"
        for name in textures.PUBLISHED:
            (tmp_path / name).write_bytes((shared / "textures" / name).read_bytes())
        first, second = tmp_path / "frost1.png", tmp_path / "frost2.png"
        first.write_bytes(second.read_bytes())
        name = textures.find(tmp_path, tmp_path, download=False).name
        assert re.fullmatch(rf"textures \w{{8}} from {tmp_path.name}", name)
        second.write_bytes((shared / "textures" / "frost4.jpg").read_bytes())
        assert textures.find(tmp_path, tmp_path, download=False).name != name

    def test_without_any_they_are_generated_and_say_so(self, tmp_path):
        ice = textures.find(None, tmp_path, download=False)
        assert ice.name == "generated textures"
        assert all(picture.std() > 15 for picture in ice.pictures)

    def test_a_folder_that_lacks_one(self, tmp_path):
        with pytest.raises(UserError, match=r"found no frost1.png"):
            textures.find(tmp_path, tmp_path, download=False)

    def test_one_that_is_no_picture(self, tmp_path):
        for name in textures.PUBLISHED:
            (tmp_path / name).write_bytes(b"no picture")
        with pytest.raises(UserError, match="no readable picture"):
            textures.find(tmp_path, tmp_path, download=False)


# Large images, for which there are no recorded pictures: against the published steps, written out.


@pytest.fixture(scope="module")
def large(small: np.ndarray) -> np.ndarray:
    """One image of 224 x 224."""
    return load_sample_images().images[0][None, 100:324, 200:424]


def drawn(name: str, severity: int, images: np.ndarray) -> tuple[tuple[float, ...], dict[str, np.ndarray]]:
    constants = IMAGENET.constants[name][severity - 1]
    return constants, CORRUPTIONS[name].draw(
        CorruptionDraws(0, name, severity, np.arange(len(images))), images, constants
    )


def off(ours: np.ndarray, other: np.ndarray) -> tuple[int, float]:
    """The largest difference, and the share of values that differ."""
    difference = np.abs(ours.astype(int) - other.astype(int))
    return int(difference.max()), float((difference > 0).mean())


@pytest.mark.parametrize("severity", [3, 5])
def test_glass_of_large_images_step_by_step(large, severity):
    constants, draws = drawn("glass_blur", severity, large)
    deviation, reach, iterations = constants[0], int(constants[1]), int(constants[2])
    smooth = lambda x: ndimage.gaussian_filter(x / 255.0, (deviation, deviation, 0), mode="nearest") * 255  # noqa: E731
    image, shifts = smooth(large[0]).astype(np.uint8), iter(draws["shifts"][0].tolist())
    for _ in range(iterations):
        for row, column in itertools.product(range(224 - reach, reach, -1), repeat=2):
            dx, dy = next(shifts)
            image[row, column] = image[row + dy, column + dx]
    assert off(corrupt(large, "glass_blur", severity)[0], smooth(image).astype(np.uint8)) == (0, 0)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_defocus_of_large_images_is_a_correlation_with_a_disk(large, severity):
    radius, deviation = IMAGENET.constants["defocus_blur"][severity - 1]
    reach, width = max(8, radius), 1 if radius <= 8 else 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = (x**2 + y**2 <= radius**2).astype(float)
    edge = np.exp(-(np.arange(-width, width + 1) ** 2) / (2 * deviation**2))
    soft = np.outer(edge, edge) / edge.sum() ** 2
    kernel = ndimage.correlate(kernel / kernel.sum(), soft, mode="mirror")
    ours = disk(radius, deviation)
    empty = (len(kernel) - len(ours)) // 2
    assert np.pad(ours, empty) == pytest.approx(kernel, abs=1e-7)
    expected = ndimage.correlate(large[0].astype(float), kernel[..., None], mode="mirror")
    largest, share = off(corrupt(large, "defocus_blur", severity)[0], np.clip(expected, 0, 255).astype(np.uint8))
    assert largest <= 1
    assert share <= 0.03  # the published kernel is float32: where a sum is whole, it decides what is cut off


@pytest.mark.parametrize(("severity", "index"), [(1, 0), (2, 0), (2, 675), (5, 0)])
def test_elastic_of_large_images_by_scipy(large, severity, index):
    """Also where corners are moved so far (image 675) that places lie more than two sides out."""
    farthest, deviation, reach = IMAGENET.constants["elastic_transform"][severity - 1]
    draws = CorruptionDraws(0, "elastic_transform", severity, np.array([index]))
    found = CORRUPTIONS["elastic_transform"].draw(draws, large, (farthest, deviation, reach))
    points = 112 + 74 * np.array([[1, 1], [1, -1], [-1, -1]])
    back = np.linalg.solve(np.c_[points + found["corners"][0].astype(float), np.ones(3)], points)
    rows, columns = np.mgrid[:224, :224].astype(float)
    there = np.stack([columns, rows, np.ones_like(rows)], -1) @ back
    warp = lambda image, y, x, mode: np.stack(  # noqa: E731
        [ndimage.map_coordinates(image[..., color], [y, x], order=1, mode=mode) for color in range(3)], -1
    )
    image = warp(large[0].astype(float), there[..., 1], there[..., 0], "mirror")
    across, down = (
        ndimage.gaussian_filter(found[name][0].astype(float), deviation, mode="reflect", truncate=3) * farthest
        for name in ("dx", "dy")
    )
    image = warp(image, rows + down, columns + across, "reflect")
    ours = corrupt(large, "elastic_transform", severity, indices=np.array([index]))[0]
    largest, share = off(ours, np.clip(image + 1e-4, 0, 255).astype(np.uint8))
    assert largest <= 1
    assert share <= 0.01


def test_fog_of_large_images_is_the_corner_of_a_larger_map(large):
    from doublevit.corruptions.weather import plasma_fractal

    constants, draws = drawn("fog", 4, large)
    words = CorruptionDraws(0, "fog", 4, np.arange(1)).words(256**2 - 1)
    heights = plasma_fractal(to_range(words, -1, 1), 256, constants[1])
    assert np.array_equal(draws["plasma"], heights[:, :224, :224])
    brightest = large.max() / 255
    expected = (large[0] / 255 + constants[0] * heights[0, :224, :224, None]) * brightest / (brightest + constants[0])
    assert off(corrupt(large, "fog", 4)[0], (np.clip(expected, 0, 1) * 255).astype(np.uint8))[0] <= 1


@pytest.mark.parametrize("severity", [1, 4, 5])
def test_zoom_of_large_images_by_scipy(large, severity):
    stop, step = IMAGENET.constants["zoom_blur"][severity - 1]
    factors = np.arange(1, stop, step)
    total = large[0].astype(float)
    for factor in factors:
        kept = int(np.ceil(224 / factor))
        start = (224 - kept) // 2
        piece = large[0, start : start + kept, start : start + kept].astype(float)
        zoomed = ndimage.zoom(piece, (factor, factor, 1), order=1)
        trim = (zoomed.shape[0] - 224) // 2
        total += zoomed[trim : trim + 224, trim : trim + 224]
    largest, share = off(corrupt(large, "zoom_blur", severity)[0], (total / (len(factors) + 1)).astype(np.uint8))
    assert largest <= 1
    assert share <= 0.002


def test_crops_of_frost_never_begin_at_the_last_place(small):
    ice = Textures("barely larger", tuple(np.zeros((220, 219, 3), np.uint8) for _ in range(5)))  # 66 x 66 when scaled
    crops = CORRUPTIONS["frost"].draw(
        CorruptionDraws(0, "frost", 1, np.arange(500)), small[:1].repeat(500, 0), (1, 0.3, 0.3), ice
    )
    assert set(crops["row"]) == {0, 1}
    assert set(crops["column"]) == {0, 1}


def test_drops_where_there_are_none():
    """Liquid that nowhere reaches the threshold: the published generator divides 0 by 0, ours leaves the image."""
    flat = np.full((1, 64, 64, 3), 90, np.uint8)
    out = CORRUPTIONS["spatter"].apply(flat, TINY.constants["spatter"][0], liquid=np.zeros((1, 64, 64), np.float32))
    assert np.array_equal(out, flat)
