import dataclasses
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from sklearn.metrics import top_k_accuracy_score
from torch import nn

from doublevit import strict_json
from doublevit.augment import describe
from doublevit.data.dataset import Dataset
from doublevit.data.identity import DatasetId
from doublevit.errors import UserError
from doublevit.evaluators.prediction import PredictionResult, accuracy_result, accuracy_rows, expected_accuracy, predict
from doublevit.recipes import RECIPES, from_dict, to_dict
from doublevit.runs.conditions import CheckpointId, Clean, ModelId
from doublevit.runs.folder import RunFolder
from doublevit.runs.predictions import Predictions
from doublevit.runs.results import EvalResult, Results
from doublevit.runs.row import row_from
from doublevit.statistics import wilson_interval

MODEL = ModelId(
    model="model", seed=0, checkpoint=CheckpointId(which="last", name="epoch-001", digest="0" * 8), precision="float32"
)


class Fixed(nn.Module):
    """Logits by sample: the first two pixels of an image say which sample it is."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first, second = images[:, 0, 0, 0].long(), images[:, 0, 0, 1].long()
        return self.logits[first + 256 * second]


def numbered(count: int, classes: int) -> tuple[Dataset, np.ndarray]:
    images = np.zeros((count, 2, 2, 3), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.arange(count) % 256, np.arange(count) // 256
    labels = np.random.default_rng(0).integers(0, classes, count)
    names = tuple(map(str, range(classes)))
    return Dataset(images, labels, names, names, DatasetId("numbered")), labels


@pytest.mark.parametrize("batch_size", [1, 7, 100, 1000])
def test_accuracies_are_scikit_learns_whatever_the_batch(batch_size):
    dataset, labels = numbered(301, 8)
    logits = torch.randn(301, 8, generator=torch.Generator().manual_seed(0))
    found = predict(Fixed(logits), dataset, torch.float32, batch_size)
    predictions = found.predictions
    *tops, balanced, f1 = accuracy_rows(found, MODEL, Clean())
    assert (balanced.metric, f1.metric) == ("balanced accuracy", "macro-F1")
    for row, k in zip(tops, (1, 3, 5), strict=True):
        assert (row.metric, row.count) == (f"top-{k}", 301)
        assert row.value == pytest.approx(top_k_accuracy_score(labels, logits.numpy(), k=k))
        assert row.low < row.value < row.high
    log_probabilities = torch.log_softmax(logits, 1)
    assert np.allclose(predictions.label_log_probability, log_probabilities[range(301), labels], atol=1e-5)
    assert np.allclose(predictions.probabilities[:, 0], log_probabilities.exp().max(1).values, atol=1e-5)


def test_logits_that_are_not_finite_are_an_error():
    dataset, _ = numbered(10, 3)
    logits = torch.zeros(10, 3)
    logits[4, 1] = float("nan")
    with pytest.raises(UserError, match="not finite"):
        predict(Fixed(logits), dataset, torch.float32)


@pytest.mark.parametrize(("right", "count"), [(0, 10), (10, 10), (6152, 10_000), (1, 3)])
def test_wilson_interval_is_the_closed_form(right, count):
    z, p = 1.959963984540054, right / count
    center = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(p * (1 - p) / count + z * z / (4 * count**2))
    assert wilson_interval(right, count) == pytest.approx((max(0, center - half), min(1, center + half)), abs=1e-9)


@pytest.mark.parametrize(("right", "count"), [(1, 0), (-1, 5), (6, 5)])
def test_impossible_counts(right, count):
    with pytest.raises(ValueError, match="expected"):
        wilson_interval(right, count)


def make_run(tmp_path: Path) -> RunFolder:
    return RunFolder.create({"name": "test"}, tmp_path)


def make_predictions() -> Predictions:
    """Of two images of three classes, the first three classes each."""
    return Predictions(
        np.array([0, 1]), np.array([[0, 1, 2]] * 2), np.array([[0.8, 0.1, 0.1]] * 2), np.array([-0.1, -2.3])
    )


def make_result() -> PredictionResult:
    names = ("a", "b", "c")
    dataset = Dataset(np.zeros((2, 2, 2, 3), np.uint8), np.array([0, 1]), names, names, DatasetId("data", "12345678"))
    return PredictionResult(make_predictions(), dataset, 1.0)


def test_rows_and_predictions_come_back_as_written(tmp_path):
    run, predictions = make_run(tmp_path), make_predictions()
    rows = accuracy_rows(make_result(), MODEL, Clean())
    Results(run).add(EvalResult(tuple(rows), predictions))
    assert run.rows() == rows
    loaded = Predictions.load(run.predictions_path(rows[0]))
    assert all(
        np.array_equal(getattr(loaded, f.name), getattr(predictions, f.name)) for f in dataclasses.fields(loaded)
    )
    assert loaded.correct(1).tolist() == [True, False]
    with pytest.raises(UserError, match="top-4"):
        loaded.correct(4)


def test_half_written_last_line_is_passed_over_and_mended(tmp_path):
    run, predictions = make_run(tmp_path), make_predictions()
    rows = accuracy_rows(make_result(), MODEL, Clean())
    Results(run).add(EvalResult(tuple(rows), predictions))
    with (run.path / "results.jsonl").open("a") as file:
        file.write('{"model": "cut sho')
    assert run.rows() == rows
    Results(run).add(EvalResult(tuple(rows), predictions))
    assert run.rows() == rows * 2


def test_damaged_line_in_the_middle_is_named(tmp_path):
    run = make_run(tmp_path)
    (run.path / "results.jsonl").write_text('{"model": cut\n{"model": "x"}\n')
    with pytest.raises(UserError, match="line 1 is damaged"):
        run.rows()


def test_pickled_predictions_are_refused(tmp_path):
    np.savez(
        tmp_path / "p.npz", labels=np.array([{}], dtype=object), classes=1, probabilities=1, label_log_probability=1
    )
    with pytest.raises(ValueError, match=r"is damaged \(ValueError\)"):
        Predictions.load(tmp_path / "p.npz")


def test_run_that_cannot_be_written_leaves_its_name_free(tmp_path, monkeypatch):
    monkeypatch.setattr("doublevit.runs.folder.write_text", lambda *_: (_ for _ in ()).throw(UserError("full")))
    with pytest.raises(UserError, match="full"):
        RunFolder.create({"name": "test"}, tmp_path, "mine")
    assert list(tmp_path.iterdir()) == []


def test_runs_never_share_a_folder(tmp_path):
    names = {make_run(tmp_path).path.name for _ in range(3)}
    assert len(names) == 3
    RunFolder.create({"name": "test"}, tmp_path, "mine")
    with pytest.raises(UserError, match=r"mine exists.*`resume="):
        RunFolder.create({"name": "test"}, tmp_path, "mine")


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", ""])
def test_names_cannot_leave_the_folder_of_runs(tmp_path, name):
    with pytest.raises(UserError, match="no name for a run"):
        RunFolder.create({"name": "test"}, tmp_path / "runs", name or " ")


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_recipes_survive_their_json(recipe):
    assert from_dict(json.loads(json.dumps(to_dict(recipe)))) == recipe


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith(("paper-", "ti-"))])
def test_the_papers_recipes_train_with_augmix_in_the_papers_order(name):
    said = describe(RECIPES[name].augment)
    assert said.startswith("augmix, severity 3, 3 chains of 1 to 3, alpha 1, operations timm (13)")
    assert said.endswith("at the network's input size" if name.startswith("paper-") else "at the image's own size")


def test_recipe_of_another_version_is_refused():
    entries = to_dict(RECIPES["digits-double"]) | {"color": "blue"}
    with pytest.raises(UserError, match="not of this version"):
        from_dict(entries)


def test_rows_hold_facts_and_come_back_from_json_as_they_were():
    text = strict_json.encode(accuracy_rows(make_result(), MODEL, Clean())[0])
    entry = json.loads(text)
    assert entry["version"] == 2
    assert entry["dataset"] == {"source": "data", "checksum": "12345678", "split": "", "subset": None, "skipped": 0}
    assert entry["checkpoint"] == {"which": "last", "name": "epoch-001", "digest": "00000000"}
    assert entry["condition"] == {"kind": "clean"}
    assert (entry["adapted"], entry["top_k"]) == (None, None)
    assert row_from(entry) == accuracy_rows(make_result(), MODEL, Clean())[0]


def test_rows_of_version_1_are_refused_in_a_line_that_names_it(tmp_path):
    run = make_run(tmp_path)
    (run.path / "results.jsonl").write_text('{"model": "x", "dataset": "digits", "version": 1}\n')
    with pytest.raises(
        UserError, match=r"rows of version 1, and .* reads version 2: delete .* evaluate again"
    ) as error:
        run.rows()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"value": "high"}, r"Expected 'float', got 'str' - at '\$.value'"),
        ({"count": 0}, "count is 0"),
        ({"color": "blue"}, "color"),
        ({"condition": {"kind": "fogged"}}, r"Invalid value 'fogged' - at '\$.condition.kind'"),
        ({"condition": {"kind": "clean", "fog": 1}}, "fog"),
        ({"checkpoint": {"which": "first", "name": "x", "digest": "y"}}, r"at '\$.checkpoint.which'"),
    ],
)
def test_what_is_no_row_is_named_by_its_path(tmp_path, change, words):
    run = make_run(tmp_path)
    entry = json.loads(strict_json.encode(accuracy_rows(make_result(), MODEL, Clean())[0])) | change
    (run.path / "results.jsonl").write_text(json.dumps(entry) + "\n")
    with pytest.raises(UserError, match=f"entry 1 is no row .*{words}"):
        run.rows()


@pytest.mark.parametrize("in_folder", [True, False])
def test_done_is_all_rows_and_predictions_of_these_weights_and_images(tmp_path, in_folder):
    found = make_result()
    results = Results(make_run(tmp_path) if in_folder else None)
    expected = expected_accuracy(MODEL, found.dataset, Clean())
    assert results.find(expected) is None
    results.add(accuracy_result(found, MODEL, Clean()))
    assert [row.metric for row in results.find(expected).rows[:2]] == ["top-1", "top-3"]
    assert results.find(expected).correct(1).tolist() == [True, False]
    moved = dataclasses.replace(found.dataset, id=DatasetId("elsewhere", "12345678"))
    assert results.find(expected_accuracy(MODEL, moved, Clean()))
    others = [
        expected_accuracy(msgspec.structs.replace(MODEL, top_k=(4,)), found.dataset, Clean()),
        expected_accuracy(MODEL, dataclasses.replace(found.dataset, id=DatasetId("data", "87654321")), Clean()),
        dataclasses.replace(expected, labels=np.array([1, 1])),
        dataclasses.replace(expected, metrics=("top-1", "top-5")),
    ]
    assert not any(map(results.find, others))
    if in_folder:
        RunFolder(results._run.path).predictions_path(results.rows[0]).unlink()
        assert results.find(expected) is None
