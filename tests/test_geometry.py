"""How images become square: timm's own transform to the bit, the checkpoint's by default, older runs' as before."""

import dataclasses
import json
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config

import doublevit
from conftest import random_image
from doublevit import data, geometry
from doublevit.augment import AugmentConfig
from doublevit.cli import main
from doublevit.data import DataConfig
from doublevit.errors import UserError
from doublevit.geometry import Geometry, to_square
from doublevit.images import WithoutMargin, checksums
from doublevit.jobs.export import export
from doublevit.jobs.geometry import geometry_of_checkpoint, scaling_warning, with_geometry
from doublevit.jobs.open_model import open_model
from doublevit.jobs.wrap import wrap
from doublevit.models.config import ModelConfig
from doublevit.recipes import Recipe, from_dict, to_dict
from doublevit.recipes.named import get_recipe
from doublevit.runs.folder import RunFolder
from doublevit.runs.model_info import ModelInfo, Normalization, parse_info
from doublevit.runs.training_data import count_trained_on, write_trained_images

SIZES = ((300, 200), (97, 341), (224, 224), (248, 249), (250, 248), (31, 60), (500, 20), (225, 999))
VIT = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
TIMM_MODES = {"crop": "center", "squash": "squash", "pad": "border"}


def image_of(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.asarray(random_image(np.random.default_rng([seed, *size]), size))


def by_timm(image: np.ndarray, of: Geometry) -> np.ndarray:
    transform = create_transform(
        (3, of.side, of.side),
        mean=tuple(value / 255 for value in of.fill),
        interpolation=of.interpolation,
        crop_pct=of.crop,
        crop_mode=TIMM_MODES[of.fit],
        normalize=False,
    )
    pixels: torch.Tensor = transform(Image.fromarray(image))
    return pixels.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("crop", [0.875, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_pixels_are_those_of_timms_transform(fit, crop, interpolation):
    for side in (64, 224, 225):
        of = Geometry(side=side, fit=fit, crop=crop, interpolation=interpolation, fill=(124, 116, 104))
        for size in SIZES:
            assert np.array_equal(to_square(image_of(size), of), by_timm(image_of(size), of)), (side, size)


@pytest.mark.slow
@pytest.mark.parametrize("name", [VIT, "deit_tiny_patch16_224.fb_in1k"])
def test_logits_are_those_of_timms_transform(shared, photos, name):
    model = open_model(f"timm:{name}", weights=str(shared / "weights"))
    network = model.network.network
    transform = create_transform(**resolve_data_config({}, model=network, use_test_size=True))
    images = [np.asarray(Image.open(path).convert("RGB")) for path in photos[:24]]
    assert sum(image.shape[0] != image.shape[1] for image in images) > 12
    with torch.inference_mode():
        expected = network(torch.stack([transform(Image.fromarray(image)) for image in images]))
        pixels = np.stack([model.prepare(image) for image in images])
        assert torch.allclose(model(torch.from_numpy(pixels).permute(0, 3, 1, 2)), expected, atol=1e-4, rtol=0)


@pytest.fixture
def photos(shared: Path, tmp_path: Path) -> list[Path]:
    import tarfile

    archive = shared / "data" / "imagenet-400.tar"
    if not archive.is_file():
        pytest.skip("imagenet-400.tar is not there")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path, filter="data")
    return sorted(path for path in tmp_path.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))


def test_older_runs_keep_their_geometry():
    for size in SIZES:
        image = image_of(size)
        height, width = image.shape[:2]
        scale = 224 / min(height, width)
        new_width, new_height = max(224, round(width * scale)), max(224, round(height * scale))
        left, top = (new_width - 224) // 2, (new_height - 224) // 2
        resized = Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BICUBIC)
        expected = np.asarray(resized.crop((left, top, left + 224, top + 224)))
        assert np.array_equal(to_square(image, Geometry(side=224, fit="older")), expected)


def test_only_the_middle_of_a_long_image_is_resized(monkeypatch):
    differences = []
    for size in ((40, 2000), (2000, 40), (900, 30), (30, 901), (400, 500), (700, 100)):
        for of in (
            Geometry(side=64, crop=0.9),
            Geometry(side=96, interpolation="bilinear"),
            Geometry(side=64, fit="older"),
            Geometry(side=64, fit="pad", crop=0.9, fill=(9, 8, 7)),
        ):
            margin = 16 * (of.fit == "crop")  # wider than what is cut off, so that there are borders too
            whole = to_square(image_of(size), of, margin).astype(int)
            monkeypatch.setattr(geometry, "MAX_RESIZED", 0)
            differences.append(np.abs(to_square(image_of(size), of, margin) - whole))
            monkeypatch.undo()
    assert max(difference.max() for difference in differences) <= 2
    assert np.mean([np.count_nonzero(difference) / difference.size for difference in differences]) < 1e-3


@pytest.mark.parametrize("shape", [(1, 30_000), (30_000, 1), (2, 4_000_000)])
def test_a_strip_takes_neither_time_nor_memory(shape):
    strip = np.broadcast_to(np.arange(shape[1], dtype=np.uint8)[None, :, None], (*shape, 3)).copy()
    start = time.perf_counter()
    square = to_square(strip, Geometry(side=224))
    assert time.perf_counter() - start < 3  # 24 s when all of it was resized
    assert square.shape == (224, 224, 3)
    middle = strip[shape[0] // 2, shape[1] // 2]
    assert np.abs(square[112, 112].astype(int) - middle).max() <= 2 or shape[1] > 1e6


def test_training_images_have_the_validation_image_in_their_middle():
    for size in ((300, 200), (225, 999), (224, 224), (248, 249)):
        of = Geometry(side=224, crop=0.9)
        wide = to_square(image_of(size), of, margin=12)
        assert wide.shape == (248, 248, 3)
        assert np.array_equal(wide[12:-12, 12:-12], to_square(image_of(size), of))
        assert wide[0].any()  # nothing outside the image


def test_a_checkpoint_says_how_it_was_evaluated():
    assert geometry_of_checkpoint(ModelConfig("vit-ti16")) == Geometry(side=224, crop=0.9, fill=(128, 128, 128))
    deit = Geometry(side=384, crop=0.9, fill=(124, 116, 104))
    assert geometry_of_checkpoint(ModelConfig("deit-ti16", image_size=384)) == deit
    own = wrap(timm.create_model("resnet18.a1_in1k", pretrained=False)).info.geometry
    assert (own.side, own.crop) == (288, 1.0)  # as timm's validate.py: its test_input_size, where there is one


def recipe_of(path: Path, augment: str = "basic", **options) -> Recipe:
    config = DataConfig("folder", path, cache=path.parent / "cache", **options)
    return Recipe("r", "", data=config, model=ModelConfig("vit-ti16"), augment=AugmentConfig(augment))


@pytest.mark.parametrize(
    ("augment", "options", "expected"),
    [
        ("basic", {}, (224, "crop", 0.9, "bicubic", 12, 224)),
        ("none", {}, (224, "crop", 0.9, "bicubic", 0, None)),
        ("basic", {"crop": 1.0}, (224, "crop", 1.0, "bicubic", 0, None)),
        ("basic", {"size": 64, "interpolation": "bilinear"}, (64, "crop", 0.9, "bilinear", 3, 64)),
        ("basic", {"fit": "pad"}, (224, "pad", 0.9, "bicubic", 0, None)),
        ("basic", {"fit": "older"}, (224, "older", None, None, 0, None)),
    ],
)
def test_what_is_not_given_is_the_checkpoints(tmp_path, augment, options, expected):
    recipe = with_geometry(recipe_of(tmp_path, augment, **options))
    of = recipe.data
    assert (of.size, of.fit, of.crop, of.interpolation, of.margin, recipe.augment.crop_size) == expected
    assert with_geometry(recipe) == recipe
    assert from_dict(json.loads(json.dumps(to_dict(recipe)))) == recipe


def test_the_stored_size_follows_the_network(image_folder):
    recipe = with_geometry(recipe_of(image_folder))
    splits = data.load(recipe.data)
    assert splits["train"].images.shape[1:] == (248, 248, 3)
    assert splits["val"].images.shape[1:] == (224, 224, 3)
    larger = with_geometry(
        Recipe("r", "", data=DataConfig("folder", image_folder), model=ModelConfig("deit-ti16", image_size=384))
    )
    assert (larger.data.size, larger.data.margin) == (384, 21)
    assert scaling_warning(larger, 384) == ""
    assert "stored at 384 x 384 pixels and scaled up to 512 x 512" in scaling_warning(larger, 512)


def test_images_that_were_trained_on_are_known_without_their_margin(image_folder, tmp_path):
    config = DataConfig("folder", image_folder, cache=tmp_path / "cache", size=64, crop=0.9, margin=3)
    train = data.load(config)["train"]
    write_trained_images(tmp_path, train, 3)
    moved = image_folder / "val" / "cat" / "moved.png"
    (image_folder / "train" / "cat" / "0.png").rename(moved)
    splits = data.load(config)
    assert count_trained_on(tmp_path, splits["val"]) == 1
    assert checksums(WithoutMargin(train.images, 3))[0] in checksums(splits["val"].images)


def test_model_files_of_version_1_are_read():
    info = ModelInfo(
        name="m",
        class_ids=("a", "b"),
        class_names=("a", "b"),
        geometry=Geometry(side=224),
        image_size=224,
        interpolation="bilinear",
        normalization={"network": Normalization((0.5,) * 3, (0.5,) * 3)},
    )
    assert parse_info(info.to_json(), Path("model.json")) == info
    entries = json.loads(info.to_json())
    del entries["geometry"], entries["bits"]
    entries |= {"version": 1, "side": 64}
    for old, expected in (
        ({"crop": None, "squash": False}, Geometry(side=64, fit="older")),
        ({"crop": 0.9, "squash": False}, Geometry(side=64, crop=0.9, interpolation="bilinear")),
        ({"crop": 1.0, "squash": True}, Geometry(side=64, fit="squash", interpolation="bilinear")),
    ):
        assert parse_info(json.dumps(entries | old), Path("model.json")).geometry == expected
    with pytest.raises(UserError, match="version 3"):
        parse_info(json.dumps(entries | {"version": 3}), Path("model.json"))


@pytest.mark.parametrize(("source", "fit", "size"), [("folder", "older", 96), ("tiny-imagenet", None, None)])
def test_recipes_of_older_runs_are_read(tmp_path, source, fit, size):
    entries = json.loads(json.dumps(to_dict(recipe_of(tmp_path))))
    for name in ("fit", "crop", "interpolation", "fill", "margin", "bits", "max_pixels"):
        del entries["data"][name]
    entries["data"] |= {"source": source, "size": 96}
    recipe = from_dict(RunFolder.create(entries, tmp_path, "run").recipe())
    assert (recipe.data.fit, recipe.data.size) == (fit, size)
    assert with_geometry(recipe).data.crop is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"crop": 0.01}, r"`data.crop`: expected 0.05 to 1"),
        ({"bits": 7}, r"`data.bits`: expected 8 to 16"),
        ({"fit": "older", "crop": 0.9}, r"`data.fit=older`"),
        ({"fit": "pad", "margin": 3}, r"`data.margin`"),
        ({"fill": (0, 0, 256)}, r"`data.fill`"),
    ],
)
def test_what_cannot_be_is_refused(options, words):
    with pytest.raises(UserError, match=words):
        DataConfig(**options)


def test_old_and_new_geometry_have_stores_of_their_own(image_folder, tmp_path):
    buffers = []
    for options in ({}, {"crop": 0.9}, {"fit": "squash"}, {"fit": "pad"}, {"interpolation": "bilinear"}):
        images = data.load(DataConfig("folder", image_folder, cache=tmp_path, size=32, **options))["val"].images
        buffers.append(images.tobytes())
    assert len(set(buffers)) == 5


def test_data_are_prepared_as_a_run_of_the_model_wants_them(image_folder, tmp_path, capsys):
    cache = ["--data", str(image_folder), "--data.cache", str(tmp_path / "cache")]
    main(["data", "prepare", "--model", "test_vit", *cache])
    assert "train: 12 images of 168 x 168, 2 classes\nval: 6 images of 160 x 160" in capsys.readouterr().out
    stores = {path.name for path in (tmp_path / "cache").iterdir()}
    recipe = dataclasses.replace(
        get_recipe("test_vit"), data=DataConfig("folder", image_folder, cache=tmp_path / "cache")
    )
    data.load(with_geometry(recipe).data)
    assert {path.name for path in (tmp_path / "cache").iterdir()} == stores


GEOMETRIES = (
    Geometry(side=32, crop=0.8),
    Geometry(side=32, fit="squash", crop=0.9, interpolation="bilinear"),
    Geometry(side=32, fit="pad", fill=(128, 128, 128)),
)


@pytest.mark.parametrize("of", GEOMETRIES, ids=lambda of: of.fit)
def test_a_network_exported_to_timm_sees_what_the_run_sees(of, tmp_path):
    model = doublevit.train("digits-vit", epochs=0, name="tiny", output=tmp_path).model
    model.info = msgspec.structs.replace(model.info, geometry=of)
    export(model, tmp_path / "out", "timm")
    network = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True)
    transform = create_transform(**resolve_data_config({}, model=network))
    for size in ((90, 40), (33, 57)):
        image = random_image(np.random.default_rng(0), size)
        expected = torch.from_numpy(model.prepare(np.asarray(image)).copy()).permute(2, 0, 1) / 127.5 - 1
        assert torch.allclose(transform(image), expected, atol=1e-6)
    if of.fit != "crop":
        pytest.importorskip("transformers")
        with pytest.raises(UserError, match=f"`format` hf: images are brought to the network by {of.fit}"):
            export(model, tmp_path / "hf", "hf")


def test_borders_that_timm_would_color_otherwise_are_not_exported(tmp_path):
    model = doublevit.train("digits-vit", epochs=0, name="tiny", output=tmp_path).model
    model.info = msgspec.structs.replace(model.info, geometry=Geometry(side=32, fit="pad", fill=(1, 2, 3)))
    with pytest.raises(UserError, match=r"`format` timm: borders have the color \(1, 2, 3\)"):
        export(model, tmp_path / "out", "timm")
