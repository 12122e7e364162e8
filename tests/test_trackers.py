"""Trackers get the log once, whatever is stopped, killed or failing; the log says how fast, how big, how long."""

import json
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.tracking import GeneralTracker
from PIL import Image

from doublevit.cli import main
from doublevit.jobs import train as jobs
from doublevit.jobs.report import write_report
from doublevit.recipes import Recipe, get_recipe
from doublevit.recipes.recipe import with_changes
from doublevit.runs.folder import RunFolder
from doublevit.runs.trackers import TrackerRecord, read_trackers, write_trackers
from doublevit.training.interrupt import Stopped
from doublevit.training.log import memory, numbers
from doublevit.training.time_left import TimeLeft
from made_runs import make_run, measure, right
from moments import at_batch, at_file, ctrl_c

STEPS = [10, 20, 30]  # those with an entry of the log
EPOCHS = [15, 30]


def recipe() -> Recipe:
    """Two epochs of fifteen steps."""
    changes = {"train.epochs": 2, "train.batch_size": 4, "data.per_class": 6, "data.val_fraction": 0.04}
    return with_changes(get_recipe("digits-vit"), changes)


class Memory(GeneralTracker):
    """A tracker of a user's own."""

    name, requires_logging_directory = "memory", False

    def __init__(self, fails_at: int | None = None) -> None:
        super().__init__()
        self.config: dict[str, Any] = {}
        self.entries: list[tuple[int | None, dict[str, Any]]] = []
        self.images: dict[str, Any] = {}
        self.finished, self.fails_at, self.calls = 0, fails_at, 0

    @property
    def tracker(self) -> list[Any]:
        return self.entries

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.config = dict(values)

    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        self.calls += 1
        if self.fails_at is not None and step is not None and step >= self.fails_at:
            raise OSError(28, "No space left on device\nand more")
        self.entries.append((step, dict(values)))

    def log_images(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        self.images |= values

    def finish(self) -> None:
        self.finished += 1


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def events(run: Path) -> Any:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(run / "tensorboard"), purge_orphaned_data=False)
    return accumulator.Reload()


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> SimpleNamespace:
    """A training that was killed when its last epoch was logged and not yet saved, and gone on with."""
    pytest.importorskip("tensorboard")
    runs, before = tmp_path_factory.mktemp("runs"), Memory()

    def kill(index: Path) -> None:
        if "epoch-002" in index.read_text():
            raise SystemExit(9)

    with at_file("os.rename", "index.json", kill), pytest.raises(SystemExit):
        jobs.start(recipe(), runs, "killed", ["tensorboard", before])
    jobs.resume(runs / "killed")
    return SimpleNamespace(path=runs / "killed", before=before)


@pytest.mark.slow
def test_tensorboard_has_every_number_of_the_log_once_after_a_kill(killed):
    scalars, log = events(killed.path), log_of(killed.path)
    assert [event.step for event in scalars.Scalars("loss")] == STEPS
    assert [event.step for event in scalars.Scalars("val_top1")] == EPOCHS
    for entry in log:
        for name in ("loss", "learning_rates/0", "val_top1", "train/loss"):
            if name in numbers(entry):
                (value,) = [event.value for event in scalars.Scalars(name) if event.step == entry["step"]]
                assert value == pytest.approx(numbers(entry)[name], rel=1e-6)


@pytest.mark.slow
def test_trackers_get_recipe_and_contact_sheet_and_one_of_the_users_own_gets_all(killed):
    own = killed.before
    assert own.config["train.epochs"] == 2
    assert own.config["augment.policy"] == recipe().augment.policy
    assert [step for step, values in own.entries if "loss" in values] == STEPS
    (sheet,) = own.images["training images"]
    assert np.array_equal(sheet, np.asarray(Image.open(killed.path / "training-images.png")))
    (event,) = events(killed.path).Images("training images")
    assert (event.height, event.width) == sheet.shape[:2]
    assert own.finished == 1
    hyperparameters = next((killed.path / "tensorboard").glob("*/hparams.yml")).read_text()
    assert "train.epochs: 2" in hyperparameters


@pytest.mark.slow
def test_every_entry_says_speed_memory_and_time_left(killed):
    log = log_of(killed.path)
    assert [entry["step"] for entry in log] == [10, 15, 20, 30, 30]
    for entry in log:
        assert entry["images_per_second"] > 0
        assert entry["resident_bytes"] > 50e6
        images = (30 - entry["step"]) * 4
        validations = 2 - entry.get("epoch", entry["step"] // 15 if entry["step"] < 30 else 1)
        expected = images / entry["images_per_second"] + validations * entry["val_seconds"]
        assert entry["seconds_left"] == pytest.approx(expected, abs=1e-6)
        assert entry["steps"] == 30


@pytest.mark.slow
def test_the_report_of_a_run_goes_to_its_trackers(killed):
    rows = RunFolder(killed.path).rows()
    assert not rows
    main(["evaluate", str(killed.path)])
    write_report([killed.path])
    (text,) = events(killed.path).Tensors("report/text_summary")
    (value,) = [row.value for row in RunFolder(killed.path).rows() if row.metric == "top-1"]
    assert f"| {100 * value:.1f} (" in text.tensor_proto.string_val[0].decode()


@pytest.mark.slow
def test_a_resumed_run_takes_another_tracker_which_gets_the_log_from_its_beginning(tmp_path):
    pytest.importorskip("tensorboard")
    with at_batch(12, ctrl_c, training=True), pytest.raises(Stopped):
        jobs.start(recipe(), tmp_path, "late")
    assert read_trackers(tmp_path / "late") == {}
    assert log_of(tmp_path / "late")[-1]["ended"] == "stopped"
    jobs.resume(tmp_path / "late", log=["tensorboard"])
    assert list(read_trackers(tmp_path / "late")) == ["tensorboard"]
    assert [event.step for event in events(tmp_path / "late").Scalars("loss")] == STEPS


def test_a_finished_run_keeps_the_tracker_that_has_all_of_it_beside_a_new_one(tmp_path):
    pytest.importorskip("tensorboard")
    run = jobs.start(with_changes(recipe(), {"train.epochs": 0}), tmp_path, "finished").run
    old = TrackerRecord(id="all-of-it")
    write_trackers(run.path, {"mlflow": old})
    jobs.resume(run.path, log=["tensorboard"])
    assert set(read_trackers(run.path)) == {"mlflow", "tensorboard"}
    assert read_trackers(run.path)["mlflow"] == old


@pytest.mark.slow
def test_a_tracker_that_fails_is_left_out_with_one_warning_and_the_training_goes_on(tmp_path, capsys):
    failing, whole = Memory(fails_at=20), Memory()
    jobs.start(recipe(), tmp_path, "run", [failing, whole])
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    reason = "OSError: [Errno 28] No space left on device"
    assert warnings == [f"warning: the tracker memory failed and is left out from here on ({reason})"]
    assert failing.calls == 3  # at steps 10 and 15, and the one that failed
    assert [step for step, values in whole.entries if "loss" in values] == STEPS
    assert log_of(tmp_path / "run")[-1]["epoch"] == 2


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["tensorbord"], "unknown tracker 'tensorbord'; did you mean tensorboard?"),
        (["mlflow"], "--log mlflow: the package mlflow is not installed; install it: pip install mlflow"),
    ],
)
def test_unknown_and_missing_trackers_get_one_line_before_any_work(names, words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as end:
        main(["train", "digits-vit", "--runs", str(tmp_path / "runs"), "--log", *names])
    assert end.value.code == 2
    assert capsys.readouterr().err == f"doublevit: {words}\n"
    assert not (tmp_path / "runs").exists()


def test_time_left_is_that_of_steps_and_validations():
    left = TimeLeft(epochs=3, steps_per_epoch=10, train_images=80, val_images=60)
    assert left.seconds(15, 1, 8.0) == pytest.approx(1.5 * 80 / 8 + 2 * 60 / (3 * 8))  # validations: a third, unseen
    left.validation = 5.0
    assert left.seconds(15, 1, 8.0) == pytest.approx(15 + 2 * 5)
    assert left.seconds(30, 3, 8.0) == 0
    assert left.seconds(15, 1, None) is None


def test_the_last_steps_at_the_full_size_take_longer():
    left = TimeLeft(epochs=2, steps_per_epoch=10, train_images=80, val_images=0, validation=0.0)
    left.finish_steps, left.slower = 5, 4.0
    assert left.seconds(step=0, epoch=0, rate=8.0) == 15 + 4 * 5
    assert left.seconds(step=16, epoch=1, rate=8.0) == 4


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own number is in /proc")
def test_memory_is_the_most_that_the_kernel_counts():
    filled = np.ones(50_000_000, np.uint8)
    status = Path("/proc/self/status").read_text()
    kernel = 1024 * int(status.partition("VmHWM:")[2].split()[0])
    assert memory(torch.device("cpu"))["resident_bytes"] == pytest.approx(kernel, rel=0.02)
    del filled


def wandb_records(path: Path) -> Iterator[bytes]:
    """The records of an offline file: LevelDB's log format, behind a header of seven bytes."""
    data, at, record = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def stop_and_resume(runs: Path, tracker: str) -> Path:
    """A training that was stopped and gone on with, evaluated, with a report."""
    with at_batch(12, ctrl_c, training=True), pytest.raises(Stopped):
        jobs.start(recipe(), runs, "run", [tracker])
    jobs.resume(runs / "run")
    measure(RunFolder(runs / "run"), right(150))
    write_report([runs / "run"])
    return runs / "run"


@pytest.mark.slow
def test_wandb_is_offline_and_has_the_log_once(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    monkeypatch.delenv("WANDB_MODE", raising=False)
    run, losses, ids, artifacts = stop_and_resume(tmp_path, "wandb"), [], set(), []
    for file in sorted(run.glob("wandb/offline-run-*/*.wandb")):
        for data in wandb_records(file):
            record = wandb_internal_pb2.Record.FromString(data)
            items = {(item.key or "/".join(item.nested_key)): item.value_json for item in record.history.item}
            losses += [(int(items["_step"]), float(items["loss"]))] if "loss" in items else []
            ids |= {record.run.run_id} - {""}
            artifacts += [content.path for content in record.artifact.manifest.contents]
    assert losses == [(entry["step"], entry["loss"]) for entry in log_of(run) if "loss" in entry]
    assert ids == {read_trackers(run)["wandb"].id}
    assert artifacts == ["report.html"]
    assert "WANDB_MODE" not in os.environ


@pytest.mark.slow
def test_mlflow_keeps_its_store_in_the_run_and_has_the_log_once(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = stop_and_resume(tmp_path, "mlflow")
    client = MlflowClient(f"sqlite:///{run}/mlflow/mlflow.db")
    (tracked,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    losses = [(metric.step, metric.value) for metric in client.get_metric_history(tracked.info.run_id, "loss")]
    assert losses == [(entry["step"], entry["loss"]) for entry in log_of(run) if "loss" in entry]
    assert tracked.data.params["train.epochs"] == "2"
    artifacts = {artifact.path for artifact in client.list_artifacts(tracked.info.run_id)}
    assert artifacts == {"report.html", "training-images.png"}


def test_reports_of_runs_without_trackers_start_none(tmp_path):
    run = make_run(tmp_path, "plain")
    measure(run, right(150))
    write_report([run.path])
    assert not (run.path / "tensorboard").exists()
