"""What a run gets wrong: numbers by other libraries and by hand, the very images, words for conditions, no torch."""

import csv
import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, log_loss

from conftest import copied
from doublevit.analysis.calibration import calibration, reliability_bins
from doublevit.analysis.classes import best_first, class_results, confusions, most_confident_mistakes, worst_first
from doublevit.analysis.evaluated_images import evaluated_images
from doublevit.analysis.saved_predictions import find_predictions, saved_predictions
from doublevit.attacks.config import AttackConfig
from doublevit.cli.inspect import errors
from doublevit.corrupted_sets.config import RobustnessConfig
from doublevit.corruptions.apply import corrupt
from doublevit.corruptions.config import VERSION
from doublevit.data import DataConfig, load
from doublevit.data.identity import DatasetId, Subset
from doublevit.data.sheet import WIDE_TILE
from doublevit.errors import UserError
from doublevit.jobs.evaluate import evaluate
from doublevit.jobs.options import Evaluate
from doublevit.report import plots
from doublevit.report.sheets import COLUMNS, first_name, mistakes_sheet
from doublevit.runs.conditions import AdaptationId, Clean, Corruption, CorruptionMean, CorruptionSource
from doublevit.runs.folder import RunFolder
from doublevit.runs.predictions import Predictions
from doublevit.runs.results import EvalResult, Results
from doublevit.runs.row import Row
from doublevit.statistics import bootstrap
from made_runs import ADAPTATIONS, HOME_MADE, IMAGES, LAST, checkpoint, corruption, pgd, transfer

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NO_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "timm", "accelerate"):
            raise ImportError(f"{name} is not here")

sys.meta_path.insert(0, NoTorch())
from doublevit.cli.inspect import errors
errors(sys.argv[1:])
"""


def predictions(classes: int = 4, count: int = 600, seed: int = 0) -> tuple[Predictions, np.ndarray]:
    """Of a model that is too sure of itself, and the probabilities of all classes."""
    random = np.random.default_rng(seed)
    labels = random.integers(classes - 1, size=count)  # the last class has no images
    logits = 2 * random.normal(size=(count, classes))
    logits[np.arange(count), labels] += random.integers(0, 6, count)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    order = np.argsort(-shares, axis=1)
    best = np.take_along_axis(shares, order, axis=1).astype(np.float32)
    return Predictions(labels, order.astype(np.int32), best, np.log(shares[np.arange(count), labels])), shares


def answers(found: Predictions) -> tuple[np.ndarray, np.ndarray]:
    return found.labels, found.classes[:, 0]


def test_classes_are_those_of_the_confusion_matrix():
    matrix = confusion_matrix(*answers(predictions()[0]), labels=range(4))
    results = class_results(*answers(predictions()[0]), 4)
    assert [result.images for result in results] == matrix.sum(axis=1).tolist()
    assert [result.correct for result in results] == matrix.diagonal().tolist()
    assert [result.predicted for result in results] == matrix.sum(axis=0).tolist()
    for result in results[:3]:
        interval = binomtest(result.correct, result.images).proportion_ci(method="wilson")
        assert (result.low, result.high) == pytest.approx(tuple(interval))
    assert (results[3].images, results[3].low, results[3].high) == (0, 0, 1)
    assert results[3].predicted > 0


def test_worst_and_best_classes_and_ties():
    labels = np.repeat([0, 1, 2, 3], [4, 20, 2, 6])
    right = np.concatenate([[0] * 4, [0] * 20, [1] * 2, [1] * 6]).astype(bool)
    results = class_results(labels, np.where(right, labels, 4), 5)
    assert [result.label for result in worst_first(results)][:2] == [1, 0]  # 0 of 20 is surer than 0 of 4
    assert [result.label for result in best_first(results)][:2] == [3, 2]
    assert 4 not in [result.label for result in worst_first(results)]


def test_confusions_are_those_of_the_matrix():
    matrix = confusion_matrix(*answers(predictions()[0]), labels=range(4))
    pairs = confusions(*answers(predictions()[0]))
    expected = {(true, said): matrix[true, said] for true, said in zip(*np.nonzero(matrix), strict=True)}
    expected = {pair: count for pair, count in expected.items() if pair[0] != pair[1]}
    assert {(pair.label, pair.predicted): pair.images for pair in pairs} == expected
    assert all(pair.fraction == pytest.approx(pair.images / matrix[pair.label].sum()) for pair in pairs)
    assert [pair.images for pair in pairs] == sorted(expected.values(), reverse=True)
    assert confusions(np.arange(3), np.arange(3)) == []


def test_calibration_error_by_hand():
    confidence = np.array([0.95, 0.97, 0.55, 0.58, 0.3])
    hits = np.array([True, False, True, True, False])
    found = reliability_bins(confidence, hits, np.linspace(0, 1, 16))
    # bins: {.95, .97}, half right; {.55, .58}, all right; {.3}, wrong
    gaps = np.array([0.96 - 0.5, 1 - 0.565, 0.3])
    assert found.ece.value == pytest.approx((2 * gaps[0] + 2 * gaps[1] + gaps[2]) / 5)
    assert found.mce == (pytest.approx(gaps[0]), 2)
    assert found.counts.tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 2]
    assert np.isnan(found.accuracy[0])


def test_a_bin_holds_its_upper_edge():
    edges = np.linspace(0, 1, 16)
    counts = reliability_bins(np.array([0.0, edges[3], edges[3] + 1e-9, 1.0]), np.ones(4, bool), edges).counts
    assert np.flatnonzero(counts).tolist() == [0, 2, 3, 14]


@pytest.mark.parametrize(("binning", "strategy"), [("equal_width", "uniform"), ("equal_mass", "quantile")])
def test_bins_are_those_of_scikit_learn(binning, strategy):
    found = predictions()[0]
    bins = getattr(calibration(found), binning)
    accuracy, confidence = calibration_curve(found.correct(1), found.probabilities[:, 0], n_bins=15, strategy=strategy)
    full = bins.counts > 0
    assert bins.accuracy[full] == pytest.approx(accuracy)
    assert bins.confidence[full] == pytest.approx(confidence, abs=1e-6)
    weights = bins.counts[full] / 600
    assert bins.ece.value == pytest.approx(np.sum(weights * np.abs(accuracy - confidence)), abs=1e-6)
    assert bins.mce[0] == pytest.approx(np.abs(accuracy - confidence).max(), abs=1e-6)
    if binning == "equal_mass":
        assert set(bins.counts) == {40}


def test_likelihood_and_confidence():
    found, shares = predictions()
    result = calibration(found)
    assert result.negative_log_likelihood == pytest.approx(log_loss(found.labels, shares, labels=range(4)))
    assert result.accuracy == found.correct(1).mean()
    assert result.confidence == pytest.approx(shares.max(axis=1).mean(), abs=1e-6)


def test_interval_of_one_bin_is_that_of_its_accuracy():
    hits = np.arange(1000) % 10 < 6
    found = reliability_bins(np.full(1000, 0.9), hits, np.linspace(0, 1, 16))
    half = 1.96 * np.sqrt(0.6 * 0.4 / 1000)
    assert found.ece.value == pytest.approx(0.3)
    assert (found.ece.low, found.ece.high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.005)
    deviation = np.sqrt(0.9 * 0.1 / 1000)  # of the accuracy of a calibrated model; its error is a folded normal
    assert found.ece_if_calibrated == pytest.approx((deviation * np.sqrt(2 / np.pi), 1.96 * deviation), rel=0.1)


@pytest.mark.slow
def test_interval_holds_the_truth_in_spite_of_the_bias():
    random, held = np.random.default_rng(3), []
    for _ in range(20):
        confidence = random.uniform(0.3, 1, 1000)
        hits = random.random(1000) < confidence - 0.08
        error = reliability_bins(confidence, hits, np.linspace(0, 1, 16)).ece
        held.append(error.low <= 0.08 <= error.high)
    assert np.mean(held) >= 0.85
    gaps = (np.searchsorted(np.linspace(0, 1, 16)[1:-1], confidence) == np.arange(15)[:, None]) * (confidence - hits)
    drawn = bootstrap([gaps], lambda means: np.abs(means).sum(axis=1))
    assert (error.low, error.high) == pytest.approx((2 * error.value - drawn.high, 2 * error.value - drawn.low))
    calibrated = reliability_bins(confidence, random.random(1000) < confidence, np.linspace(0, 1, 16))
    assert calibrated.ece.low == 0
    assert 0 < calibrated.ece.value <= calibrated.ece.high


FACTS = {
    "model": "m",
    "dataset": IMAGES,
    "condition": Clean(),
    "metric": "top-1",
    "low": 0.1,
    "high": 0.9,
    "seed": 0,
    "checkpoint": LAST,
    "precision": "float32",
    "seconds": 1.0,
}


def add(run: RunFolder, right: int = 3, *, of: int = 4, saved: bool = True, **changes: object) -> Row:
    """A measurement of made-up predictions."""
    labels = np.arange(of) % 2
    answers = np.where(np.arange(of) < right, labels, 1 - labels)
    classes = np.stack([answers, 1 - answers], axis=1).astype(np.int32)
    found = Predictions(labels, classes, np.tile(np.float32([0.8, 0.2]), (of, 1)), np.log(np.full(of, 0.5)))
    row = Row(**(FACTS | {"value": right / of, "count": of} | changes))
    if saved:
        Results(run).add(EvalResult((row, msgspec.structs.replace(row, metric="top-3", value=1.0)), found))
    else:
        run.add_rows([row])
    return row


def fog(severity: int) -> Corruption:
    return corruption("fog", severity)


MOMENTUM = AdaptationId(method="momentum", layers=53, batch_size=100, seed=3, batches=3, momentum=0.1)
BEST = checkpoint("best", LAST.name, LAST.digest)


@pytest.fixture
def run(tmp_path) -> RunFolder:
    """Rows of many conditions."""
    folder = RunFolder.create({"name": "m"}, tmp_path, "m")
    robust = {"metric": "robust top-1"}
    mean = CorruptionMean(group="paper", corruptions=("fog",), severities=(3,), source=HOME_MADE)
    add(folder, 1)
    add(folder, 1, checkpoint=BEST)
    add(folder, 3, top_k=(3,))
    add(folder, 2, condition=fog(3))
    add(folder, 2, condition=fog(5), adapted=MOMENTUM)
    add(folder, 2, condition=fog(5))
    add(folder, 2, condition=fog(4), top_k=(3,))
    add(folder, 2, condition=pgd(1 / 255), **robust)
    add(folder, 2, condition=pgd(1 / 255, budgets="independent"), **robust)
    add(folder, 2, condition=pgd(0.5, norm="l2"), **robust)
    add(folder, 2, condition=transfer(1 / 255, "other run"), **robust)
    add(folder, 2, condition=mean, metric="mean top-1", saved=False)
    add(folder, 2, condition=fog(1), saved=False)
    return folder


def test_the_method_of_an_adaptation_is_a_word(run):
    """Every adapted row says "batch norm"; only one of them is by batch."""
    for method in ("batch", "set"):
        add(run, 2, condition=fog(2), adapted=ADAPTATIONS[method])
    assert [found.row.adapted for found in find_predictions(run, ["fog", "batch"])] == [ADAPTATIONS["batch"]]
    assert len(find_predictions(run, ["fog", "set"])) == 1


@pytest.mark.parametrize(
    ("words", "name", "fit"),
    [
        ("clean", "clean top-k=3", 3),
        ("clean best", "clean best", 1),
        ("clean last top-k=none", "clean", 1),
        ("clean top-k=3", "clean top-k=3", 1),
        ("fog 3", "fog 3", 1),  # no other number is a severity
        ("FOG 5", "fog 5", 2),
        ("fog adapted", "fog 5 adapted batch norm: 53 layers, 3 batches of 100, momentum 0.1, seed 3", 1),
        ("fog 5 momentum", "fog 5 adapted batch norm: 53 layers, 3 batches of 100, momentum 0.1, seed 3", 1),
        ("fog unadapted 5", "fog 5", 1),
        ("corruption", "fog 4 top-k=3", 4),
        ("pgd 1/255", "pgd linf 1/255", 2),
        ("1/255 nested", "pgd linf 1/255", 1),
        ("pgd l2", "pgd l2 0.5", 1),
        ("transfer pgd", "transfer other run pgd linf 1/255", 1),
        ("n=4 best", "clean best", 1),
    ],
)
def test_words_find_the_newest_that_has_them_all(run, words, name, fit):
    found = find_predictions(run, words.split())
    assert (found[-1].name, len(found)) == (name, fit)


def test_the_newest_counts_as_measured_last(run):
    again = add(run, 1)  # the same condition as the oldest
    assert find_predictions(run, ["clean"])[-1].row == again
    assert len(saved_predictions(run)) == 11


@pytest.mark.parametrize("words", ["fog 2", "fog 1", "fogg", "mean", "paper", "10", "pgd 2/255", "n=5", "clean fog"])
def test_what_is_not_there_is_told_in_one_line(run, words):
    with pytest.raises(UserError) as error:
        find_predictions(run, words.split())
    text = str(error.value)
    assert "\n" not in text
    assert "clean; fog 3 5 4; pgd linf 1/255; pgd l2 0.5; transfer other run pgd linf 1/255" in text
    assert text.endswith("further words: best, top-k=3, adapted")
    assert words in text


def test_folder_names_are_safe(run):
    names = [found.folder_name for found in saved_predictions(run)]
    assert len(set(names)) == len(names)
    assert {"clean", "clean-best", "clean-top-k=3", "fog-3", "pgd-linf-1-255", "pgd-l2-0.5"} <= {
        name[:-9] for name in names
    }
    assert all(not set(name) & set('/\\:*?"<>| %') for name in names)
    add(run, top_k=(0.1,))
    assert saved_predictions(run)[-1].folder_name[:-9] == "clean-top-k=10pct"


def test_predictions_of_another_row_are_refused(run):
    row = add(run, 1)
    add_predictions = find_predictions(run, ["clean", "last", "top-k=none"])[-1]
    other, _ = predictions(2, 4)
    other.save(run.predictions_path(row))
    with pytest.raises(UserError, match=r"is not what its row in results\.jsonl was read from") as error:
        add_predictions.load()
    assert "\n" not in str(error.value)


SEEDED = CorruptionSource(kind="home-made", constants="small", seed=5, version=VERSION)


def measured_on(images, **changes: object) -> tuple[Row, Predictions]:
    """A row and predictions of some images."""
    classes = np.tile(np.arange(10, dtype=np.int32), (len(images), 1))
    found = Predictions(images.labels, classes, np.ones((len(images), 10)) / 10, np.zeros(len(images)))
    row = Row(**(FACTS | {"dataset": images.id, "value": 0.1, "count": len(images)} | changes))
    return row, found


@pytest.fixture(scope="module")
def val():
    return load(DataConfig("digits"))["val"]


@pytest.mark.parametrize("part", ["all", "first", "stratified"])
def test_the_very_images_of_every_kind_of_subset(val, part):
    images = {"all": val, "first": val.first(30), "stratified": val.stratified(30, 7)}[part]
    found = evaluated_images(*measured_on(images), val, Path())
    assert np.array_equal(found.images[np.arange(len(images))], images.images)
    assert (found.class_names, found.remark) == (NAMES, "")


@pytest.mark.parametrize("name", ["gaussian_noise", "frost"])
def test_corrupted_images_are_made_again(val, name, tmp_path):
    from doublevit.corruptions.config import table_for

    images = val.stratified(20, 1)
    source = msgspec.structs.replace(SEEDED, constants=table_for(*val.images.shape[1:3]).name)
    condition = corruption(name, 3, source)
    found = evaluated_images(*measured_on(images, condition=condition), val, tmp_path)
    assert np.array_equal(found.images[np.arange(20)], corrupt(images.images, name, 3, seed=5))
    assert found.remark == ""
    for change in ({"saved_as": "JPEG, quality 85"}, {"version": 0}, {"constants": "other"}):
        other = corruption(name, 3, msgspec.structs.replace(source, **change))
        found = evaluated_images(*measured_on(images, condition=other), val, tmp_path)
        assert np.array_equal(found.images, images.images)
        assert "shown clean" in found.remark
    if name == "frost":
        other = corruption(name, 3, source, frost="published textures")
        assert "shown clean" in evaluated_images(*measured_on(images, condition=other), val, tmp_path).remark


def test_attacked_images_are_shown_clean_and_it_is_said(val):
    found = evaluated_images(*measured_on(val, condition=pgd(0.1)), val, Path())
    assert np.array_equal(found.images, val.images)
    assert "shown clean" in found.remark


def test_other_images_are_never_shown(val):
    other = dataclasses.replace(val, id=DatasetId("elsewhere"))
    shuffled = dataclasses.replace(val, labels=val.labels[::-1].copy())
    fewer = dataclasses.replace(val.subset(val.labels < 9), class_ids=val.class_ids[:9], class_names=NAMES[:9])
    wrong = msgspec.structs.replace(val.id, subset=Subset("stratified", 400, 0))
    larger = dataclasses.replace(val.stratified(30), id=wrong)
    pairs = ((other, val), (shuffled, val), (larger, val), (val, val.first(30)), (val, fewer), (fewer, fewer))
    for images, there in pairs:
        found = evaluated_images(*measured_on(images), there, Path())
        assert found.images is None
        assert found.class_names[3] == "class 3"
        assert "is not what was measured" in found.remark
    condition = corruption("fog", 3, CorruptionSource(kind="published"))
    published = evaluated_images(*measured_on(other, condition=condition), val, Path())
    assert published.images is None
    assert published.class_names == NAMES
    assert "no gallery" in published.remark


def test_mistakes_are_the_surest_first():
    found = predictions()[0]
    wrong = [place for place in range(600) if found.classes[place, 0] != found.labels[place]]
    wrong.sort(key=lambda place: -found.probabilities[place, 0])
    assert most_confident_mistakes(found, 7).tolist() == wrong[:7]
    assert sorted(most_confident_mistakes(found, 600)) == sorted(wrong)


def test_the_sheet_shows_those_images(val):
    _, found = measured_on(val)
    places = np.array([5, 50, 7, 8, 9, 11, 200])
    sheet = mistakes_sheet(val.images, found, places, NAMES, "heading\nremark")
    assert sheet.width == COLUMNS * WIDE_TILE
    pixels = np.asarray(sheet)
    tops = [row for row in range(sheet.height - 190) if (pixels[row : row + 192, 192] == 255).all()]
    for number, place in enumerate(places):
        tile = np.asarray(Image.fromarray(val.images[place]).resize((192, 192), Image.Resampling.NEAREST))
        left = number % COLUMNS * WIDE_TILE
        assert any(np.array_equal(pixels[top : top + 192, left : left + 192], tile) for top in tops), place


def test_captions_fit_and_name_the_class(monkeypatch, val):
    from doublevit.report import sheets

    rows = []
    sheet = sheets.captioned_sheet
    monkeypatch.setattr(sheets, "captioned_sheet", lambda tiles: rows.extend(tiles) or sheet(tiles))
    found = measured_on(val)[1]
    found.probabilities[:, 0] = 0.9999
    names = ("goldfish, Carassius auratus", *NAMES[1:])
    mistakes_sheet(val.images, found, np.array([4]), names, "heading")
    true = first_name(names[val.labels[4]])
    assert rows[0][0][1] == [f"true: {true}", "predicted: goldfish 99.9 %"]


def text_inside(figure) -> bool:
    """Whether all that is drawn lies on the paper."""
    figure.draw_without_rendering()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return bool(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height)


def test_plots_are_not_cut_off_and_say_what_they_show():
    found = predictions()[0]
    title = "a-run-with-quite-a-long-name-20250101-101010, clean adapted batch norm: 53 layers, batch of 100, N=16"
    result = calibration(found)
    figure = plots.reliability(result, title)
    error = result.equal_width.ece
    assert text_inside(figure)
    assert f"expected calibration error {100 * error.value:.1f} %" in figure.get_suptitle().replace("\n", " ")
    assert "n = 600" in figure.get_suptitle()
    bars = [bar.get_height() for bar in figure.axes[1].patches]
    assert bars == result.equal_width.counts.tolist()
    names = ["$a_b$ [x]", "goldfish, Carassius auratus", "a name of very many words that goes on and on", "one"]
    figure = plots.classes(class_results(*answers(found), 4), names, 10, title)
    assert text_inside(figure)
    labels = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert len(labels) == 3
    assert not any(label.get_parse_math() for label in figure.axes[1].get_yticklabels())
    assert any(label.startswith("goldfish (") for label in labels)
    assert any(label.startswith("$a_b$ [x] (") for label in labels)


@pytest.fixture(scope="module")
def measured(digits_run, tmp_path_factory) -> Path:
    """Clean, corrupted and attacked."""
    path = copied(digits_run, tmp_path_factory.mktemp("measured"))
    evaluate(Evaluate(path))
    robustness = RobustnessConfig(("gaussian_noise",), severities=(3,))
    attack = AttackConfig(("fgsm",), epsilons=("1/255", "8/255"))
    evaluate(Evaluate(path, samples=120, seed=3, robustness=robustness, attack=attack))
    return path


def tell(capsys, *arguments: object) -> str:
    errors([str(argument) for argument in arguments])
    return capsys.readouterr().out


@pytest.mark.slow
def test_the_command_end_to_end(measured, capsys):
    text = tell(capsys, measured, "--condition", "gaussian_noise", "3", "--worst", "4", "--mistakes", "5")
    row = next(row for row in RunFolder(measured).rows() if isinstance(row.condition, Corruption))
    found = Predictions.load(RunFolder(measured).predictions_path(row))
    first = text.splitlines()[0]
    assert first.startswith(
        f"fresh, gaussian_noise 3: {row.value:.1%} of 120 images right (95 % interval {row.low:.1%}"
    )
    assert "expected calibration error" in first
    (folder,) = (measured / "errors").glob("gaussian_noise-3-*")
    assert all(f"{file}  " in text for file in folder.iterdir())
    assert len(list(folder.iterdir())) == 10
    matrix = confusion_matrix(found.labels, found.classes[:, 0], labels=range(10))
    classes = list(csv.DictReader((folder / "classes.csv").open()))
    assert [entry["name"] for entry in classes] == list(NAMES)
    assert [int(entry["correct"]) for entry in classes] == matrix.diagonal().tolist()
    assert [float(entry["accuracy"]) for entry in classes] == pytest.approx(matrix.diagonal() / matrix.sum(axis=1))
    pairs = list(csv.DictReader((folder / "confusions.csv").open()))
    assert sum(int(entry["images"]) for entry in pairs) == 120 - matrix.trace()
    assert NAMES[int(pairs[0]["true"])] == pairs[0]["true_name"]
    told = json.loads((folder / "calibration.json").read_text())
    expected = calibration(found)
    assert told["equal_width"]["expected_calibration_error"]["value"] == expected.equal_width.ece.value
    assert sum(told["equal_mass"]["images"]) == 120
    assert told["measurement"]["condition"] == msgspec.to_builtins(row.condition)
    assert f"{expected.negative_log_likelihood:.3f}" in text
    assert Image.open(folder / "mistakes.png").width == 5 * WIDE_TILE
    worst = text[text.index("Worst classes") : text.index("Best classes")]
    assert sum(name in worst for name in NAMES) >= 4
    assert "remark" not in text


@pytest.mark.slow
def test_the_newest_clean_one_and_the_same_bytes_again(measured, capsys):
    text = tell(capsys, measured)
    assert "of 120 images right" in text
    assert "120 stratified by class, seed 3" in text
    assert "newest of 2 that fit" in text
    folder = measured / "errors" / find_predictions(RunFolder(measured), ["clean"])[-1].folder_name
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    tell(capsys, measured, "--condition", "clean", "n=120")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == files


@pytest.mark.slow
def test_attacks_are_told_as_such(measured, capsys):
    text = tell(capsys, measured, "--condition", "fgsm", "8/255")
    assert "fresh, fgsm linf 8/255: " in text
    assert "remark: images are shown clean, without what the attack did to them" in text
    text = tell(capsys, measured, "--condition", "fgsm", "1/255", "--mistakes", "0")
    assert "remark" not in text
    assert "mistakes.png" not in text


@pytest.mark.slow
@pytest.mark.parametrize(("described", "name"), [(True, "three"), (False, "class 3")])
def test_without_the_images_names_remain_or_else_numbers(described, name, measured, tmp_path, capsys):
    path = copied(measured, tmp_path)
    stale = path / "errors" / find_predictions(RunFolder(path), ["clean"])[-1].folder_name / "mistakes.png"
    stale.parent.mkdir(parents=True, exist_ok=True)
    stale.touch()
    recipe = json.loads((path / "recipe.json").read_text())
    recipe["data"] |= {"source": "tiny-imagenet", "path": str(tmp_path / "gone"), "download": True}
    (path / "recipe.json").write_text(json.dumps(recipe))
    if not described:
        (path / "model.json").unlink()
    text = tell(capsys, path)
    assert "remark: the images cannot be had" in text
    assert ("classes are told by number" in text) is not described
    assert "gone does not exist" in text
    assert name in text
    assert not stale.exists()
    assert [entry["name"] for entry in csv.DictReader((stale.parent / "classes.csv").open())][3] == name


@pytest.mark.slow
def test_no_torch_is_needed(measured, tmp_path):
    path = copied(measured, tmp_path)
    command = [sys.executable, "-c", NO_TORCH, str(path), "--condition", "gaussian_noise", "3"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "mistakes.png" in result.stdout
    assert "remark" not in result.stdout
    assert result.stderr == ""


@pytest.mark.slow
def test_bad_input_is_one_line(measured, digits_run, tmp_path):
    empty = copied(digits_run, tmp_path / "empty")
    (empty / "results.jsonl").unlink(missing_ok=True)
    damaged = copied(measured, tmp_path / "damaged")
    shutil.rmtree(damaged / "errors", ignore_errors=True)
    find_predictions(RunFolder(damaged), ["clean"])[-1].path.write_bytes(b"PK damaged")
    cases = {
        (str(measured), "--worst", "0"): "--worst: expected at least 1, found 0",
        (str(measured), "--mistakes", "-1"): "--mistakes: expected 0 to 600, found -1",
        (str(measured), "--mistakes", "many"): "many",
        (str(measured), "--condition", "snow", "3"): "there are: clean; gaussian_noise 3; fgsm linf 1/255 8/255",
        (str(measured), "--condition"): "--condition",
        (str(tmp_path),): "is no run",
        (str(empty),): "has no measurement with predictions; first give: doublevit evaluate",
        (str(damaged),): "is damaged",
    }
    for arguments, expected in cases.items():
        with pytest.raises(UserError) as error:
            errors(arguments)
        assert expected in str(error.value)
        assert "\n" not in str(error.value)
    assert not (damaged / "errors").exists()
