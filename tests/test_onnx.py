"""ONNX files with the preprocessing inside: against Pillow and torch, used without torch, judged, and damaged."""

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn

import doublevit
from conftest import random_image
from doublevit.attacks.gradients import has_gradients
from doublevit.cli import main
from doublevit.data import DataConfig, load
from doublevit.errors import UserError
from doublevit.geometry import Geometry, to_square
from doublevit.jobs.onnx.config import OnnxConfig
from doublevit.jobs.onnx.export import export_onnx
from doublevit.jobs.onnx.file import EXPORT, PROBABILITIES, OnnxPredictor, checksum_entry, open_file
from doublevit.jobs.onnx.images import mixed_images
from doublevit.jobs.onnx.network import OnnxNetwork
from doublevit.jobs.onnx.verify import Parity, verify
from doublevit.models.config import _SMALL_PIT, BACKBONES
from doublevit.models.image_input import ImageInput, Layout
from doublevit.models.preprocess import Resize
from doublevit.runs.folder import METADATA, RunFolder
from doublevit.serve import pictures

SIZES = [(1, 1), (1, 9), (7, 3), (63, 65), (64, 64), (33, 97), (224, 224), (223, 501), (600, 350), (40, 900)]
MEAN = (124, 116, 104)
GEOMETRIES = {
    "an older run on Tiny ImageNet": (Geometry(side=64, fit="older"), 224),
    "an older run on digits": (Geometry(side=32, fit="older"), 32),
    "older, of an odd side": (Geometry(side=37, fit="older", interpolation="bilinear"), 64),
    "timm, crop 0.875": (Geometry(side=224, crop=0.875), 224),
    "timm, crop 0.9, bilinear": (Geometry(side=96, crop=0.9, interpolation="bilinear"), 96),
    "timm, crop 1": (Geometry(side=64), 64),
    "squashed, then smaller": (Geometry(side=40, fit="squash", interpolation="bilinear"), 20),
    "squashed, crop 0.9": (Geometry(side=65, fit="squash", crop=0.9), 65),
    "padded": (Geometry(side=64, fit="pad", fill=MEAN), 64),
    "padded, crop 0.9": (Geometry(side=65, fit="pad", crop=0.9, fill=MEAN), 65),
    "padded, then larger": (Geometry(side=48, fit="pad", interpolation="bilinear", fill=MEAN), 64),
}


def input_of(geometry: Geometry, image_size: int, layout: Layout = "nchw") -> ImageInput:
    return ImageInput(geometry, image_size, layout)


def by_pillow(image: np.ndarray, geometry: Geometry, image_size: int) -> torch.Tensor:
    """What the product does without ONNX: levels (3, S, S)."""
    resize = Resize(image_size, geometry.interpolation)
    return resize(torch.from_numpy(to_square(image, geometry).copy()).permute(2, 0, 1)[None])[0].float()


@pytest.mark.parametrize(("geometry", "image_size"), GEOMETRIES.values(), ids=GEOMETRIES)
def test_images_of_any_size_are_resized_as_pillow_does(geometry, image_size):
    generator, different, values = np.random.default_rng(0), 0, 0
    nchw, nhwc = input_of(geometry, image_size), input_of(geometry, image_size, "nhwc")
    for height, width in SIZES:
        image = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        levels = nchw(torch.from_numpy(image).permute(2, 0, 1)[None])[0] * 255
        assert torch.equal(nhwc(torch.from_numpy(image)[None])[0] * 255, levels)
        difference = (levels - by_pillow(image, geometry, image_size)).abs()
        assert difference.max() < 1.01, (height, width)
        different += int((difference > 0.5).sum())
        values += difference.numel()
    assert different < 0.02 * values  # sums next to a half, where weights are simple fractions


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> doublevit.Model:
    """A DoubleViT of two blocks a branch with cross and sparse attention, whose head is no longer zero."""
    folder = tmp_path_factory.mktemp("onnx")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("vit-digits-4", "vit-digits-8"):
            patch.setitem(BACKBONES[name].options, "depth", 2)
        sparse = {"model_top_k": "8", "model_cross_after": (1,)}
        model = doublevit.train("digits-double", epochs=0, name="double", output=folder, **sparse).model
    torch.manual_seed(0)
    for parameter in model.network.heads.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture(scope="module")
def exported(model: doublevit.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "double.onnx"
    export_onnx(model, path, OnnxConfig())
    return path


def images(count: int = 3, size: tuple[int, int] = (71, 50)) -> np.ndarray:
    return np.stack([np.asarray(random_image(np.random.default_rng(index), size)) for index in range(count)])


def logits_of(model: doublevit.Model, pixels: np.ndarray) -> np.ndarray:
    square = np.stack([model.prepare(image) for image in pixels])
    with torch.inference_mode():
        return model(torch.from_numpy(square).permute(0, 3, 1, 2)).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(71, 50), (1, 1), (32, 32), (301, 17)])
@pytest.mark.parametrize("count", [1, 3])
def test_the_file_gives_the_models_logits_for_any_size_and_number(model, exported, size, count):
    pixels = images(count, size)
    logits, probabilities = open_file(exported).run(pixels)
    expected = logits_of(model, pixels)
    assert expected.std() > 0.1
    np.testing.assert_allclose(logits, expected, atol=0.02)
    np.testing.assert_allclose(probabilities, torch.from_numpy(logits).softmax(1), atol=1e-6)


@pytest.mark.slow
def test_a_file_of_a_model_that_pads_has_the_borders(tmp_path):
    network = nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten())
    model = doublevit.wrap(network, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2), size=32)
    padded = msgspec.structs.replace(model.info.geometry, fit="pad", crop=0.9)
    model.info = msgspec.structs.replace(model.info, geometry=padded)
    export_onnx(model, tmp_path / "padded.onnx", OnnxConfig())
    file = open_file(tmp_path / "padded.onnx")
    assert file.info.geometry == padded
    for size in ((71, 50), (1, 1), (20, 90), (35, 35)):
        pixels = images(2, size)
        np.testing.assert_allclose(file.run(pixels)[0], logits_of(model, pixels), atol=0.02)


@pytest.mark.slow
def test_the_file_says_what_it_is_and_nothing_of_where_it_was_made(model, exported):
    proto = onnx.load(exported)
    onnx.checker.check_model(proto)
    assert [value.name for value in proto.graph.output] == ["probabilities", "logits"]
    assert "uint8 (N, 3, H, W)" in proto.doc_string
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert metadata[METADATA] == model.info.to_json()
    assert model.checkpoint.digest in metadata[EXPORT]
    assert str(Path(torch.__file__).parent).encode() not in exported.read_bytes()
    assert str(Path(doublevit.__file__).parent).encode() not in exported.read_bytes()


@pytest.mark.slow
def test_float16_of_bytes_last_by_another_opset(model, tmp_path, exported):
    path = tmp_path / "half.onnx"
    export_onnx(model, path, OnnxConfig(opset=18, precision="float16", layout="nhwc"))
    proto = onnx.load(path)
    assert [entry.version for entry in proto.opset_import if not entry.domain] == [18]
    assert path.stat().st_size < 0.7 * exported.stat().st_size
    pixels = images()
    logits, expected = open_file(path).run(pixels)[0], logits_of(model, pixels)
    assert 1e-4 < np.abs(logits - expected).max() < 0.05 * np.abs(expected).max()  # half's precision, not float32's


@pytest.mark.slow
def test_opened_as_a_model_it_takes_floats_unrounded_and_has_no_gradients(model, exported, tmp_path):
    again = doublevit.load(exported)
    assert again.classes == model.classes
    assert not has_gradients(again)
    assert has_gradients(model)
    floats = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(again(floats), model(floats), atol=2e-4, rtol=0)
        assert not torch.allclose(again(floats), again((floats * 255).round() / 255), atol=2e-4, rtol=0)
    with pytest.raises(UserError, match="no gradients"):
        doublevit.attack(again, floats, [0, 1, 2], "pgd")
    with pytest.raises(UserError, match="no gradients, which PGD follows"):  # as on the page of `serve`
        pictures.attacked(again, np.zeros((32, 32, 3), np.uint8), 1, 3)
    with pytest.raises(UserError, match="is an ONNX file already"):
        export_onnx(again, tmp_path / "again.onnx", OnnxConfig())


def test_on_the_page_it_names_what_a_graph_cannot_show(exported):
    again, pixels = doublevit.load(exported), images(1, (32, 32))[0]
    with pytest.raises(UserError, match="no gradients, which PGD follows: open the model that it was made of"):
        pictures.attacked(again, pixels, 1, 3)
    with pytest.raises(UserError, match="shows no attention: open the model that it was made of"):
        pictures.attention_overlays(again, pixels)


@pytest.mark.slow
def test_verified_on_images_of_mixed_sizes(model, exported, tmp_path):
    for index in range(8):
        folder = tmp_path / "photos" / str(index % 4)
        folder.mkdir(parents=True, exist_ok=True)
        random_image(np.random.default_rng(index), (30 + 9 * index, 40)).save(folder / f"{index}.png")
    parity = verify(model, exported, mixed_images(str(tmp_path / "photos")))
    assert parity.same == 8
    assert np.abs(parity.onnx_logits - parity.logits).max() < 0.02  # of noise, where single levels may differ
    text = exported.with_suffix(".parity.md").read_text()
    assert "| same first class, % | 100.00 (67.56 to 100.00) |" in text
    (tmp_path / "photos" / "ten").mkdir()
    random_image(np.random.default_rng(0)).save(tmp_path / "photos" / "ten" / "1.png")
    with pytest.raises(UserError, match="does not know 1 of the classes"):
        verify(model, exported, mixed_images(str(tmp_path / "photos")))


def test_a_part_that_is_not_there_is_told():
    with pytest.raises(UserError, match="`split` test: expected one of train, val"):
        mixed_images("digits", "test")
    assert len(mixed_images("digits", "train")) > len(mixed_images("digits"))


def test_parity_counts_by_hand():
    torch_logits = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0], [0.0, 2.0, 1.0]], np.float32)
    onnx_logits = torch_logits.copy()
    onnx_logits[2] = [0.0, 1.0, 1.5]
    probabilities = torch.from_numpy(onnx_logits).softmax(1).numpy()
    parity = Parity(torch_logits, onnx_logits, probabilities, np.array([0, 1, 1]), np.arange(3), "three images")
    assert parity.same == 2
    assert not parity.is_enough
    values = {row[0].text: row[1].value for row in parity.table().rows}
    assert values["top-1 of torch, %"] == pytest.approx(2 / 3)
    assert values["difference, points, paired"] == pytest.approx(-1 / 3)
    assert values["largest difference of a logit"] == pytest.approx(1.0)
    among = Parity(torch_logits, onnx_logits, probabilities, np.array([0, 1, 1]), np.array([0, 1]), "two classes")
    assert among.correct(torch_logits).all()


WITHOUT_TORCH = """
import sys


class Without:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("torch", "timm", "accelerate", "safetensors", "foolbox", "onnx", "scipy", "sklearn"):
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, Without())
from doublevit.cli import main
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_predicts_without_torch_what_the_model_predicts(model, exported, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, size in enumerate([(50, 40), (50, 40), (31, 90), (5, 5)]):
        random_image(np.random.default_rng(index), size).save(folder / f"{index}.png")
    (folder / "bad.png").write_bytes(b"no image")
    command = ["predict", str(exported), str(folder), "--format", "csv", "--sheet", str(tmp_path / "sheet.png")]
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *command], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1, result.stderr
    assert "1 of 5 files cannot be read" in result.stderr
    lines = [line.split(",") for line in result.stdout.splitlines()[1:]]
    for line, expected in zip(lines, model.predict(sorted(folder.glob("[0-9].png"))), strict=True):
        assert line[1] == expected.label
        assert float(line[2]) == pytest.approx(expected.probability, abs=2e-4)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 0


@pytest.mark.slow
def test_judged_clean_corrupted_and_by_black_box_attacks(model, exported, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    common = ["evaluate", str(exported), "--data", "digits", "--first", "20", "--name", "judged"]
    attack = ["--attack.names", "uniform-noise", "--attack.epsilons", "1/255"]
    main([*common, "--corruptions", "fog", "--severities", "3", *attack])
    rows = RunFolder(tmp_path / "runs" / "judged").rows()
    assert {row.precision for row in rows} == {"float32"}
    assert {type(row.condition).__name__ for row in rows} >= {"Clean", "Corruption", "Attack"}
    data = load(DataConfig("digits"))["val"].first(20)
    clean = next(row for row in rows if row.metric == "top-1")
    pixels = np.asarray(data.images[np.arange(20)])
    assert clean.value == np.mean(logits_of(model, pixels).argmax(1) == data.labels)
    with pytest.raises(SystemExit):
        main([*common, "--attack.names", "autoattack"])
    error = capfd.readouterr().err
    assert "wants gradients" in error
    assert "square" in error
    with pytest.raises(SystemExit):
        main([*common, "--precision", "bfloat16"])
    assert "exported with float32" in capfd.readouterr().err


@pytest.mark.slow
def test_damaged_cut_rewritten_and_foreign_files(exported, tmp_path):
    body, path = exported.read_bytes(), tmp_path / "other.onnx"
    middle = len(body) // 2
    for content, message in (
        (body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :], "its checksum is another"),
        (body[: middle // 2], "is no ONNX file that onnxruntime"),
        (b"", "is no ONNX file that onnxruntime"),
        (body[: -len(checksum_entry(b""))], "rewritten by another program"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=message):
            open_file(path)
    with pytest.raises(UserError, match="does not exist"):
        open_file(tmp_path / "missing.onnx")
    proto = onnx.load(exported)
    for entry in proto.metadata_props:
        if entry.key == METADATA:
            entry.value = entry.value.replace('"zero"', '"nought"').replace("nine", "nein")
    changed = proto.SerializeToString()
    path.write_bytes(changed)  # the checksum is in it, but no longer at the end of what it is of
    with pytest.raises(UserError, match=r"its checksum is another|rewritten"):
        open_file(path)


def sealed(path: Path, proto: onnx.ModelProto) -> Path:
    """Write a changed export with a checksum that fits."""
    kept = [entry for entry in proto.metadata_props if entry.key != "doublevit.sha256"]
    del proto.metadata_props[:]
    proto.metadata_props.extend(kept)
    body = proto.SerializeToString()
    path.write_bytes(body + checksum_entry(body))
    return path


@pytest.mark.parametrize("value", [float("nan"), -5.0, 2.0])
def test_what_is_no_probability_is_not_told_as_one(exported, tmp_path, value):
    proto = onnx.load(exported)
    (node,) = [node for node in proto.graph.node if PROBABILITIES in node.output]
    node.output[0] = "before"
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(value), "factor"))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0), "nothing"))
    proto.graph.node.append(onnx.helper.make_node("Mul", ["before", "nothing"], ["zeros"]))
    proto.graph.node.append(onnx.helper.make_node("Add", ["zeros", "factor"], [PROBABILITIES]))
    file = open_file(sealed(tmp_path / "x.onnx", proto))
    with pytest.raises(UserError, match="not within 0 and 1"):
        file.run(images())


def test_another_interface_is_refused_when_the_file_is_opened(exported, tmp_path):
    proto = onnx.load(exported)
    (output,) = [output for output in proto.graph.output if output.name == PROBABILITIES]
    proto.graph.output.remove(output)
    with pytest.raises(UserError, match="is not as doublevit exports"):
        open_file(sealed(tmp_path / "x.onnx", proto))


def test_a_number_of_threads_that_is_none_is_left_to_onnxruntime(exported, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "abc")
    assert open_file(exported).session.get_session_options().intra_op_num_threads == 0


def simple_graph(shape: list[int | str], location: str | None = None) -> onnx.ModelProto:
    """The mean of each channel, times external or internal weights."""
    weights = onnx.numpy_helper.from_array(np.full((1, 3), 5, np.float32), "w")
    if location is not None:
        weights = onnx.TensorProto(name="w", data_type=1, dims=[1, 3], data_location=onnx.TensorProto.EXTERNAL)
        weights.external_data.add(key="location", value=location)
    nodes = [
        onnx.helper.make_node("ReduceMean", ["x", "axes"], ["means"], keepdims=0),
        onnx.helper.make_node("Mul", ["means", "w"], ["y"]),
    ]
    axes = onnx.numpy_helper.from_array(np.array([2, 3]), "axes")
    given = [onnx.helper.make_tensor_value_info("x", 1, shape)]
    output = [onnx.helper.make_tensor_value_info("y", 1, [shape[0], 3])]
    graph = onnx.helper.make_graph(nodes, "g", given, output, [weights, axes])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)


def test_a_foreign_file_is_refused_by_name_and_judged_where_its_input_is_told(tmp_path, monkeypatch):
    path = tmp_path / "brightest.onnx"
    onnx.save(simple_graph([2, 3, 16, 16]), path)  # the batch frozen at two
    with pytest.raises(UserError, match=r"was not exported by doublevit: it does not name its classes"):
        doublevit.load(path)
    half = (0.5, 0.5, 0.5)
    model = doublevit.wrap(path, mean=half, std=half, classes=("red", "green", "blue"))
    assert (model.info.name, model.info.side) == ("brightest", 16)
    red = np.zeros((5, 16, 16, 3), np.uint8)
    red[..., 0] = 200
    assert [each.label for each in model.predict(red, batch_size=5)] == ["red"] * 5
    with pytest.raises(UserError, match=r"pass `mean`"):
        doublevit.wrap(path)
    with pytest.raises(UserError, match=r"16 x 16|cannot take images of shape 2 x 3 x 20 x 20"):
        doublevit.wrap(path, mean=half, std=half, size=20)
    onnx.save(simple_graph(["N", 1, 16, 16]), path)
    with pytest.raises(UserError, match="expected one input of images"):
        doublevit.wrap(path, mean=half, std=half)


def test_weights_outside_the_files_folder_are_not_read(tmp_path):
    (tmp_path / "secret.bin").write_bytes(np.ones(3, np.float32).tobytes())
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "model.onnx"
    path.write_bytes(simple_graph(["N", 3, 16, 16], "../secret.bin").SerializeToString())
    with pytest.raises(UserError, match="with its weights inside it or in its own folder"):
        doublevit.wrap(path, mean=(0.5,) * 3, std=(0.5,) * 3)


class Strange(nn.Module):
    """A network with an operation that ONNX does not have."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(pixels).mean(dim=(2, 3))


@pytest.mark.slow
def test_a_network_that_cannot_be_exported_is_told_by_its_operation(tmp_path):
    model = doublevit.wrap(Strange(), mean=(0.5,) * 3, std=(0.5,) * 3, size=8)
    with pytest.raises(UserError, match=r"its operation .*bessel_j0.* has no counterpart in ONNX"):
        export_onnx(model, tmp_path / "model.onnx", OnnxConfig())
    assert not list(tmp_path.iterdir())


def test_options_that_do_not_fit(tmp_path, monkeypatch, capfd):
    for arguments, message in (
        (["runs/x", "--format", "onnx", "--opset", "99"], "expected 18 to 23"),
        (["runs/x", "--output", "there", "--precision", "float16"], "is for --format onnx"),
        (["runs/x", "--format", "timm"], "expected --output"),
        (["runs/x", "--format", "onnx"], "is no model"),
    ):
        with pytest.raises(SystemExit):
            main(["export", *arguments])
        assert message in capfd.readouterr().err.replace("`opset`", "--opset").replace("`output`", "--output")
    path = tmp_path / "x.onnx"
    with pytest.raises(SystemExit):
        main(f"export timm:test_vit --weights none --format onnx --output {path} --verify {tmp_path}/none".split())
    assert "none is no folder" in capfd.readouterr().err
    assert not path.exists()  # told before the export
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "model.onnx").write_bytes(b"")
    random_image(np.random.default_rng(0)).save(tmp_path / "image.png")
    with pytest.raises(SystemExit):
        main(["predict", str(tmp_path / "model.onnx"), str(tmp_path / "image.png")])
    assert "pip install 'doublevit[export]'" in capfd.readouterr().err
    for option, value in (("--checkpoint", "best"), ("--weights", "none"), ("--model", "test_vit")):
        with pytest.raises(SystemExit, match=r"^2$"):
            main(["predict", str(tmp_path / "model.onnx"), str(tmp_path / "image.png"), option, value])
        assert f"{option} {value}: an ONNX file holds the weights of one network" in capfd.readouterr().err


@pytest.mark.slow
def test_two_heads_and_a_cnn(tmp_path):
    import timm

    networks = {"pit_ti_distilled_224": _SMALL_PIT, "test_efficientnet": {}}
    for name, arguments in networks.items():
        model = doublevit.wrap(timm.create_model(name, pretrained=False, **arguments), size=32)
        path = tmp_path / f"{name}.onnx"
        export_onnx(model, path, OnnxConfig())
        pixels = images(2, (90, 71))
        difference = OnnxPredictor.open(path).file.run(pixels)[0] - logits_of(model, pixels)
        assert np.abs(difference).max() < 1e-3 * max(1, np.abs(logits_of(model, pixels)).max())
    assert isinstance(doublevit.load(path).network.network, OnnxNetwork)
