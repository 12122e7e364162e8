"""Studies with a protocol and with several seeds: all is measured once, whatever was stopped, deleted or went wrong."""

import csv
import dataclasses
import io
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from conftest import study_copied
from doublevit import strict_json
from doublevit.analysis.compare import compare_runs
from doublevit.cli.study import study as command
from doublevit.errors import UserError
from doublevit.runs.conditions import Attack, Clean, Corruption, CorruptionMean, Speed
from doublevit.runs.folder import RunFolder
from doublevit.runs.row import Row
from doublevit.runs.study_record import read_record
from doublevit.statistics import over_seeds
from doublevit.studies.named import STUDIES
from doublevit.studies.plan import StudyRequest
from doublevit.studies.progress import StudyProgress, TimeEstimate
from doublevit.studies.run import run_study
from doublevit.studies.study import Protocol, Study, StudyCell
from moments import at_batch, raising

IMAGES = 60
FOG = ("fog", 4)
ASKED = Protocol(("jpeg_compression", "fog"), (1, 4), ("fgsm",), ("0", "8/255"), 20, speed=True)
SMALL = Study(
    "small",
    "one network on a few digits",
    "digits-vit",
    "base",
    (StudyCell("base", "x", label="ViT"), StudyCell("sparse", "x", {"model.top_k": "4"}, label="ViT+Sparse")),
    {
        "train.epochs": 1,
        "data.per_class": 2,
        "data.val_fraction": IMAGES / 1797,
        "model.backbone": "vit-digits-8-xavier",
    },
    ASKED,
)


def request(folder: Path, study: Study = SMALL, **asked: object) -> StudyRequest:
    return StudyRequest(study, study.base_recipe(), folder, **asked)


def rows_of(run: Path) -> list[Row]:
    return RunFolder(run).rows()


def kinds(rows: list[Row]) -> list[str]:
    return [type(row.condition).__name__ for row in rows]


def write(run: Path, rows: list[Row]) -> None:
    (run / "results.jsonl").write_bytes(b"".join(strict_json.encode(row) + b"\n" for row in rows))


def left(folder: Path, **asked: object) -> list[str]:
    progress = StudyProgress(request(folder, cells=("base",), **asked))
    return [measurement.name for measurement in progress.missing(progress.wanted[0])]


def clean_accuracy(run: Path) -> float:
    return next(row.value for row in rows_of(run) if isinstance(row.condition, Clean) and row.metric == "top-1")


def csv_tables(folder: Path) -> dict[str, list[dict[str, str]]]:
    """The tables of study.csv by name."""
    parts = (part.partition("\n") for part in (folder / "study.csv").read_text().removeprefix("# ").split("\n# "))
    return {name: list(csv.DictReader(io.StringIO(text))) for name, _, text in parts}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    run_study(request(folder, cells=("base",)))
    return folder


@pytest.fixture
def done(finished: Path, tmp_path: Path) -> Path:
    return study_copied(finished, tmp_path)


@pytest.mark.slow
def test_the_whole_protocol_is_measured_once(finished, capsys):
    rows = rows_of(finished / "base")
    cells = {(r.condition.corruption, r.condition.severity) for r in rows if isinstance(r.condition, Corruption)}
    assert cells == {(name, severity) for name in ("jpeg_compression", "fog") for severity in (1, 4)}
    assert {row.count for row in rows if isinstance(row.condition, Corruption)} == {IMAGES}
    robust = [row for row in rows if isinstance(row.condition, Attack)]
    assert [(row.condition.attack, row.condition.epsilon, row.count) for row in robust] == [
        ("fgsm", 0.0, 20),
        ("fgsm", pytest.approx(8 / 255), 20),
    ]
    assert str(robust[0].dataset).endswith("20 stratified by class, seed 0")
    assert "Speed" in kinds(rows)
    capsys.readouterr()
    record = run_study(request(finished, cells=("base",)))
    assert rows_of(finished / "base") == rows
    assert "cell" not in capsys.readouterr().err
    assert [(entry.label, entry.seed, entry.problem) for entry in record.entries] == [
        ("ViT", 0, ""),
        ("ViT+Sparse", 0, ""),
    ]


def is_cell(row: Row, corruption: str, severity: int) -> bool:
    condition = row.condition
    return isinstance(condition, Corruption) and (condition.corruption, condition.severity) == (corruption, severity)


@pytest.mark.slow
def test_what_is_missing_is_found_and_done_and_nothing_else(done):
    rows = rows_of(done / "base")
    assert left(done) == []
    lacks = {
        "clean": [row for row in rows if not isinstance(row.condition, Clean)],
        "corruptions": [row for row in rows if not is_cell(row, "fog", 4)],
        "attacks": [row for row in rows if not isinstance(row.condition, Attack) or row.condition.epsilon],
        "speed": [row for row in rows if not isinstance(row.condition, Speed)],
    }
    for name, kept in lacks.items():
        write(done / "base", kept)
        assert left(done) == [name], name
    write(
        done / "base", [row for row in rows if not isinstance(row.condition, CorruptionMean)]
    )  # killed before the means
    assert left(done) == ["corruptions"]
    write(done / "base", lacks["attacks"])
    run_study(request(done, cells=("base",)))
    again = rows_of(done / "base")
    assert left(done) == []
    assert sorted(kinds(again)) == sorted(kinds(rows))


@pytest.mark.slow
def test_predictions_that_are_gone_are_made_again(done):
    before = kinds(rows_of(done / "base")).count("Corruption")
    fog = next(row for row in rows_of(done / "base") if is_cell(row, "fog", 4))
    RunFolder(done / "base").predictions_path(fog).unlink()
    assert left(done) == ["corruptions"]
    run_study(request(done, cells=("base",)))
    assert RunFolder(done / "base").predictions_path(fog).is_file()
    assert kinds(rows_of(done / "base")).count("Corruption") == before + 3  # top-1, top-3 and top-5 of one cell


@pytest.mark.slow
def test_other_weights_images_and_numbers_of_attacked_images_are_other_work(done):
    assert left(done, samples=50) == ["clean", "corruptions"]
    assert left(done, attack_samples=21) == ["attacks"]
    assert left(done, attack_samples=0) == []
    rows = rows_of(done / "base")
    other = msgspec.structs.replace(rows[0].checkpoint, digest="87654321")
    write(done / "base", [msgspec.structs.replace(row, checkpoint=other) for row in rows])
    assert left(done) == ["clean", "corruptions", "attacks", "speed"]
    with pytest.raises(UserError, match=r"`attack_samples`: expected 0 \(no attacks\) or more, found -1"):
        request(done, attack_samples=-1)


@pytest.mark.slow
def test_a_failed_task_fails_its_cell_and_the_others_go_on(done, monkeypatch, capsys):
    kept = [row for row in rows_of(done / "base") if isinstance(row.condition, Clean | Speed)]
    write(done / "base", kept)
    assert left(done) == ["corruptions", "attacks"]
    monkeypatch.setitem(STUDIES, "small", SMALL)
    too_large = raising(MemoryError("of 8 GiB\nand more"))
    with at_batch(1, too_large, training=False), pytest.raises(SystemExit) as end:
        command(["small", "--runs", str(done.parent), "--cells", "base"])
    assert end.value.code == 1
    told = capsys.readouterr()
    assert "cell base failed: corruptions: MemoryError: of 8 GiB\n" in told.err
    assert "1 of 1 cells failed: base" in told.err
    assert left(done) == ["corruptions"]
    (entry, _) = read_record(done).entries
    assert (entry.problem, entry.measured) == ("corruptions: MemoryError: of 8 GiB", True)
    assert "ViT failed: corruptions: MemoryError: of 8 GiB" in compare_runs([done]).remarks
    assert "failed: corruptions: MemoryError: of 8 GiB" in (done / "study.md").read_text()
    assert run_study(request(done, cells=("base",))).entries[0].problem == ""


@pytest.mark.slow
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
    values = {entry.run: clean_accuracy(tmp_path / "small" / entry.run) for entry in record.entries}
    comparison = compare_runs([tmp_path / "small"])
    assert [method.label for method in comparison.methods] == ["ViT", "ViT+Sparse"]
    base, sparse = comparison.clean["top-1"].scores
    assert [score.value for score in (*base, *sparse)] == list(values.values())
    gaps = over_seeds([values["sparse"] - values["base"], values["sparse-seed-3"] - values["base-seed-3"]])
    none, difference = comparison.differences.by_measure["clean"]
    assert (none, difference.seeds) == (None, 2)
    assert dataclasses.astuple(difference.estimate) == pytest.approx((gaps.mean, gaps.low, gaps.high))
    shown = csv_tables(tmp_path / "small")
    assert [row["model"] for row in shown["accuracy"]] == ["ViT", "ViT+Sparse"]
    assert [float(shown["differences"][0][f"clean{end}"]) for end in ("", "_low", "_high")] == [
        difference.estimate.value,
        difference.estimate.low,
        difference.estimate.high,
    ]
    spread = over_seeds([values["base"], values["base-seed-3"]])
    assert spread.mean == pytest.approx(np.mean([values["base"], values["base-seed-3"]]))
    first = shown["accuracy"][0]
    assert (float(first["top1"]), float(first["top1_high"])) == (spread.mean, min(spread.high, 1.0))
    assert "of 2 seeds" in first["notes"]
    assert f"| {100 * spread.mean:.1f} " in (tmp_path / "small" / "study.md").read_text()


def test_seeds_that_are_none_are_refused(tmp_path):
    for seeds, words in (((1, 1), "`seeds` 1 1: expected each once"), ((-1,), "`seed`: expected 0 or more")):
        with pytest.raises(UserError, match=words):
            request(tmp_path, seeds=seeds)


@pytest.mark.slow
def test_an_old_record_without_seeds_is_read(done):
    path = done / "study.json"
    parts = json.loads(path.read_text())
    for entry in parts["entries"]:
        del entry["seed"], entry["label"]
    path.write_text(json.dumps(parts))
    entry = read_record(done).entries[0]
    assert (entry.seed, entry.label, entry.title) == (0, "", "base")


def test_the_time_left_is_that_of_the_cells_done():
    estimate = TimeEstimate()
    assert estimate.left(3) is None
    estimate.seconds += [2.0, 4.0]
    assert estimate.left(3) == pytest.approx(9.0)
    assert estimate.left(0) == 0


def test_a_running_study_shows_the_cell_what_is_left_of_it_and_the_time_left(tmp_path, capsys):
    run_study(request(tmp_path / "small", dataclasses.replace(SMALL, protocol=Protocol(("fog",), (1,)))))
    shown = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cell ")]
    assert shown[0] == "cell 1/2 base: training, clean, corruptions"
    assert shown[1].startswith("cell 2/2 sparse: training, clean, corruptions; about 0:00:")


def test_cells_that_fail_do_not_make_the_rest_look_short(tmp_path, capsys):
    bad = StudyCell("bad", "x", {"model.cross.after": (1,)})
    study = dataclasses.replace(SMALL, cells=(bad, *SMALL.cells), protocol=Protocol())
    run_study(request(tmp_path / "small", study))
    shown = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cell ")]
    assert shown[0] == "cell 1/3 bad: training"
    assert shown[1].startswith("cell bad failed: ")
    assert shown[2] == "cell 2/3 base: training, clean"
    assert shown[3].startswith("cell 3/3 sparse: training, clean; about 0:00:")
