"""Studies with a protocol and with several seeds: all is measured once, whatever was stopped, deleted or went wrong."""

import csv
import dataclasses
import functools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from doublevit.adversarial.rows import METRIC
from doublevit.cli.study import study as command
from doublevit.data import EMBEDDED
from doublevit.data.batches import Batch
from doublevit.errors import UserError
from doublevit.jobs import report
from doublevit.jobs.evaluate import evaluate
from doublevit.jobs.report import Written
from doublevit.jobs.speed_options import Speed
from doublevit.jobs.study import Book, Outlook, Request, attacked, corrupted, cost, outlook, run_study, tasks
from doublevit.jobs.study.cost import Cost, time_network
from doublevit.jobs.study.forecast import Experience, training_seconds
from doublevit.recipes.recipe import with_changes
from doublevit.recipes.studies import STUDIES
from doublevit.recipes.study import Cell, Protocol, Study
from doublevit.report.study import compare, read_record
from doublevit.report.study.compare import over_all_seeds
from doublevit.results import Row
from doublevit.run_folder import RunFolder
from doublevit.statistics import over_seeds

PHOTOS = 60
FOG = ("fog", 4)
ASKED = Protocol(("jpeg_compression", "fog"), (1, 4), ("fgsm",), ("0", "8/255"), 20, speed=True)
SMALL = Study(
    "small",
    "one network on a few digits",
    "digits-vit",
    "base",
    (Cell("base", "x", label="ViT"), Cell("sparse", "x", {"model.top_k": "4"}, label="ViT+Sparse")),
    {
        "train.epochs": 1,
        "data.per_class": 2,
        "data.val_fraction": PHOTOS / 1797,
        "model.backbone": "vit-digits-8-xavier",
    },
    ASKED,
)


def request(folder: Path, study: Study = SMALL, **asked: object) -> Request:
    return Request(study, study.base_recipe(), folder, **asked)


def rows_of(run: Path) -> list[Row]:
    return RunFolder(run).rows()


def kinds(rows: list[Row]) -> list[str]:
    return [str(row.condition["kind"]) for row in rows]


def write(run: Path, rows: list[Row]) -> None:
    (run / "results.jsonl").write_text("".join(json.dumps(dataclasses.asdict(row)) + "\n" for row in rows))


def left(folder: Path, **asked: object) -> list[str]:
    book = Book(request(folder, cells=("base",), **asked))
    return [task.name for task in book.missing(book.wanted[0])]


@pytest.fixture(autouse=True, scope="module")
def _photos_once() -> Iterator[None]:
    """The digits are enlarged once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EMBEDDED, "digits", functools.cache(EMBEDDED["digits"]))
        yield


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "Speed", lambda run, **_: Speed(run, seconds=0.02, batch_size=2))
    monkeypatch.setattr(outlook, "time_network", lambda *_: COST)
    monkeypatch.setattr(report, "write_report", lambda paths, paper: Written(paths[0] / "report.html", ()))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "Speed", lambda run, **_: Speed(run, seconds=0.02, batch_size=2))
        run_study(request(folder, cells=("base",)))
    return folder


@pytest.fixture
def done(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "small"))


def test_the_whole_protocol_is_measured_once(finished, capsys):
    rows = rows_of(finished / "base")
    cells = {(r.condition["corruption"], r.condition["severity"]) for r in rows if r.condition["kind"] == "corruption"}
    assert cells == {(name, severity) for name in ("jpeg_compression", "fog") for severity in (1, 4)}
    assert {row.count for row in rows if row.condition["kind"] == "corruption"} == {PHOTOS}
    robust = [row for row in rows if row.metric == METRIC]
    assert [(row.condition["attack"], row.condition["epsilon"], row.count) for row in robust] == [
        ("fgsm", 0.0, 20),
        ("fgsm", pytest.approx(8 / 255), 20),
    ]
    assert robust[0].dataset.endswith("20 of 60 stratified by class, seed 0")
    assert "speed" in kinds(rows)
    capsys.readouterr()
    record = run_study(request(finished, cells=("base",)))
    assert rows_of(finished / "base") == rows
    assert "cell" not in capsys.readouterr().err
    assert [(entry.label, entry.seed, entry.problem) for entry in record.entries] == [
        ("ViT", 0, ""),
        ("ViT+Sparse", 0, ""),
    ]


def test_what_is_missing_is_found_and_done_and_nothing_else(done):
    rows = rows_of(done / "base")
    assert left(done) == []
    lacks = {
        "clean": [row for row in rows if row.condition["kind"] != "clean"],
        "corruptions": [
            row for row in rows if row.condition.get("severity") != 4 or row.condition["corruption"] != "fog"
        ],
        "attacks": [row for row in rows if row.condition.get("epsilon") != 0.0],
        "speed": [row for row in rows if row.condition["kind"] != "speed"],
    }
    for name, kept in lacks.items():
        write(done / "base", kept)
        assert left(done) == [name], name
    write(done / "base", [row for row in rows if row.condition["kind"] != "corruptions"])  # killed before the means
    assert left(done) == ["corruptions"]
    write(done / "base", lacks["attacks"])
    run_study(request(done, cells=("base",)))
    again = rows_of(done / "base")
    assert left(done) == []
    assert sorted(kinds(again)) == sorted(kinds(rows))


def test_predictions_that_are_gone_are_made_again(done):
    before = kinds(rows_of(done / "base")).count("corruption")
    fog = next(row for row in rows_of(done / "base") if row.condition.get("corruption") == "fog")
    RunFolder(done / "base").predictions(fog).unlink()
    assert left(done) == ["corruptions"]
    run_study(request(done, cells=("base",)))
    assert RunFolder(done / "base").predictions(fog).is_file()
    assert kinds(rows_of(done / "base")).count("corruption") == before + 2  # top-1 and top-3 of one cell


def test_other_weights_photos_and_numbers_of_attacked_photos_are_other_work(done):
    assert left(done, samples=50) == ["clean", "corruptions"]
    assert left(done, attack_samples=21) == ["attacks"]
    assert left(done, attack_samples=0) == []
    rows = rows_of(done / "base")
    write(done / "base", [dataclasses.replace(row, checkpoint="last, of-another-time") for row in rows])
    assert left(done) == ["clean", "corruptions", "attacks", "speed"]
    with pytest.raises(UserError, match=r"--attack-samples: expected 0 \(no attacks\) or more, found -1"):
        request(done, attack_samples=-1)


def test_a_failed_task_fails_its_cell_and_the_others_go_on(done, monkeypatch, capsys):
    kept = [row for row in rows_of(done / "base") if row.condition["kind"] in ("clean", "attack")]
    write(done / "base", kept)
    assert left(done) == ["corruptions", "speed"]

    def fail(_: object) -> None:
        raise MemoryError("of 8 GiB\nand more")

    monkeypatch.setattr(corrupted, "evaluate", fail)
    monkeypatch.setitem(STUDIES, "small", SMALL)
    with pytest.raises(SystemExit) as end:
        command(["small", "--runs", str(done.parent), "--cells", "base"])
    assert end.value.code == 1
    told = capsys.readouterr()
    assert "cell base failed: corruptions: MemoryError: of 8 GiB\n" in told.err
    assert "1 of 1 cells failed: base" in told.err
    assert left(done) == ["corruptions"]
    (entry, _) = read_record(done).entries
    assert (entry.problem, entry.row is not None) == ("corruptions: MemoryError: of 8 GiB", True)
    assert compare(done, read_record(done))[0].remark == "failed: corruptions: MemoryError: of 8 GiB"
    assert "failed: corruptions: MemoryError: of 8 GiB" in (done / "study.md").read_text()
    monkeypatch.setattr(corrupted, "evaluate", evaluate)
    assert run_study(request(done, cells=("base",))).entries[0].problem == ""


def test_a_study_goes_on_with_more_seeds(tmp_path, monkeypatch):
    bare = dataclasses.replace(SMALL, protocol=Protocol())
    run_study(request(tmp_path / "small", bare))
    monkeypatch.setitem(STUDIES, "small", bare)
    command(["small", "--runs", str(tmp_path), "--seeds", "0", "3"])
    record = read_record(tmp_path / "small")
    assert [(entry.cell, entry.seed, entry.run) for entry in record.entries] == [
        ("base", 0, "base"),
        ("base", 3, "base-seed-3"),
        ("sparse", 0, "sparse"),
        ("sparse", 3, "sparse-seed-3"),
    ]
    seeds = {entry.run: RunFolder(tmp_path / "small" / entry.run).recipe()["seed"] for entry in record.entries}
    assert seeds == {"base": 0, "base-seed-3": 3, "sparse": 0, "sparse-seed-3": 3}
    lines = compare(tmp_path / "small", record)
    value = {entry.run: entry.row.value for entry in record.entries}
    assert [line.remark for line in lines] == ["the baseline", "the baseline", "", ""]
    gaps = [value["sparse"] - value["base"], value["sparse-seed-3"] - value["base-seed-3"]]
    assert [line.difference.value for line in lines[2:]] == pytest.approx(gaps)
    base, sparse = over_all_seeds(lines)
    assert base.top1.mean == pytest.approx(np.mean([value["base"], value["base-seed-3"]]))
    assert base.top1.standard_deviation == pytest.approx(np.std([value["base"], value["base-seed-3"]], ddof=1))
    assert base.difference is None
    assert sparse.difference == over_seeds([line.difference.value for line in lines[2:]])
    rows = list(csv.DictReader((tmp_path / "small" / "study.csv").open()))
    assert [row["seed"] for row in rows] == ["0", "3", "all 2", "0", "3", "all 2"]
    assert [float(rows[5][f"difference{end}"]) for end in ("", "_low", "_high")] == [
        sparse.difference.mean,
        sparse.difference.low,
        sparse.difference.high,
    ]
    assert (float(rows[2]["top1"]), float(rows[2]["top1_high"])) == (base.top1.mean, min(base.top1.high, 1.0))
    text = f"ViT | all 2 | none | {100 * base.top1.mean:.1f} ± {100 * base.top1.standard_deviation:.1f} |"
    assert text in (tmp_path / "small" / "study.md").read_text()


def test_seeds_that_are_none_are_refused(tmp_path):
    for seeds, words in (((1, 1), "--seeds 1 1: expected each once"), ((-1,), "--seed: expected 0 or more")):
        with pytest.raises(UserError, match=words):
            request(tmp_path, seeds=seeds)


def test_an_old_record_without_seeds_is_read(done):
    path = done / "study.json"
    parts = json.loads(path.read_text())
    for entry in parts["entries"]:
        del entry["seed"], entry["label"]
    path.write_text(json.dumps(parts))
    entry = read_record(done).entries[0]
    assert (entry.seed, entry.label, entry.title) == (0, "", "base")


COST = Cost(
    opening=1.0,
    step=2.0,
    gradient=0.1,
    recognise={"as-trained": 0.01, "none": 0.01, "4": 0.02},
    corrupt={"fog": 0.03, "jpeg_compression": 0.05},
)


def test_the_forecasts_by_hand(tmp_path):
    asked = request(tmp_path / "none", cells=("base",))
    book = Book(asked)
    (planned,) = book.wanted
    clean, corruptions, attacks, speed = book.tasks(planned)
    splits = book.splits(planned.recipe.data)
    assert training_seconds(COST, planned.recipe, splits, 0) == pytest.approx(1 + 1 * 2.0 + PHOTOS * 0.01)
    longer = with_changes(planned.recipe, {"train.epochs": 5, "train.batch_size": 8})
    assert training_seconds(COST, longer, splits, 2) == pytest.approx(1 + 3 * (3 * 2.0 + PHOTOS * 0.01))
    assert clean.seconds(COST) == pytest.approx(1 + PHOTOS * 0.01)
    assert corruptions.seconds(COST) == pytest.approx(1 + 2 * PHOTOS * (0.01 + 0.03 + 0.01 + 0.05))
    looked = 1 + 3 * 20 * 0.01
    assert attacks.seconds(COST) == pytest.approx(looked + (attacked.TRIAL + attacked.STANDING * 20) * 0.1)
    assert speed.seconds(COST) == pytest.approx(1 + 10 * 2 * 0.01 + 10 * 2.0)
    pgd = dataclasses.replace(ASKED, attacks=("pgd",), epsilons=("0", "1/255", "2/255"), attack_samples=30)
    attacks = Book(request(tmp_path / "none", dataclasses.replace(SMALL, protocol=pgd))).tasks(planned)[2]
    steps = attacked.STANDING * 30 * 2 * 40
    assert attacks.seconds(COST) == pytest.approx(1 + 3 * 30 * 0.01 + (attacked.TRIAL + steps) * 0.1)


def test_experience_corrects_what_is_of_the_same_kind():
    experience = Experience()
    assert experience.corrected("training", 10.0) == 10.0
    experience.learn("training", 4.0, 2.0)
    experience.learn("training", 4.0, 10.0)
    assert experience.corrected("training", 10.0) == pytest.approx(15.0)
    assert experience.corrected("clean", 10.0) == 10.0


def test_what_is_left_counts_shared_work_and_the_last_validation_once(tmp_path):
    cells = (Cell("base", "x"), Cell("same", "x", inference=("none", "4")))
    study = dataclasses.replace(SMALL, cells=cells, protocol=Protocol(("fog",), (1, 2)))
    book = Book(request(tmp_path / "none", study))
    view = Outlook(book)
    training, sparse, fog = 1 + 2.0 + PHOTOS * 0.01, 1 + PHOTOS * 0.02, 1 + 2 * PHOTOS * (0.01 + 0.03)
    assert view.left(book.wanted) == pytest.approx(training + sparse + fog)
    assert view.left(book.wanted[:1]) == pytest.approx(training + fog)
    view.experience.learn("corruptions", 1.0, 3.0)
    assert view.left(book.wanted[:1]) == pytest.approx(training + 3 * fog)


def test_every_attention_of_a_network_is_timed_whichever_cell_asks_for_it(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(outlook, "time_network", lambda _, __, top_ks, ___: asked.append(set(top_ks)) or COST)
    cells = (Cell("base", "x"), Cell("many", "x", inference=("none", "4")), Cell("again", "x"))
    Outlook(Book(request(tmp_path / "none", dataclasses.replace(SMALL, cells=cells, protocol=Protocol()))))
    assert asked == [{"none", "4"}]


class Clock:
    """Time that passes only when work is done."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(cost, "time", clock)
    return clock


def test_a_network_is_timed_as_its_work_costs(tmp_path, clock, monkeypatch):
    """Making it takes 3 s, eight augmented batches 0.8, a step 0.5; a photo 0.01 dense, 0.02 sparse."""
    real = cost.build

    def build(*arguments: object, **options: object) -> torch.nn.Module:
        model = real(*arguments, **options)
        spend = lambda network, given: clock.spend(len(given[0]) * (0.02 if network.attention else 0.01))  # noqa: E731
        model.register_forward_pre_hook(spend)
        clock.spend(3.0)
        return model

    def epoch_batches(*_: object) -> Iterator[Batch]:
        clock.spend(0.8)
        together = torch.zeros(8, 2, 1, 3, 32, 32)
        yield SimpleNamespace(images=together[0])

    monkeypatch.setattr(cost, "build", build)
    monkeypatch.setattr(cost, "epoch_batches", epoch_batches)
    monkeypatch.setattr(cost, "train_step", lambda *_: clock.spend(0.5))
    study = dataclasses.replace(SMALL, protocol=Protocol())
    book = Book(request(tmp_path / "none", study))
    dense, sparse = (time_network(each.recipe, book.splits(each.recipe.data), ("none", "4"), {}) for each in book.plan)
    assert (dense.opening, dense.step, dense.gradient) == pytest.approx((3.0, 0.1 + 0.5, 0.01))
    assert dense.recognise == pytest.approx({"as-trained": 0.01, "none": 0.01, "4": 0.02})
    assert (sparse.step, sparse.gradient) == pytest.approx((0.6, 0.02))
    assert sparse.recognise == pytest.approx({"as-trained": 0.02, "none": 0.01, "4": 0.02})


@pytest.mark.parametrize(
    ("durations", "found", "calls"),
    [
        ([9.0, 1.0], 9.0, 1),  # very long: not once more
        ([2.0, 1.5, 9.0], 1.5, 2),  # the first also sets things up
        ([0.2, 0.01, 0.03, 0.02, 0.05, 9.0], 0.025, 5),  # the median of those after the first, until 0.3 s are spent
    ],
)
def test_short_work_is_timed_more_often_without_its_first_call(durations, found, calls, clock):
    left = list(durations)
    assert cost._timed(lambda: clock.spend(left.pop(0))) == pytest.approx(found)
    assert len(durations) - len(left) == calls


def test_photos_that_take_long_are_timed_a_few_at_a_time(tmp_path, clock):
    photos, sizes = Book(request(tmp_path / "none")).splits(SMALL.base_recipe().data)["val"], []

    def work(seconds: float) -> float:
        sizes.clear()
        return cost._per_photo(lambda some: sizes.append(len(some)) or clock.spend(0.01 + seconds * len(some)), photos)

    assert work(0.001) == pytest.approx(0.001 + 0.01 / PHOTOS)  # what each call costs is shared by many
    assert set(sizes) == {cost.FEW, PHOTOS}
    assert work(0.1) == pytest.approx(0.1 + 0.01 / cost.FEW)
    assert set(sizes) == {cost.FEW}
