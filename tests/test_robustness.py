"""Evaluation on corruptions: the numbers by hand, stopping and going on, any batch size, two processes."""

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from conftest import copied
from doublevit.cli import main
from doublevit.corrupted_sets.config import RobustnessConfig
from doublevit.corrupted_sets.manifest import home_made
from doublevit.corrupted_sets.sets import condition_of
from doublevit.corruptions import COMMON, PAPER, SEVERITIES, VALIDATION
from doublevit.data.dataset import Dataset
from doublevit.data.identity import DatasetId
from doublevit.errors import UserError
from doublevit.evaluators.accuracy import CorruptionEvaluator
from doublevit.evaluators.evaluator import EvalModel
from doublevit.evaluators.prediction import PredictionResult, accuracy_result
from doublevit.jobs.evaluate import evaluate
from doublevit.jobs.options import Evaluate
from doublevit.runs.conditions import (
    CheckpointId,
    Clean,
    Condition,
    Corruption,
    CorruptionMean,
    CorruptionSource,
    ModelId,
)
from doublevit.runs.folder import RunFolder
from doublevit.runs.predictions import Predictions
from doublevit.runs.results import EvalResult, Results
from doublevit.runs.row import Row
from doublevit.statistics import bootstrap, wilson_interval
from moments import at_batch, ctrl_c
from processes import in_processes

HOME_MADE = home_made("tiny", 0)
MODEL = ModelId(
    model="model", seed=0, checkpoint=CheckpointId(which="last", name="epoch", digest="0" * 8), precision="float32"
)
OTHER = msgspec.structs.replace(MODEL, model="other")
CLASSES = tuple(map(str, range(3)))


@dataclasses.dataclass(frozen=True)
class ChosenSet:
    """A corrupted set that is never looked at: its cells are measured already."""

    count: int = 1000
    source: CorruptionSource = HOME_MADE
    frost: str | None = "generated textures"
    matched: bool = True

    def cell(self, cell: tuple[str, int]) -> Dataset:
        images = np.zeros((self.count, 1, 1, 3), np.uint8)
        return Dataset(images, np.zeros(self.count, np.int64), CLASSES, CLASSES, DatasetId("data"))


def correct(fraction: float, seed: int, count: int = 1000) -> np.ndarray:
    chosen = np.zeros(count, bool)
    chosen[: round(fraction * count)] = True
    np.random.default_rng(seed).shuffle(chosen)
    return chosen


def measurement(chosen: np.ndarray, condition: Condition, count: int = 1000) -> EvalResult:
    """Top-1 as chosen; the second class is always wrong too, the third never is."""
    classes = np.where(chosen[:, None], [[0, 1, 2]], [[1, 2, 0]])
    predictions = Predictions(np.zeros(count, np.int64), classes, np.full((count, 3), 1 / 3), np.full(count, -1.1))
    dataset = ChosenSet(count).cell(("none", 1))
    return accuracy_result(PredictionResult(predictions, dataset, 2.0), MODEL, condition)


def aggregated(
    clean: np.ndarray, cells: dict[tuple[str, int], np.ndarray], corrupted: ChosenSet, **reference
) -> list[Row]:
    """The rows that are worked out from cells which were measured before."""
    results = Results()
    results.add(measurement(clean, Clean(), len(clean)))
    evaluator = CorruptionEvaluator(corrupted, tuple(cells), **reference)
    for cell, chosen in cells.items():
        results.add(measurement(chosen, condition_of(corrupted, cell)))
    nothing = EvalModel(torch.nn.Identity(), MODEL)
    found = list(evaluator.run(nothing, ChosenSet(len(clean)).cell(("none", 1)), results))
    return [row for result in found[len(cells) :] for row in result.rows]


def test_bootstrap_of_a_proportion_is_its_interval():
    estimate = bootstrap([correct(0.7, 0)[None]], lambda means: means[:, 0])
    assert estimate.value == pytest.approx(0.7)
    assert (estimate.low, estimate.high) == pytest.approx(wilson_interval(700, 1000), abs=0.005)


def test_bootstrap_keeps_pairs_within_a_group_and_none_across():
    first, second = (correct(0.7, seed) for seed in (0, 1))

    def difference(means: np.ndarray) -> np.ndarray:
        return means[:, 0] - means[:, 1]

    assert dataclasses.astuple(bootstrap([np.stack([first, first])], difference)) == (0, 0, 0)
    apart = bootstrap([first[None], second[None]], difference)
    expected = 1.96 * np.sqrt(2 * 0.7 * 0.3 / 1000)
    assert apart.high - apart.low == pytest.approx(2 * expected, rel=0.1)


def test_aggregated_cells_by_hand():
    values = {
        (name, severity): 0.6 - 0.1 * severity + 0.02 * place for place, name in enumerate(PAPER) for severity in (1, 2)
    }
    cells = {cell: correct(value, place) for place, (cell, value) in enumerate(values.items())}
    others = {cell: measurement(correct(0.5, 7 + cell[1]), condition_of(ChosenSet(), cell)) for cell in cells}
    rows = aggregated(correct(0.8, 99), cells, ChosenSet(), reference=others, reference_id=OTHER)
    rows = {row.metric: row for row in rows}
    assert {row.condition.group for row in rows.values()} == {"paper"}
    mean = np.mean(list(values.values()))
    assert rows["mean top-1"].value == pytest.approx(mean)
    assert rows["relative change of top-1"].value == pytest.approx((mean - 0.8) / 0.8)
    ratio = np.mean([sum(1 - values[name, severity] for severity in (1, 2)) / (2 * 0.5) for name in PAPER])
    assert rows["error relative to another model"].value == pytest.approx(ratio)
    for row in rows.values():
        assert row.low < row.value < row.high or "top-3" in row.metric
        assert row.high - row.low < 0.2
        assert row.condition.severities == (1, 2)
        assert row.condition.source.kind == "home-made"
        assert row.condition.frost is None  # none of the paper's five is frost
        assert row.seconds == 2.0 * len(cells)
    assert rows["relative change of top-1"].condition.clean == "matched"
    assert rows["error relative to another model"].condition.relative_to == OTHER


def test_unmatched_clean_images_are_said():
    published = ChosenSet(source=CorruptionSource(kind="published"), frost=None, matched=False)
    cells = {(name, 1): correct(0.5, 1) for name in VALIDATION}
    rows = aggregated(correct(0.8, 2, count=700), cells, published)
    change = next(row for row in rows if "change" in row.metric)
    assert change.condition.clean == "unmatched"
    assert {row.condition.source.kind for row in rows} == {"published"}


def test_matched_images_are_drawn_together():
    """Cells that are right on the very images that the clean set is right on do not change at all."""
    clean = correct(0.7, 3)
    cells = {(name, 1): clean for name in VALIDATION}
    changes = []
    for matched in (True, False):
        rows = aggregated(clean, cells, ChosenSet(matched=matched))
        changes.append(next(row for row in rows if "change" in row.metric))
    assert changes[0].low == pytest.approx(0, abs=1e-6)
    assert changes[0].high == pytest.approx(0, abs=1e-6)
    assert changes[1].high - changes[1].low > 0.05


def test_what_is_no_group_is_named():
    cells = {(name, 1): correct(0.5, 1) for name in ("snow", "frost")}
    rows = aggregated(correct(0.8, 2), cells, ChosenSet())
    assert {(row.condition.group, row.condition.corruptions) for row in rows} == {("", ("snow", "frost"))}
    assert {row.condition.frost for row in rows} == {"generated textures"}
    whole = {(name, 1): correct(0.5, 1) for name in COMMON}
    rows = aggregated(correct(0.8, 2), whole, ChosenSet())
    assert {row.condition.group for row in rows} == {"common", "paper"}


def test_no_error_to_divide_by_and_no_clean_image_right():
    cells = {(name, 1): correct(0.5, 1) for name in ("snow", "frost")}
    perfect = {cell: measurement(chosen, condition_of(ChosenSet(), cell)) for cell, chosen in cells.items()}
    perfect[("snow", 1)] = measurement(correct(1.0, 2), condition_of(ChosenSet(), ("snow", 1)))
    rows = aggregated(correct(0.0, 2), cells, ChosenSet(), reference=perfect, reference_id=OTHER)
    assert {row.metric for row in rows if "top-3" not in row.metric} == {"mean top-1"}


def options(run: Path, names: tuple[str, ...] = ("paper",), **more: object) -> Evaluate:
    robustness = {key: more.pop(key) for key in ("corrupted_set", "relative_to", "corruption_seed") if key in more}
    return Evaluate(run, first=60, robustness=RobustnessConfig(names, severities=(1, 5), **robustness), **more)


def values(rows: list[Row]) -> list[tuple[object, ...]]:
    return [(found.condition, found.metric, found.value, found.low, found.high) for found in rows]


@pytest.fixture(scope="module")
def evaluated(digits_run, tmp_path_factory):
    """The paper's five at two severities."""
    path = copied(digits_run, tmp_path_factory.mktemp("evaluated"))
    return path, evaluate(options(path))


def test_rows_of_every_cell(evaluated):
    path, result = evaluated
    rows = RunFolder(path).rows()
    assert evaluate(options(path)).of_kind(CorruptionMean) == result.of_kind(CorruptionMean)
    assert RunFolder(path).rows() == rows  # nothing is added by asking again
    assert rows == result.rows
    assert len(result.of_kind(Corruption)) == 2 * 3 * len(PAPER)  # two severities, three metrics
    for found in result.of_kind(Corruption):
        assert found.condition.source == HOME_MADE
        predictions = Predictions.load(RunFolder(path).predictions_path(found))
        assert predictions.correct(int(found.metric[-1])).mean() == found.value
        assert found.count == 60
    assert (
        len({RunFolder(path).predictions_path(found) for found in rows if isinstance(found.condition, Corruption)})
        == 10
    )
    cells = {
        metric: np.mean([r.value for r in result.of_kind(Corruption) if r.metric == metric])
        for metric in ("top-1", "top-3", "top-5")
    }
    means = {found.metric: found.value for found in result.of_kind(CorruptionMean)}
    assert means["mean top-1"] == pytest.approx(cells["top-1"])
    assert means["mean top-3"] == pytest.approx(cells["top-3"])
    assert means["mean top-5"] == pytest.approx(cells["top-5"])


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [16, 256])
def test_any_batch_size_gives_the_same(digits_run, evaluated, tmp_path, batch_size):
    again = evaluate(options(copied(digits_run, tmp_path), batch_size=batch_size))
    assert values(again.of_kind(Corruption)) == values(evaluated[1].of_kind(Corruption))


def test_stopped_and_gone_on_with(digits_run, evaluated, tmp_path):
    path = copied(digits_run, tmp_path)
    with at_batch(5, ctrl_c, training=False) as first, pytest.raises(KeyboardInterrupt):
        evaluate(options(path))
    with at_batch(0, ctrl_c, training=False) as then:
        again = evaluate(options(path))
    assert (
        len(first) + len(then) == 5 + 1 + 10 - 4
    )  # five the first time; then all ten and the clean one but those four
    assert values(again.of_kind(Corruption)) == values(evaluated[1].of_kind(Corruption))
    assert values(again.of_kind(CorruptionMean)) == values(evaluated[1].of_kind(CorruptionMean))


def test_other_images_or_weights_of_the_same_names_are_measured_anew(evaluated, tmp_path):
    path = copied(evaluated[0], tmp_path)
    rows = len(RunFolder(path).rows())
    weights = next((path / "checkpoints").rglob("model.safetensors"))
    from safetensors.torch import load_file, save_file

    save_file({name: tensor + 0.01 for name, tensor in load_file(weights).items()}, weights)
    evaluate(options(path))
    assert len(RunFolder(path).rows()) > rows
    predictions = sorted((path / "predictions").iterdir())
    predictions[0].write_bytes(b"damaged")
    rows = len(RunFolder(path).rows())
    evaluate(options(path))
    assert len(RunFolder(path).rows()) in (
        rows,
        rows + 3,
        rows + 5,
    )  # what was damaged is measured again, if it is this one's


def test_rows_are_added_all_or_none(tmp_path, monkeypatch):
    from doublevit import jsonl

    path = tmp_path / "results.jsonl"
    jsonl.append_lines(path, [{"a": 1}])

    opened = Path.open

    def full(self, mode="r", *others, **more):
        file = opened(self, mode, *others, **more)
        if mode == "ab":
            write = file.write
            file_write = lambda text: (write(text[:5]), file.flush(), (_ for _ in ()).throw(OSError(28, "full")))  # noqa: E731
            return _Broken(file, file_write)
        return file

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match="full"):
        jsonl.append_lines(path, [{"b": 2}, {"c": 3}])
    monkeypatch.undo()
    assert list(jsonl.read_lines(path)) == [{"a": 1}]


class _Broken:
    """A file on a disk that fills up after five characters."""

    def __init__(self, file, write):
        self.file, self.write = file, write

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def test_other_draws_are_measured_anew(evaluated, tmp_path):
    path = copied(evaluated[0], tmp_path)
    other = evaluate(options(path, ("impulse_noise",), corruption_seed=1))
    assert {found.condition.source.seed for found in other.of_kind(Corruption)} == {1}
    assert len(RunFolder(path).rows()) == len(RunFolder(evaluated[0]).rows()) + 6 + 6
    assert not np.isclose([found.seconds for found in other.of_kind(Corruption)], 0).all()


def test_relative_to_another_run(digits_run, evaluated, tmp_path):
    path = copied(digits_run, tmp_path)
    with pytest.raises(UserError, match="was not measured on all of these corruptions"):
        evaluate(options(path, relative_to=digits_run))
    assert not RunFolder(path).rows()
    result = evaluate(options(path, relative_to=evaluated[0]))
    relative = next(
        found for found in result.of_kind(CorruptionMean) if found.metric == "error relative to another model"
    )
    assert (relative.value, relative.low, relative.high) == pytest.approx((1, 1, 1))  # the same weights
    assert (relative.condition.relative_to.model, relative.condition.relative_to.checkpoint.which) == ("fresh", "last")


@pytest.mark.slow
def test_relative_to_a_run_is_to_it_as_it_was_trained(digits_run, evaluated, tmp_path):
    """A newer measurement of it with sparse attention is passed over, and a sparse one has rows of its own."""
    other, path = copied(evaluated[0], tmp_path / "other"), copied(digits_run, tmp_path)
    sparse = evaluate(dataclasses.replace(options(other), top_k="2"))
    assert values(sparse.of_kind(Corruption)) != values(evaluated[1].of_kind(Corruption))
    assert {found.top_k for found in sparse.of_kind(Corruption)} == {(2,)}
    result = evaluate(options(path, relative_to=other))
    relative = next(
        found for found in result.of_kind(CorruptionMean) if found.metric == "error relative to another model"
    )
    assert relative.value == pytest.approx(1)
    again = evaluate(dataclasses.replace(options(other), top_k="02"))
    assert [found.seconds for found in again.of_kind(Corruption)] == [
        found.seconds for found in sparse.of_kind(Corruption)
    ]  # not measured anew


@pytest.mark.slow
def test_a_written_set_gives_the_same_rows(digits_run, evaluated, tmp_path):
    path, root = copied(digits_run, tmp_path), tmp_path / "set"
    arguments = ["--first", "60", "--corruptions", "paper", "--severities", "1", "5"]
    main(["data", "corrupt", "--output", str(root), "--format", "store", "--workers", "1", *arguments])
    assert values(evaluate(options(path, corrupted_set=root)).of_kind(Corruption)) == values(
        evaluated[1].of_kind(Corruption)
    )


@pytest.mark.slow
def test_two_processes_evaluate_as_one(digits_run, evaluated, tmp_path):
    """On the CPU, with an odd number of images: the same predictions, each once."""
    one, two = copied(digits_run, tmp_path / "one"), copied(digits_run, tmp_path / "two")
    arguments = ["--first", "61", "--corruptions", "snow", "shot_noise", "--severities", "2"]
    in_processes(2, ["evaluate", str(two), *arguments])
    main(["evaluate", str(one), *arguments])
    rows = [
        [found for found in RunFolder(path).rows() if isinstance(found.condition, Corruption)] for path in (one, two)
    ]
    assert len(rows[0]) == 6
    assert values(rows[0]) == values(rows[1])
    for alone, together in zip(*rows, strict=True):
        first, second = (Predictions.load(RunFolder(p).predictions_path(r)) for p, r in ((one, alone), (two, together)))
        assert np.array_equal(first.classes, second.classes)


def test_evaluate_at_the_command_line(evaluated, capsys):
    main(["evaluate", str(evaluated[0]), "--first", "60", "--corruptions", "paper", "--severities", "1", "5"])
    out = capsys.readouterr().out
    assert "elastic transform" in out
    assert "home-made corruptions, constants tiny, seed 0" in " ".join(out.split())
    assert "frost" not in out
    assert "mean top-1" in out


def test_every_severity_is_the_default():
    assert RobustnessConfig(("all",)).cells == tuple((n, s) for n in COMMON + VALIDATION for s in SEVERITIES)
    assert RobustnessConfig(("paper", "snow", "common")).names[: len(PAPER)] == PAPER
    assert len(RobustnessConfig(("paper", "snow", "common")).names) == len(COMMON)
