"""Evaluation on corruptions: the numbers by hand, stopping and going on, any batch size, two processes."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from conftest import copied, in_two_processes
from doublevit.cli import main
from doublevit.corrupted.config import RobustnessConfig
from doublevit.corrupted.manifest import home_made
from doublevit.corruptions import COMMON, PAPER, SEVERITIES, VALIDATION
from doublevit.errors import UserError
from doublevit.jobs.evaluate import evaluate
from doublevit.jobs.options import Evaluate
from doublevit.results import Predictions, Row
from doublevit.robustness import bench
from doublevit.robustness.bench import Measurement
from doublevit.robustness.together import Robustness
from doublevit.run_folder import RunFolder
from doublevit.statistics import bootstrap, wilson_interval
from doublevit.summary.results import cell_table, describe_set, together_table

HOME_MADE = home_made("tiny", 0, "generated textures")


def row(metric: str = "top-1", **condition: object) -> Row:
    return Row("model", "data", condition, metric, 0.5, 0.4, 0.6, 1000, 0, "last, epoch", "float32", 2.0)


def measurement(share: float, seed: int, count: int = 1000, **condition: object) -> Measurement:
    hits = np.zeros(count, bool)
    hits[: round(share * count)] = True
    np.random.default_rng(seed).shuffle(hits)
    return Measurement([row(**condition)], {"top-1": hits})


def test_bootstrap_of_a_proportion_is_its_interval():
    hits = measurement(0.7, 0).hits["top-1"]
    estimate = bootstrap([hits[None]], lambda means: means[:, 0])
    assert estimate.value == pytest.approx(0.7)
    assert (estimate.low, estimate.high) == pytest.approx(wilson_interval(700, 1000), abs=0.005)


def test_bootstrap_keeps_pairs_within_a_group_and_none_across():
    hits, other = (measurement(0.7, seed).hits["top-1"] for seed in (0, 1))

    def difference(means: np.ndarray) -> np.ndarray:
        return means[:, 0] - means[:, 1]

    assert dataclasses.astuple(bootstrap([np.stack([hits, hits])], difference)) == (0, 0, 0)
    apart = bootstrap([hits[None], other[None]], difference)
    expected = 1.96 * np.sqrt(2 * 0.7 * 0.3 / 1000)
    assert apart.high - apart.low == pytest.approx(2 * expected, rel=0.1)


def test_cells_together_by_hand():
    shares = {
        (name, severity): 0.6 - 0.1 * severity + 0.02 * place for place, name in enumerate(PAPER) for severity in (1, 2)
    }
    cells = {cell: measurement(share, place) for place, (cell, share) in enumerate(shares.items())}
    others = {cell: measurement(0.5, 7 + cell[1]) for cell in cells}
    robustness = Robustness(measurement(0.8, 99), cells, True, HOME_MADE, others, "other")
    rows = {found.metric: found for found in robustness.rows()}
    assert {found.condition["of"] for found in rows.values()} == {"paper"}
    mean = np.mean(list(shares.values()))
    assert rows["mean top-1"].value == pytest.approx(mean)
    assert rows["relative change of top-1"].value == pytest.approx((mean - 0.8) / 0.8)
    ratio = np.mean([sum(1 - shares[name, severity] for severity in (1, 2)) / (2 * 0.5) for name in PAPER])
    assert rows["error relative to another model"].value == pytest.approx(ratio)
    for found in rows.values():
        assert found.low < found.value < found.high
        assert found.high - found.low < 0.2
        assert found.condition["severities"] == [1, 2]
        assert found.condition["set"] == "home-made"
        assert found.condition["frost"] == "generated textures"
        assert found.seconds == 2.0 * len(cells)
    assert rows["relative change of top-1"].condition["clean"] == "the same photos"
    assert rows["error relative to another model"].condition["relative_to"] == "other"


def test_unmatched_clean_photos_are_said():
    cells = {(name, 1): measurement(0.5, 1) for name in VALIDATION}
    rows = list(Robustness(measurement(0.8, 2, count=700), cells, False, {"set": "published"}).rows())
    change = next(found for found in rows if "change" in found.metric)
    assert change.condition["clean"] == "other photos than these"
    assert {found.condition["set"] for found in rows} == {"published"}


def test_matched_photos_are_drawn_together():
    """Cells that are right on the very photos that the clean set is right on do not change at all."""
    clean = measurement(0.7, 3)
    cells = {(name, 1): Measurement([row()], clean.hits) for name in VALIDATION}
    changes = []
    for matched in (True, False):
        rows = Robustness(clean, cells, matched, HOME_MADE).rows()
        changes.append(next(found for found in rows if "change" in found.metric))
    assert changes[0].low == pytest.approx(0, abs=1e-6)
    assert changes[0].high == pytest.approx(0, abs=1e-6)
    assert changes[1].high - changes[1].low > 0.05


def test_what_is_no_group_is_named():
    cells = {(name, 1): measurement(0.5, 1) for name in ("snow", "frost")}
    rows = list(Robustness(measurement(0.8, 2), cells, True, HOME_MADE).rows())
    assert {found.condition["of"] for found in rows} == {"snow, frost"}
    whole = {(name, 1): measurement(0.5, 1) for name in COMMON}
    rows = list(Robustness(measurement(0.8, 2), whole, True, HOME_MADE).rows())
    assert {found.condition["of"] for found in rows} == {"common", "paper"}


def test_no_error_to_divide_by_and_no_clean_photo_right():
    cells = {(name, 1): measurement(0.5, 1) for name in ("snow", "frost")}
    perfect = cells | {("snow", 1): measurement(1.0, 2)}
    rows = list(Robustness(measurement(0.0, 2), cells, True, HOME_MADE, perfect, "perfect").rows())
    assert {found.metric for found in rows} == {"mean top-1"}


def test_tables_say_what_must_be_said():
    from rich.console import Console

    rows = [row(kind="corruption", corruption="fog", severity=severity, **HOME_MADE) for severity in (1, 2)]
    console = Console(record=True, width=120, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(cell_table(rows))
    together = [
        row("mean top-1", of="paper", **HOME_MADE),
        row("relative change of top-1", of="paper", clean="the same photos", **HOME_MADE),
    ]
    console.print(together_table(together))
    text = " ".join(console.export_text().split())
    assert "home-made corruptions, constants tiny, seed 0, frost: generated textures" in text
    assert "fog" in text
    assert "+50.0%" in text
    assert describe_set({"set": "published"}) == "published corruptions"


def options(run: Path, names: tuple[str, ...] = ("paper",), **more: object) -> Evaluate:
    robustness = {key: more.pop(key) for key in ("corrupted_set", "relative_to", "corruption_seed") if key in more}
    return Evaluate(run, photos=60, robustness=RobustnessConfig(names, severities=(1, 5), **robustness), **more)


def values(rows: list[Row]) -> list[tuple[object, ...]]:
    return [
        (tuple(sorted(found.condition.items())), found.metric, found.value, found.low, found.high) for found in rows
    ]


@pytest.fixture(scope="module")
def evaluated(digits_run, tmp_path_factory):
    """The paper's five at two severities."""
    path = copied(digits_run, tmp_path_factory.mktemp("evaluated"))
    return path, evaluate(options(path))


def test_rows_of_every_cell(evaluated):
    path, result = evaluated
    rows = RunFolder(path).rows()
    assert evaluate(options(path)).together == result.together
    assert RunFolder(path).rows() == rows  # nothing is added by asking again
    assert rows == result.clean + result.cells + result.together
    assert len(result.cells) == 2 * 2 * len(PAPER)  # two severities, two metrics
    for found in result.cells:
        assert found.condition | HOME_MADE == found.condition
        assert found.condition["kind"] == "corruption"
        predictions = Predictions.load(RunFolder(path).predictions(found))
        assert predictions.hits(int(found.metric[-1])).mean() == found.value
        assert found.count == 60
    assert len({RunFolder(path).predictions(found) for found in rows if found.condition["kind"] == "corruption"}) == 10
    cells = {metric: np.mean([r.value for r in result.cells if r.metric == metric]) for metric in ("top-1", "top-3")}
    means = {found.metric: found.value for found in result.together}
    assert means["mean top-1"] == pytest.approx(cells["top-1"])
    assert means["mean top-3"] == pytest.approx(cells["top-3"])


@pytest.mark.parametrize("batch_size", [16, 256])
def test_any_batch_size_gives_the_same(digits_run, evaluated, tmp_path, batch_size):
    again = evaluate(options(copied(digits_run, tmp_path), batch_size=batch_size))
    assert values(again.cells) == values(evaluated[1].cells)


def test_stopped_and_gone_on_with(digits_run, evaluated, tmp_path, monkeypatch):
    path, calls = copied(digits_run, tmp_path), []
    predict = bench.predict

    def counted(model, dataset, *others, **titles):
        calls.append(dataset)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return predict(model, dataset, *others, **titles)

    monkeypatch.setattr(bench, "predict", counted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(options(path))
    again = evaluate(options(path))
    assert len(calls) == 5 + 1 + 10 - 4  # five the first time; then all ten and the clean one but those four
    assert values(again.cells) == values(evaluated[1].cells)
    assert values(again.together) == values(evaluated[1].together)


def test_other_photos_or_weights_of_the_same_names_are_measured_anew(evaluated, tmp_path):
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
    assert len(RunFolder(path).rows()) in (rows, rows + 2)  # what was damaged is measured again, if it is this one's


def test_rows_are_added_all_or_none(tmp_path, monkeypatch):
    from doublevit import results

    path = tmp_path / "results.jsonl"
    results.append_lines(path, [{"a": 1}])

    opened = Path.open

    def full(self, mode="r", *others, **more):
        file = opened(self, mode, *others, **more)
        if mode == "a":
            write = file.write
            file_write = lambda text: (write(text[:5]), file.flush(), (_ for _ in ()).throw(OSError(28, "full")))  # noqa: E731
            return _Broken(file, file_write)
        return file

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match="full"):
        results.append_lines(path, [{"b": 2}, {"c": 3}])
    monkeypatch.undo()
    assert list(results.read_lines(path)) == [{"a": 1}]


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
    assert {found.condition["corruption_seed"] for found in other.cells} == {1}
    assert len(RunFolder(path).rows()) == len(RunFolder(evaluated[0]).rows()) + 4 + 4
    assert not np.isclose([found.seconds for found in other.cells], 0).all()


def test_relative_to_another_run(digits_run, evaluated, tmp_path):
    path = copied(digits_run, tmp_path)
    with pytest.raises(UserError, match="was not measured on all of these corruptions"):
        evaluate(options(path, relative_to=digits_run))
    assert not RunFolder(path).rows()
    result = evaluate(options(path, relative_to=evaluated[0]))
    relative = next(found for found in result.together if found.metric == "error relative to another model")
    assert (relative.value, relative.low, relative.high) == pytest.approx((1, 1, 1))  # the same weights
    assert relative.condition["relative_to"].startswith("fresh (last, epoch-")


def test_relative_to_a_run_is_to_it_as_it_was_trained(digits_run, evaluated, tmp_path):
    """A newer measurement of it with sparse attention is passed over, and a sparse one has rows of its own."""
    other, path = copied(evaluated[0], tmp_path / "other"), copied(digits_run, tmp_path)
    sparse = evaluate(dataclasses.replace(options(other), top_k="2"))
    assert values(sparse.cells) != values(evaluated[1].cells)
    assert {found.top_k for found in sparse.cells} == {"2"}
    result = evaluate(options(path, relative_to=other))
    relative = next(found for found in result.together if found.metric == "error relative to another model")
    assert relative.value == pytest.approx(1)
    again = evaluate(dataclasses.replace(options(other), top_k="02"))
    assert [found.seconds for found in again.cells] == [found.seconds for found in sparse.cells]  # not measured anew


def test_a_written_set_gives_the_same_rows(digits_run, evaluated, tmp_path):
    path, root = copied(digits_run, tmp_path), tmp_path / "set"
    arguments = ["--photos", "60", "--corruptions", "paper", "--severities", "1", "5"]
    main(["data", "corrupt", "--output", str(root), "--format", "store", "--workers", "1", *arguments])
    assert values(evaluate(options(path, corrupted_set=root)).cells) == values(evaluated[1].cells)


def test_two_processes_evaluate_as_one(digits_run, evaluated, tmp_path):
    """By torchrun, on the CPU, with an odd number of photos: the same predictions, each once."""
    one, two = copied(digits_run, tmp_path / "one"), copied(digits_run, tmp_path / "two")
    arguments = ["--photos", "61", "--corruptions", "snow", "shot_noise", "--severities", "2"]
    in_two_processes(["evaluate", str(two), *arguments])
    main(["evaluate", str(one), *arguments])
    rows = [
        [found for found in RunFolder(path).rows() if found.condition["kind"] == "corruption"] for path in (one, two)
    ]
    assert len(rows[0]) == 4
    assert values(rows[0]) == values(rows[1])
    for alone, together in zip(*rows, strict=True):
        first, second = (Predictions.load(RunFolder(p).predictions(r)) for p, r in ((one, alone), (two, together)))
        assert np.array_equal(first.classes, second.classes)


def test_evaluate_at_the_command_line(evaluated, capsys):
    main(["evaluate", str(evaluated[0]), "--photos", "60", "--corruptions", "paper", "--severities", "1", "5"])
    out = capsys.readouterr().out
    assert "elastic_transform" in out
    assert "home-made corruptions, constants tiny, seed 0, frost: generated textures" in " ".join(out.split())
    assert "mean top-1" in out


def test_every_severity_is_the_default():
    assert RobustnessConfig(("all",)).cells == tuple((n, s) for n in COMMON + VALIDATION for s in SEVERITIES)
    assert RobustnessConfig(("paper", "snow", "common")).names[: len(PAPER)] == PAPER
    assert len(RobustnessConfig(("paper", "snow", "common")).names) == len(COMMON)
