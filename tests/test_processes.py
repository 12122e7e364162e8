"""Several processes: one line for an error, heartbeats that find who was lost, a kill that ends all, and going on."""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from torch import distributed

from doublevit.cli import main
from doublevit.cli.terminal import fail
from doublevit.processes import launch, watch
from doublevit.processes.watch import DONE, Watch
from doublevit.training.summary import describe_batch
from processes import TORCHRUN

FAST = 0.05


@pytest.fixture
def lost(monkeypatch):
    """Two processes that watch each other, as threads; what the first says at its end."""
    monkeypatch.setattr(watch, "GRACE", 0.0)
    said: list[str] = []
    store = distributed.HashStore()
    first, second = Watch(store, 0, 2, said.append, FAST), Watch(store, 1, 2, lambda line: None, FAST)
    second._send()
    assert first.wait_for_all(1) == []
    first.start()
    yield second, said
    first.stop(DONE)


def wait_for(said: list[str], seconds: float = 5.0) -> str:
    until = time.monotonic() + seconds
    while not said and time.monotonic() < until:
        time.sleep(FAST)
    return said[0] if said else ""


def test_a_process_that_beats_no_more_is_named(lost):
    _, said = lost
    line = wait_for(said)
    assert f"process 1 of 2 (pid {os.getpid()} on " in line
    assert "has not answered" in line


def test_a_process_that_beats_or_is_done_is_not_lost(lost):
    second, said = lost
    for _ in range(watch.MISSED * 2):
        second._send()
        time.sleep(FAST)
    second.stop(DONE)
    time.sleep(FAST * watch.MISSED * 2)
    assert not said


def test_a_process_that_ended_with_an_error_is_quoted(lost):
    second, said = lost
    second.stop("no space left")
    assert "ended: no space left" in wait_for(said)


def test_an_older_beat_never_replaces_the_one_that_says_why_it_ended():
    slow = threading.Event()

    beats: list[str] = []

    class Store:
        def set(self, key: str, beat: str) -> None:
            if not slow.is_set():
                slow.set()
                time.sleep(4 * FAST)
            beats.append(beat)

    process = Watch(Store(), 0, 2, lambda line: None, FAST)
    beating = threading.Thread(target=process._send)
    beating.start()
    slow.wait()
    process.stop("no space")
    beating.join()
    assert json.loads(beats[-1])["ended"] == "no space"


def test_a_killed_process_is_noticed_at_once(lost):
    second, said = lost
    child = subprocess.Popen(["true"])
    child.wait()
    second._beat = watch.msgspec.structs.replace(second._beat, pid=child.pid)
    second._send()
    assert "was killed" in wait_for(said, FAST * watch.MISSED / 2)


def test_a_store_that_answers_no_more_ends_the_others(monkeypatch):
    """As where the machine of process 0 is gone."""
    monkeypatch.setattr(watch, "GRACE", 0.0)
    said: list[str] = []
    server = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    client = distributed.TCPStore("127.0.0.1", server.port, is_master=False)
    process = Watch(client, 1, 2, said.append, FAST)
    Watch(server, 0, 2, lambda line: None)._send()
    assert process.wait_for_all(1) == []
    process._look()
    del server
    process.start()
    assert "process 0 of 2, or what started it on" in wait_for(said)


def test_a_process_that_does_not_come_is_told():
    alone = Watch(distributed.HashStore(), 0, 3, lambda line: None)
    assert alone.wait_for_all(0.1) == [1, 2]


@pytest.mark.parametrize("processes", [1, 2])
def test_the_first_to_end_prints_and_leaves_word(tmp_path, monkeypatch, capsys, processes):
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    for rank in range(processes):
        (tmp_path / str(rank)).mkdir()
        monkeypatch.setenv(launch.ERROR_FILE, str(tmp_path / str(rank) / "error.json"))
        with pytest.raises(SystemExit, match="2"):
            fail("`data`: expected a folder", 2)
        assert json.loads((tmp_path / str(rank) / "error.json").read_text())["message"]["message"].startswith("--data:")
    assert capsys.readouterr().err == "doublevit: --data: expected a folder\n"


def test_batch_size_is_told_for_a_process_and_together():
    assert describe_batch(32, 1) == ""
    assert describe_batch(32, 2) == "2 processes: batch size 32 together, 16 per process\n"
    assert "3 processes: batch size 32 together, 10 or 11 (weighed by that) per process" in describe_batch(32, 3)


@pytest.mark.slow
def test_a_killed_process_ends_the_others_with_a_line_and_the_run_goes_on(tmp_path):
    """Of two processes the second is killed; two go on, to the weights that one alone gives, up to rounding."""
    options = ["--train.epochs", "3", "--train.batch-size", "7", "--data.per-class", "4", "--model.head", "linear"]
    options += ["--train.warmup-epochs", "0", "--runs", str(tmp_path)]
    with subprocess.Popen(
        [*TORCHRUN, "--nproc_per_node", "2", "-m", "doublevit", "train", "digits-double", *options, "--name", "killed"],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    ) as launcher:  # fmt: skip
        _kill_second(launcher.pid, tmp_path / "killed" / "log.jsonl")
        error = launcher.communicate(timeout=60)[1]
    assert launcher.returncode
    lines = [line for line in error.splitlines() if line.startswith("doublevit: ")]
    assert len(lines) == 1
    assert "process 1 of 2" in lines[0]
    assert "was killed" in lines[0]
    assert "Error" not in error[: error.index("ChildFailedError")].replace("error_file", "")
    resume = [*TORCHRUN, "--nproc_per_node", "2", "-m", "doublevit", "train", "--resume", str(tmp_path / "killed")]
    subprocess.run(resume, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, timeout=150)
    main(["train", "digits-double", *options, "--name", "whole"])
    killed, whole = (_weights(tmp_path / name) for name in ("killed", "whole"))
    assert max((killed[name] - whole[name]).abs().max() for name in whole) < 1e-3


def _kill_second(launcher: int, log: Path) -> None:
    """Kill the process of rank 1 after the first epoch."""
    until = time.monotonic() + 150
    while time.monotonic() < until and not (log.exists() and '"epoch":1' in log.read_text()):
        time.sleep(0.05)
    (second,) = (child for child in psutil.Process(launcher).children() if child.environ().get("RANK") == "1")
    second.kill()


def _weights(run: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(run / "checkpoints" / "last" / "model.safetensors")
