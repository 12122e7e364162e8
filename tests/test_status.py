"""doublevit status: how far runs are, how good, what was measured; quick, and never a traceback."""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from doublevit.analysis.status import run_status
from doublevit.cli import main
from doublevit.corruptions.config import COMMON
from doublevit.data.identity import DatasetId
from doublevit.files import folder_size
from doublevit.report.tables.status import duration, next_command
from doublevit.runs.folder import RunFolder
from doublevit.runs.study_record import StudyRecord, write_record
from doublevit.runs.trackers import TrackerRecord, write_trackers
from made_runs import checkpoint, corruption, make_run, measure, pgd, right


def step(number: int, **more: Any) -> dict[str, Any]:
    """An entry of the log, of a training of 5 epochs of 100 steps at 32 images and one step a second."""
    costs = {"images_per_second": 32.0, "resident_bytes": 1_500_000_000, "seconds_left": 540.0 - number}
    return {"step": number, "loss": 3.0 - number / 500, **costs, "val_seconds": 8.0, "steps": 500, **more}


def epoch(number: int, top1: float) -> dict[str, Any]:
    accuracy = {"val_top1": top1, "val_low": top1 - 0.1, "val_high": top1 + 0.1}
    entry = step(100 * number, epoch=number, train={"loss": 2.0, "top1": 0.5}, **accuracy)
    del entry["loss"]
    return entry


def training_run(folder: Path, name: str, *entries: dict[str, Any], saved: int = 0) -> RunFolder:
    """A run of five epochs with such a log, and checkpoints after so many epochs."""
    run = make_run(folder, name, train__epochs=5)
    (run.path / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    names = {"last": f"epoch-{saved:03d}-step-{100 * saved:07d}", "best": "epoch-001-step-0000100"}
    for each in names.values():
        (run.checkpoints / each).mkdir(parents=True, exist_ok=True)
        (run.checkpoints / each / "model.safetensors").write_bytes(bytes(3_000_000))
    (run.checkpoints / "index.json").write_text(json.dumps(names))
    return run


def silent_for(run: RunFolder, seconds: float) -> None:
    """Nothing was written for so long."""
    then = time.time() - seconds
    for path in [*run.path.rglob("*"), run.path]:
        os.utime(path, (then, then))


HALF = [step(10), epoch(1, 0.6), epoch(2, 0.4), step(210), step(220)]


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    main(["status", *arguments])
    return " ".join(capsys.readouterr().out.split())


def test_a_training_at_work_says_how_far_how_long_and_how_good(tmp_path, capsys):
    run = training_run(tmp_path, "half", *HALF, saved=2)
    write_trackers(run.path, {"wandb": TrackerRecord(id="x"), "tensorboard": TrackerRecord()})
    silent_for(run, 50)
    status = run_status(run.path)
    assert status.state == "training"
    assert status.training is not None
    assert (status.training.fraction, status.training.epochs_done) == (0.44, 2)
    assert (status.top1.value, status.training.best.value, status.training.best.epoch) == (0.4, 0.6, 1)
    text = printed(["--runs", str(tmp_path)], capsys)
    assert "training 3/5, 44%, 5 min 20 s left, 50 s ago" in text
    assert "40.0 60.0 - wandb tensorboard" in text
    assert "30.0 to 50.0 50.0 to 70.0" in text


@pytest.mark.parametrize("silence", [60 + 3 * (10 * 32 / 32 + 8) - 5, 60 + 3 * (10 * 32 / 32 + 8) + 5])
def test_silence_is_measured_by_speed_and_validation(tmp_path, silence):
    run = training_run(tmp_path, "half", *HALF, saved=2)
    batch_size = run.recipe()["train"]["batch_size"]
    silent_for(run, silence + 3 * 10 * (batch_size - 32) / 32)
    assert run_status(run.path).state == ("training" if silence < 114 else "stopped")


def test_a_stopped_training_says_so_at_once_and_why(tmp_path, capsys):
    training_run(tmp_path, "ctrl-c", *HALF, {"step": 220, "ended": "stopped"}, saved=2)
    training_run(tmp_path, "worse", *HALF, {"step": 220, "ended": "loss is no longer finite"}, saved=2)
    dead = training_run(tmp_path, "dead", *HALF, saved=2)
    silent_for(dead, 3 * 3600 + 125)
    text = printed(["--runs", str(tmp_path)], capsys)
    assert "stopped 3/5, 44%, 0 s ago; loss is no longer finite" in text
    assert "stopped 3/5, 44%, 3 h 2 min ago" in text
    one = printed([str(tmp_path / "ctrl-c")], capsys)
    assert f"next doublevit run --resume {tmp_path / 'ctrl-c'}" in one
    assert one.startswith("ctrl-c property value")
    assert "last losses 2.980 at step 10, 2.580 at step 210, 2.560 at step 220" in one
    assert "speed 32.0 images/s" in one
    assert "most memory 1.50 GB of the process" in one
    assert "last epoch-002-step-0000200, 3.0 MB" in one
    assert "on disk 6.0 MB" in one
    assert "most memory 1.50 GB of the process" in one


def test_a_run_says_what_of_its_present_weights_was_measured(tmp_path, capsys):
    run = training_run(tmp_path, "done", *HALF, epoch(5, 0.7), saved=5)
    assert run_status(run.path).state == "trained"
    assert next_command(run_status(run.path)) == f"doublevit evaluate {run.path}"
    present = checkpoint("last", "epoch-005-step-0000500", "0" * 8)
    measure(run, right(150), checkpoint=present)
    for name in COMMON[:12]:
        measure(run, right(90), corruption(name, 3), checkpoint=present)
    for name in COMMON:  # of older weights
        measure(run, right(90), corruption(name, 4), checkpoint=checkpoint("last", "epoch-004", "1" * 8))
    status = run_status(run.path)
    assert (status.state, status.measured.cells, status.measured.all_cells) == ("evaluated", 12, 15)
    assert (status.top1.value, status.training.best.value) == (0.75, 0.7)
    assert next_command(status).endswith("--corruptions common")
    for name in COMMON[12:]:
        measure(run, right(90), corruption(name, 3), checkpoint=present)
    assert "--attack.names pgd" in next_command(run_status(run.path))
    measure(run, right(20), pgd(1 / 255), checkpoint=present)
    assert "evaluated 75.0 70.0 clean, corruptions 15/15 cells, pgd" in printed(["--runs", str(tmp_path)], capsys)
    assert next_command(run_status(run.path)) == f"doublevit report {run.path}"


def test_a_folder_of_results_names_its_images_and_asks_for_no_weights(tmp_path, capsys):
    run = make_run(tmp_path, "judged", train__epochs=0)  # as `doublevit evaluate timm:NAME --data PATH` leaves it
    images = DatasetId(source="images in photos", checksum="0" * 8, split="all", subset=None, skipped=0)
    measure(run, right(150), dataset=images)
    status = run_status(run.path)
    assert (status.state, status.data) == ("evaluated", "photos")
    assert next_command(status) == f"doublevit report {run.path}"
    text = printed([str(run.path)], capsys)
    assert "data photos" in text
    assert " kB " in text


DAMAGE = {
    "recipe.json": "{",
    "log.jsonl": '{"step": \n{"step": 2}\n',
    "results.jsonl": '{"model": 1}\n',
    "checkpoints/index.json": "[",
    "trackers.json": "[]",
}


@pytest.mark.parametrize("file", DAMAGE)
def test_a_damaged_run_is_a_line_and_the_others_are_told(file, tmp_path, capsys):
    training_run(tmp_path, "sound", *HALF, saved=2)
    run = training_run(tmp_path, "spoiled", *HALF, saved=2)
    (run.path / file).write_text(DAMAGE[file])
    text = printed(["--runs", str(tmp_path)], capsys)
    assert "training 3/5, 44%" in text
    assert "damaged a" in text
    assert Path(file).name in text[text.index(" a: ") :].replace(" ", "")
    assert file.rpartition("/")[2] in printed([str(run.path)], capsys).replace(" ", "")


HOSTILE = {
    "nested": ("recipe.json", "[" * 100_000),
    "nested index": ("checkpoints/index.json", "[" * 100_000),
    "half a character": ("checkpoints/index.json", '{"last": "\\ud800"}'),
    "pipe": ("log.jsonl", None),
    "pipe of results": ("results.jsonl", None),
    "pipe of checkpoints": ("checkpoints/index.json", None),
    "no such tracker": ("trackers.json", '{"../../x": {}}'),
    "another folder": ("trackers.json", '{"wandb": {"id": "../../x"}}'),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_damage_that_is_told(name, tmp_path, capsys):
    run = training_run(tmp_path, "hostile", *HALF, saved=2)
    file, text = HOSTILE[name]
    if text is None:
        (run.path / file).unlink(missing_ok=True)
        os.mkfifo(run.path / file)
    else:
        (run.path / file).write_text(text)
    assert run_status(run.path).state == "damaged"
    assert json.loads(printed([str(run.path), "--format", "json"], capsys))[0]["state"] == "damaged"


def test_numbers_too_large_for_floats_are_left_out(tmp_path):
    run = training_run(tmp_path, "large", *HALF, {"step": int("9" * 400), "loss": 1.0}, saved=2)
    assert run_status(run.path).training.losses[-1][0] < 10**6


def test_names_do_not_command_the_terminal(tmp_path, capsys):
    run = training_run(tmp_path, "colored", *HALF, saved=2)
    recipe = run.recipe()
    (run.path / "recipe.json").write_text(json.dumps(recipe | {"data": recipe["data"] | {"path": "/x/\x1b[2Jred"}}))
    text = printed([str(run.path)], capsys)
    assert "[2Jred" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("variable", "value"), [("WORLD_SIZE", "abc"), ("RANK", "-1"), ("LOCAL_RANK", "9" * 5000), ("RANK", "3")]
)
def test_a_launchers_variables_that_are_no_numbers_are_one_line(variable, value, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as stopped:
        main(["status", "--runs", str(tmp_path)])
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    "change", [{"model": {}}, {"train": {"epochs": "two"}}, {"data": {"path": 3}}, {"model": {"backbone": []}}]
)
def test_a_recipe_of_another_form_is_damage_too(change, tmp_path):
    run = training_run(tmp_path, "strange", *HALF, saved=2)
    (run.path / "recipe.json").write_text(json.dumps(run.recipe() | change))
    assert run_status(run.path).state == "damaged"


def test_logs_of_older_versions_are_read(tmp_path):
    """Without speed, memory, time left; the epoch has the number of photos."""
    old = [{"step": 10, "loss": 2.5, "learning_rates": [0.1]},
           {"step": 100, "epoch": 1, "photos": 3200, "train": {"loss": 2.0, "top1": 0.4, "images_per_second": 16.0},
            "val_top1": 0.5, "val_low": 0.4, "val_high": 0.6}]  # fmt: skip
    run = training_run(tmp_path, "old", *old, saved=1)
    training = run_status(run.path).training
    assert training is not None
    assert (training.fraction, training.images_per_second, training.seconds_left) == (0.2, 16.0, None)
    assert training.losses == ((10, 2.5),)


def test_a_studys_runs_are_told_where_it_is_named(tmp_path, capsys):
    training_run(tmp_path, "first", *HALF, saved=2)
    (tmp_path / "study").mkdir()
    training_run(tmp_path / "study", "base", *HALF, saved=2)
    write_record(tmp_path / "study", StudyRecord(name="study", note="", baseline="base"))
    everything = printed(["--runs", str(tmp_path)], capsys)
    assert "study/base" not in everything
    assert f"Studies, which `doublevit status STUDY` tells: {tmp_path / 'study'}" in everything.replace(
        " study.", "study."
    )
    assert "study/base" in printed([str(tmp_path / "study"), str(tmp_path / "first")], capsys)


def test_json_for_scripts(tmp_path, capsys):
    run = training_run(tmp_path, "half", *HALF, saved=2)
    main(["status", "--runs", str(tmp_path), "--format", "json"])
    (status,) = json.loads(capsys.readouterr().out)
    assert (status["name"], status["state"], status["path"]) == ("half", "training", str(run.path))
    assert status["training"]["seconds_left"] == 320.0
    assert status["top1"] == {"value": 0.4, "low": pytest.approx(0.3), "high": 0.5, "epoch": 2}
    assert status["next"] == f"doublevit status {run.path}"


@pytest.mark.parametrize("path", ["nowhere", "empty"])
def test_no_runs_is_one_line(path, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for arguments in ([str(tmp_path / path)], ["--runs", str(tmp_path / path)]):
        with pytest.raises(SystemExit) as end:
            main(["status", *arguments])
        assert end.value.code == 2
        error = capsys.readouterr().err
        assert f"{tmp_path / path}: expected a run, a study, or a folder of runs" in error
        assert len(error.splitlines()) == 1


def test_it_is_quick_and_needs_no_torch(tmp_path):
    for number in range(20):
        training_run(tmp_path, f"run{number}", *HALF * 100, saved=2)
    code = (
        "import sys, doublevit.cli; doublevit.cli.main(['status', '--runs', sys.argv[1]]);"
        " sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert not subprocess.run([sys.executable, "-c", code, tmp_path], check=False, capture_output=True).returncode
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5  # 0.7 s on an idle machine


def test_files_that_go_while_they_are_counted_take_no_space(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"12345")
    monkeypatch.setattr(os, "walk", lambda folder: [(str(folder), [], ["a", "deleted meanwhile"])])
    assert folder_size(tmp_path) == 5


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (59.6, "1 min"), (61, "1 min 1 s"), (7265, "2 h 1 min"), (90000, "1 d 1 h")]
)
def test_durations_are_told_in_their_two_greatest_units(seconds, words):
    assert duration(seconds) == words
