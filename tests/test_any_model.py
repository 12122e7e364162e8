"""Models that doublevit did not train: wrapped, opened by name, evaluated by class names; and export."""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from sklearn.metrics import balanced_accuracy_score, f1_score
from torch import nn

import doublevit
from conftest import copied, random_image
from doublevit.cli import main
from doublevit.data.dataset import Dataset
from doublevit.data.identity import DatasetId
from doublevit.errors import UserError
from doublevit.jobs import export
from doublevit.jobs.fit import fit
from doublevit.jobs.load import load_run
from doublevit.jobs.normalization import normalization_findings
from doublevit.jobs.open_model import open_model
from doublevit.jobs.options import EvalOptions
from doublevit.runs.folder import RunFolder
from doublevit.statistics.class_averages import balanced_accuracy, macro_f1

HALF = (0.5, 0.5, 0.5)
COLORS = ("red", "green", "blue")


class Brightest(nn.Module):
    """Which channel is the brightest, of images normalized by mean and std 0.5."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 5 * images.mean(dim=(2, 3))


class Says(nn.Module):
    def __init__(self, output: object) -> None:
        super().__init__()
        self.output = output

    def forward(self, images: torch.Tensor) -> object:
        return self.output(images) if callable(self.output) else self.output


def wrapped(network: nn.Module | None = None, classes: tuple[str, ...] = COLORS) -> doublevit.Model:
    return doublevit.wrap(network or Brightest(), mean=HALF, std=HALF, size=32, classes=classes)


def colored(label: int, generator: np.random.Generator) -> np.ndarray:
    image = np.asarray(random_image(generator, (30, 24))) // 3
    image[..., label] += 120
    return image


@pytest.fixture
def colors(tmp_path: Path) -> Path:
    """Images of three colors, in class folders."""
    generator = np.random.default_rng(0)
    for label, name in enumerate(COLORS):
        (tmp_path / "colors" / name).mkdir(parents=True)
        for index in range(4):
            Image.fromarray(colored(label, generator)).save(tmp_path / "colors" / name / f"{index}.png")
    return tmp_path / "colors"


def test_importing_is_quick_and_needs_no_torch():
    code = "import doublevit, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        doublevit.laod  # noqa: B018
    assert {"load", "wrap", "evaluate"} <= set(dir(doublevit))


def test_a_wrapped_network_sees_normalized_floats_of_pixels():
    network = timm.create_model("test_vit", num_classes=5)
    model = doublevit.wrap(network)
    pixels = torch.from_numpy(np.array(random_image(np.random.default_rng(0), (160, 160)))).permute(2, 0, 1)[None]
    config = network.pretrained_cfg
    mean, std = (torch.tensor(config[name]).view(3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        expected = network.eval()((pixels / 255 - mean) / std)
        assert torch.allclose(model(pixels), expected, atol=1e-5)
        assert torch.allclose(model(pixels / 255), expected, atol=1e-5)
    assert not model.train().training  # a model to be used


def test_files_are_brought_to_a_timm_network_as_timm_does(tmp_path):
    network = timm.create_model("test_vit", num_classes=1000)
    model = doublevit.wrap(network)
    transform = timm.data.create_transform(**timm.data.resolve_data_config(model=network), is_training=False)
    for size in ((200, 300), (301, 177), (64, 64), (161, 640)):
        image = random_image(np.random.default_rng(1), size)
        image.save(tmp_path / "image.png")
        with torch.no_grad():
            expected = network.eval()(transform(image)[None]).softmax(1)[0]
        [prediction] = model.predict(tmp_path / "image.png", top=3)
        values, indices = expected.topk(3)
        assert [label for label, _ in prediction.top] == [model.classes[index] for index in indices]
        assert np.allclose([value for _, value in prediction.top], values, atol=1e-6)
    assert model.info.class_ids[0] == "n01440764"
    assert model.classes[0] == "tench"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: wrapped(Says(lambda images: (images.mean((2, 3)),))), "returns a tuple: expected logits"),
        (lambda: wrapped(Says(lambda images: {"out": images.mean((2, 3))})), "returns a dict: expected logits"),
        (lambda: wrapped(nn.Sequential(Brightest(), nn.Softmax(1))), "returns probabilities: expected logits"),
        (lambda: wrapped(nn.Identity()), r"expected logits \(4, classes\) for 4 images, found shape"),
        (lambda: wrapped(Says(lambda images: images.mean((2, 3)) * torch.nan)), "are not finite"),
        (lambda: wrapped(nn.Sequential(nn.Flatten(), nn.Linear(7, 3))), "cannot take images of 32 x 32 pixels"),
        (lambda: wrapped(classes=("red", "green")), "expected 3 names, as many as the network has outputs, found 2"),
        (lambda: wrapped(classes=("red", "green", "red")), "expected different names, found 'red' twice"),
        (lambda: doublevit.wrap(Brightest()), "does not say how it wants its input; pass `mean`"),
        (lambda: doublevit.wrap(Brightest(), mean=HALF, std=(1, 0, 1), size=8), "expected three numbers above 0"),
        (lambda: doublevit.wrap(Brightest(), mean=(0.5,), std=HALF, size=8), "expected three numbers, one for each"),
        (lambda: open_model("nowhere"), "nowhere is no model: expected a run's folder, timm:NAME"),
        (lambda: open_model("timm:vit_tny"), "unknown model 'vit_tny'"),
        (lambda: wrapped().predict("nowhere.jpg"), "nowhere.jpg cannot be read"),
        (lambda: wrapped().predict(3), "expected images .*found int"),
        (lambda: wrapped().predict(np.zeros((8, 8, 3))), "expected arrays uint8"),
    ],
)
def test_what_cannot_be_wrapped_or_opened_is_said(make, words):
    with pytest.raises(UserError, match=words):
        make()


def test_predictions_are_the_same_of_paths_arrays_and_images(colors):
    model = wrapped()
    files = sorted(colors.rglob("*.png"))
    of_folder = model.predict(colors, batch_size=5)
    assert [prediction.path for prediction in of_folder] == sorted(files, key=str)
    assert all(prediction.label == prediction.path.parent.name for prediction in of_folder)
    images = [Image.open(file) for file in files]
    arrays = [np.asarray(image) for image in images]
    for others in (model.predict(files), model.predict(map(str, files)), model.predict(images), model.predict(arrays)):
        assert [prediction.top for prediction in others] == [prediction.top for prediction in of_folder]
    tensors = torch.from_numpy(np.stack([model.prepare(array) for array in arrays])).permute(0, 3, 1, 2)
    assert [prediction.label for prediction in model.predict(tensors)] == [file.parent.name for file in files]
    assert abs(sum(value for _, value in of_folder[0].top) - 1) < 1e-6


def test_files_are_turned_upright_and_odd_ones_are_named(tmp_path):
    import os

    generator, model = np.random.default_rng(3), wrapped()
    picture = random_image(generator, (60, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    picture.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    with Image.open(tmp_path / "turned.jpg") as stored:
        upright = np.asarray(stored.convert("RGB").rotate(-90, expand=True))
    assert model.predict(tmp_path / "turned.jpg")[0].top == model.predict(upright)[0].top
    assert model.predict(tmp_path / "cmyk.jpg")
    picture.save(tmp_path / "bomb.jpg")
    bomb = bytearray((tmp_path / "bomb.jpg").read_bytes())
    start = bomb.index(b"\xff\xc0")
    bomb[start + 5 : start + 9] = b"\xff\xff\xff\xff"  # height and width
    (tmp_path / "bomb.jpg").write_bytes(bomb)
    os.mkfifo(tmp_path / "pipe.jpg")
    for name, words in (("bomb.jpg", r"cannot be read \(.*pixels"), ("pipe.jpg", "no regular file")):
        with pytest.raises(UserError, match=words):
            model.predict(tmp_path / name)
    (tmp_path / "bomb.jpg").unlink()
    assert len(model.predict(tmp_path)) == 2  # the pipe is not seen


def test_a_hugging_face_classifier_sees_what_its_processor_makes(tmp_path):
    transformers = pytest.importorskip("transformers")
    run = doublevit.train("digits-vit", epochs=0, name="tiny", output=tmp_path)
    main(["export", str(run.path), "--output", str(tmp_path / "out"), "--format", "hf"])
    network = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "out")
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "out")
    model = doublevit.wrap(network, processor)
    assert (model.info.name, model.classes[:2]) == ("out", ("zero", "one"))
    for size in ((64, 64), (90, 40)):  # of what is not square the center is cut, as by the run
        image = random_image(np.random.default_rng(0), size)
        expected = processor(image, return_tensors="pt").pixel_values[0]
        assert np.array_equal(model.prepare(np.asarray(image)), run.model.prepare(np.asarray(image)))
        prepared = torch.from_numpy(model.prepare(np.asarray(image)).copy()).permute(2, 0, 1)
        assert (prepared / 127.5 - 1 - expected).abs().max() < 0.017  # two levels
    processor.do_normalize = False
    with pytest.raises(UserError, match=r"scales pixels otherwise"):
        doublevit.wrap(network, processor)


def dataset(*names: str, count: int = 6) -> Dataset:
    """Images of colors, the classes in any order."""
    generator, labels = np.random.default_rng(1), np.arange(count) % len(names)
    images = np.stack([colored(COLORS.index(names[label].lower()), generator) for label in labels])
    return Dataset(images, labels, names, names, DatasetId("made", "1"))


def test_classes_are_matched_by_name_never_by_position():
    model = wrapped()
    for names in (("blue", "red", "green"), ("Green", "RED", "blue")):
        results = doublevit.evaluate(model, dataset(*names))
        assert results["clean", "top-1"].value == 1
    with pytest.raises(UserError, match=r"does not know 1 of the classes of made: pink; it knows red, green, blue"):
        fit(model, dataset_named("red", "pink"))
    with pytest.raises(UserError, match="knows none of the classes"):
        fit(model, dataset_named("pink", "gray"))
    with pytest.raises(UserError, match="two classes of made are one of"):
        fit(model, dataset_named("red", "Red"))
    cased = doublevit.wrap(Brightest(), mean=HALF, std=HALF, size=32, classes=["A", "a", "b"])
    assert fit(cased, dataset_named("a", "A"))[0].network.indices.flatten().tolist() == [1, 0]
    assert fit(cased, dataset_named("B", "a"))[0].network.indices.flatten().tolist() == [2, 1]
    twice = doublevit.wrap(timm.create_model("test_vit"))  # ImageNet's 134th and 517th class are both called crane
    assert fit(twice, dataset_named("n02012849", "tench"))[0].network.indices.flatten().tolist() == [134, 0]
    with pytest.raises(UserError, match="does not know 1 of the classes of made: crane"):
        fit(twice, dataset_named("crane", "tench"))


def dataset_named(*names: str) -> Dataset:
    return Dataset(np.zeros((2, 8, 8, 3), np.uint8), np.arange(2), names, names, DatasetId("made"))


def test_a_head_of_its_own_is_asked_for_the_data_sets_classes_alone():
    fitted, images = fit(wrapped(), dataset("blue", "red"))
    assert fitted.info.name == "Brightest, among 2 of 3 classes"
    assert fitted.classes == ("blue", "red")
    pixels = torch.zeros(1, 3, 32, 32)
    assert torch.equal(fitted(pixels), wrapped()(pixels)[:, [2, 0]])
    assert images.class_ids == ("blue", "red")


def test_evaluation_from_python(colors, tmp_path):
    model = wrapped()
    results = doublevit.evaluate(
        model, colors, corruptions="fog", severities=[1, 3], attacks="fgsm", epsilons=["0", "64/255"], cache=tmp_path
    )
    assert results["clean", "top-1"].count == 12
    assert results["fog 3", "top-1"].condition.severity == 3
    assert results["fgsm 64/255", "robust top-1"].value <= results["fgsm 0", "robust top-1"].value
    with pytest.raises(KeyError, match=r"measured are .*clean: top-1"):
        results["snow", "top-1"]
    assert "fog" in str(results.table("robustness"))
    assert "trained elsewhere" in str(results.table("accuracy"))
    assert "| given | trained elsewhere |" in str(results.table("runs"))
    with pytest.raises(UserError, match="did you mean robustness"):
        results.table("robustnes")
    assert (results.report(tmp_path / "page.html")).read_text().startswith("<!doctype html>")
    saved = results.save(tmp_path / "runs" / "colors")
    assert RunFolder.open(saved).rows() == results.rows
    main(["report", str(saved), "--output", str(tmp_path / "again.html")])
    with pytest.raises(UserError, match="exists"):
        results.save(saved)
    with pytest.raises(UserError, match=r"holds what was measured of Brightest, not its weights"):
        load_run(saved, EvalOptions())
    pandas = pytest.importorskip("pandas")
    frame = results.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert len(frame) == len(results.rows)


def test_images_and_labels_as_arrays(colors):
    model, made = wrapped(), dataset("red", "blue")
    names = [made.class_ids[label] for label in made.labels]
    for labels in (names, np.array([COLORS.index(name) for name in names])):
        assert doublevit.evaluate(model, (np.asarray(made.images), labels))["clean", "top-1"].value == 1
    for images, labels, words in (
        (made.images / 255, names, "expected images uint8"),
        (made.images, names[:2], "expected a label for each"),
        (made.images, [7] * 6, "or as indices from 0 to 2"),
        (made.images, None, r"expected labels \(N,\), found \(\)"),
        (made.images[:, :0], names, "at least 1 x 1 pixels"),
        ([made.images[0], made.images[1, :3]], names[:2], "of one size"),
    ):
        with pytest.raises(UserError, match=words):
            doublevit.evaluate(model, (images, labels))
    with pytest.raises(UserError, match=r"expected data as a path, .* found dict"):
        doublevit.evaluate(model, {})


def test_a_flat_folder_with_a_csv_of_labels(colors, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    lines = ["Path,Label"]
    for file in sorted(colors.rglob("*.png")):
        name = f"{file.parent.name}{file.name}"
        file.rename(flat / name)
        lines.append(f"{name},{file.parent.name}")
    table = flat / "labels.csv"
    table.write_text("\n".join(lines))
    for data in (flat, table):
        assert doublevit.evaluate(wrapped(), data, cache=tmp_path)["clean", "top-1"].value == 1
    for content, words in (
        ("a,b\n1,2\n", "expected a head line with columns path,label"),
        ("path,label\n../x.png,red\n", "expected a file below"),
        ("path,label\nnone.png,red\n", "names none.png, which is not in"),
        ("path,label\nred0.png,\n", "and a label in each line"),
    ):
        table.write_text(content)
        with pytest.raises(UserError, match=words):
            doublevit.evaluate(wrapped(), flat, cache=tmp_path)


def test_a_wrong_normalization_is_caught():
    made = dataset("red", "green", "blue", count=60)
    assert not normalization_findings(wrapped(), made)

    class NeedsContrast(nn.Module):
        """Right only with channels in [-1, 1]: it saturates beyond."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.clamp(-1, 0).mean(dim=(2, 3))

    wrong = doublevit.wrap(NeedsContrast(), mean=(0.0,) * 3, std=(0.01,) * 3, size=16, classes=COLORS)
    [finding] = normalization_findings(wrong, made)
    assert finding.name == "normalization"
    assert "100% of 60 images are right" in finding.text
    results = doublevit.evaluate(wrong, made)
    assert any(text.startswith("normalization:") for text in results.findings)
    assert not normalization_findings(
        doublevit.wrap(NeedsContrast(), mean=HALF, std=HALF, size=16, classes=COLORS), made
    )


def test_class_averages_are_scikit_learns():
    generator = np.random.default_rng(0)
    labels = generator.choice(5, size=400, p=(0.6, 0.2, 0.1, 0.07, 0.03))
    predicted = np.where(generator.random(400) < 0.7, labels, generator.integers(0, 6, 400))
    balanced, f1 = balanced_accuracy(labels, predicted), macro_f1(labels, predicted)
    assert balanced.value == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert f1.value == pytest.approx(f1_score(labels, predicted, average="macro"))
    for estimate in (balanced, f1):
        assert 0 <= estimate.low < estimate.value < estimate.high <= 1
    recalls = np.array([(predicted == k)[labels == k].mean() for k in range(5)])
    counts = np.bincount(labels)
    error = np.sqrt((recalls * (1 - recalls) / counts).sum()) / 5  # of independent classes
    assert balanced.high - balanced.low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_class_averages_of_few_images_have_intervals():
    labels = np.array([0, 0, 0, 0, 0, 1, 2])
    for average in (balanced_accuracy, macro_f1):  # all right: seven images show less than 100 to 100 %
        estimate = average(labels, labels)
        assert (estimate.value, estimate.high) == (1, 1)
        assert 0.5 < estimate.low < 0.75
    # Classes of two images, 80 % right: resamples' macro-F1 lies below the sample's, whose interval must not.
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(100), 2)
    predicted = np.where(generator.random(200) < 0.8, labels, generator.integers(0, 100, 200))
    estimate = macro_f1(labels, predicted)
    assert estimate.high - estimate.value > 0.6 * (estimate.value - estimate.low)
    assert estimate.high - estimate.low < 0.2


def checkpoints(network: nn.Module, folder: Path) -> dict[str, Path]:
    """The weights of a network as people keep them; those in the way are others."""
    right = network.state_dict()
    wrong = {name: tensor + 1 for name, tensor in right.items()}
    contents = {
        "timm.pth.tar": {"state_dict": right, "args": argparse.Namespace(lr=0.1), "epoch": 3},
        "ema.pth": {"state_dict": wrong, "state_dict_ema": right},
        "ddp.pth": {f"module.{name}": tensor for name, tensor in right.items()},
        "compiled.pt": {"model": {f"module._orig_mod.{name}": tensor for name, tensor in right.items()}},
        "lightning.ckpt": {"state_dict": {f"model.{name}": tensor for name, tensor in right.items()}},
    }
    for name, content in contents.items():
        torch.save(content, folder / name)
    return {name: folder / name for name in contents}


def test_checkpoints_as_people_keep_them(tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("test_vit", num_classes=3)
    pixels = torch.rand(2, 3, 160, 160)
    expected = doublevit.wrap(network)(pixels)
    for file in checkpoints(network, tmp_path).values():
        assert torch.allclose(open_model(file, model="test_vit")(pixels), expected, atol=1e-6), file
    with pytest.raises(UserError, match=r"expected `model`, the name of the timm network"):
        open_model(tmp_path / "ddp.pth")
    with pytest.raises(UserError, match="does not fit the network"):
        open_model(tmp_path / "ddp.pth", model="test_resnet")


@pytest.mark.parametrize("library", ["doublevit", "timm", "hf"])
def test_an_exported_run_gives_the_same_logits(library, tmp_path):
    if library == "hf":
        pytest.importorskip("transformers")
    few = {"data_per_class": 2, "data_val_fraction": 0.02, "model_head_init": "probe"}  # a head of zeros says nothing
    run = doublevit.train("digits-vit", epochs=0, name="tiny", output=tmp_path, **few)
    main(["export", str(run.path), "--output", str(tmp_path / "out"), "--format", library])
    model, again = run.model, doublevit.load(tmp_path / "out")
    pixels = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(again(pixels), model(pixels), atol=1e-5)
    assert model(pixels).std() > 0.1
    assert again.classes == model.classes
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: ")
    if library == "timm":
        network = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
        normalized = (pixels - 0.5) / 0.5
        with torch.no_grad():
            assert torch.allclose(network(normalized), model(pixels), atol=1e-5)
        assert network.pretrained_cfg["label_names"] == list(model.info.class_ids)
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["export", str(run.path), "--output", str(tmp_path / "out"), "--format", library])


def test_a_classifier_that_is_no_linear_layer_at_timm_is_not_exported_to_it():
    with pytest.raises(UserError, match=r"^`format` timm: its LevitDistilled has no linear classifier"):
        export._try("levit_128s", {}, 2, {})


@pytest.mark.slow
def test_what_another_library_does_not_have_is_not_exported(digits_run, tmp_path, capsys):
    run = copied(digits_run, tmp_path)
    for library in ("timm", "hf"):
        with pytest.raises(SystemExit, match=r"^2$"):
            main(["export", str(run), "--output", str(tmp_path / "out"), "--format", library])
        assert "a DoubleViT is two networks" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
    main(["export", str(run), "--output", str(tmp_path / "out")])
    pixels = torch.rand(2, 3, 32, 32)
    assert torch.equal(doublevit.load(tmp_path / "out")(pixels), doublevit.load(run)(pixels))


def test_predicting_files_at_the_command_line(colors, tmp_path, capsys, monkeypatch):
    run = doublevit.train("digits-vit", epochs=0, name="tiny", output=tmp_path).path
    (colors / "broken.png").write_bytes(b"nothing")
    with pytest.raises(SystemExit, match=r"^1$"):
        main(["predict", str(run), str(colors), "--format", "json", "--sheet", str(tmp_path / "sheet.png")])
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 12
    assert "broken.png cannot be read" in captured.err
    assert "1 of 13 files cannot be read" in captured.err
    assert Image.open(tmp_path / "sheet.png").width > 100
    monkeypatch.setattr("sys.stdin", iter([f"{colors}/red/0.png\n", f"{colors}/red/1.png\n"]))
    main(["predict", str(run), "-", "--top", "2", "--format", "csv", "--output", str(tmp_path / "out.csv")])
    head, *lines = (tmp_path / "out.csv").read_text().splitlines()
    assert head == "path,class_1,probability_1,class_2,probability_2"
    assert [line.split(",")[0] for line in lines] == [f"{colors}/red/0.png", f"{colors}/red/1.png"]
    main(["predict", str(run), f"{colors}/*/2.png"])
    assert "probability" in capsys.readouterr().out
    for arguments, words in (
        ([str(run), "nowhere.jpg"], "nowhere.jpg does not exist"),
        ([str(run), str(run / "checkpoints")], "holds no image"),
        ([str(run)], "expected images"),
        ([str(run), str(colors), "--top", "0"], "--top: expected at least 1"),
    ):
        with pytest.raises(SystemExit, match=r"^2$"):
            main(["predict", *arguments])
        assert words in capsys.readouterr().err


def test_evaluating_a_foreign_model_at_the_command_line(colors, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    network = timm.create_model("test_vit", num_classes=1000)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["evaluate", str(tmp_path / "weights.pth"), "--model", "test_vit", "--data", str(colors)])
    assert "knows none of the classes" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()  # no folder is left where nothing can be measured
    for wnid, name in zip(("n01443537", "n02124075", "n03444034"), COLORS, strict=True):
        (colors / name).rename(colors / wnid)
    arguments = ["evaluate", "timm:test_vit", "--weights", str(tmp_path / "weights.pth"), "--data", str(colors)]
    main([*arguments, "--output", str(tmp_path / "runs"), "--name", "judged"])
    rows = RunFolder(tmp_path / "runs" / "judged").rows()
    assert {row.model for row in rows} == {"test_vit, among 3 of 1,000 classes"}
    assert {row.count for row in rows} == {12}
    main(
        [
            *arguments,
            "--output",
            str(tmp_path / "runs"),
            "--name",
            "judged",
            "--corruptions",
            "fog",
            "--severities",
            "1",
        ]
    )
    assert len(RunFolder(tmp_path / "runs" / "judged").rows()) > len(rows)
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["evaluate", "timm:test_vit", "--weights", str(tmp_path / "weights.pth")])
    assert "has no images of its own: expected --data" in capsys.readouterr().err


def test_corrupting_and_attacking_from_python():
    made = dataset("red", "green", "blue")
    images = np.asarray(made.images).repeat(2, axis=1).repeat(2, axis=2)
    corrupted = doublevit.corrupt(images, "contrast", severity=3)
    assert corrupted.shape == images.shape
    assert corrupted.std() < images.std()
    assert np.array_equal(doublevit.corrupt(images[0], "contrast", severity=3), corrupted[0])
    with pytest.raises(UserError, match="did you mean fog"):
        doublevit.corrupt(images, "fogg")
    model, pixels = wrapped(), torch.from_numpy(images).permute(0, 3, 1, 2)
    perturbed = doublevit.attack(model, pixels, made.labels.tolist(), "pgd", epsilon="100/255")
    assert (perturbed - pixels / 255).abs().max() <= 100 / 255 + 1e-6
    assert (model(perturbed).argmax(1) != torch.from_numpy(made.labels)).all()
    with pytest.raises(UserError, match="expected labels as whole numbers"):
        doublevit.attack(model, pixels, [0.5] * len(pixels), "fgsm")
    with pytest.raises(UserError, match="and a label for each"):
        doublevit.attack(model, pixels, [0], "fgsm")
    with pytest.raises(UserError, match="is several attacks in a row"):
        doublevit.attack(model, pixels, made.labels.tolist(), "autoattack")


def test_training_from_python(tmp_path):
    run = doublevit.train("digits-vit", epochs=0, seed=3, model_top_k="4", name="mine", output=tmp_path)
    recipe = RunFolder(run.path).recipe()
    assert (recipe["seed"], recipe["model"]["top_k"], recipe["train"]["epochs"]) == (3, "4", 0)
    assert run.model.model_id().top_k == (4,)
    with pytest.raises(UserError, match="unknown field of a recipe 'epoch'; did you mean epochs"):
        doublevit.train("digits-vit", epoch=0)
    with pytest.raises(UserError, match="`recipe`: expected a recipe's name"):
        doublevit.train()


@pytest.mark.parametrize(
    "module",
    [
        "doublevit.jobs.model",
        "doublevit.jobs.wrap",
        "doublevit.jobs.open_model",
        "doublevit.api.evaluation",
        "doublevit.api.images",
        "doublevit.api.training",
    ],
)
def test_examples_in_docstrings_run(module, tmp_path, monkeypatch):
    import doctest
    import importlib

    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted
    assert not result.failed
