"""Several sets to validate on after each epoch: each measured as `doublevit evaluate` measures it."""

import json
import re
from pathlib import Path

import pytest

from doublevit.cli import main
from doublevit.data import DataConfig
from doublevit.errors import UserError
from doublevit.jobs.judge import evaluate_model
from doublevit.jobs.options import EvaluateModel
from doublevit.jsonl import read_lines
from doublevit.statistics import wilson_interval
from doublevit.training.log import numbers
from test_stands_alone import VIT, make_images


def test_each_set_is_logged_as_evaluate_measures_it(tmp_path, capsys, monkeypatch):
    """One set has two of three classes, unequally many, so that labels matched by position score otherwise."""
    images = make_images(tmp_path / "images", count=6)
    for name, number in (("bee", 6), ("cat", 3)):
        make_images(tmp_path / "night", (name,), number, seed=3)
    make_images(tmp_path / "day", count=4, seed=4)
    monkeypatch.chdir(tmp_path)  # where relative paths lead
    cache = ["--data.cache", str(tmp_path / "cache")]
    options = [*cache, "--epochs", "2", "--lr", "0.01", "--output", "runs", "--name", "run"]
    main(["train", *VIT, "--data", str(images), "--data.val-sets", "night=night", "day=day", f"own={images}", *options])
    printed = capsys.readouterr().err
    entries = [entry for entry in read_lines(tmp_path / "runs" / "run" / "log.jsonl") if "epoch" in entry]
    assert [set(entry["val_sets"]) for entry in entries] == 2 * [{"night", "day", "own"}]
    [trained] = re.findall(r"warning: (\d+) of the 18 images of own are trained on", " ".join(printed.split()))
    assert int(trained) == json.loads(Path("runs/run/data.json").read_text())["splits"]["train"]["count"]
    assert printed.count("are trained on") == 1
    for name, count in (("night", 9), ("day", 12)):
        evaluated = evaluate_model(EvaluateModel(run=Path("runs/run"), data=(name,), runs=Path("measured")))
        row = next(row for row in evaluated.rows if row.metric == "top-1")
        last = entries[-1]["val_sets"][name]
        assert last == {"top1": row.value, "low": row.low, "high": row.high, "count": count}
        assert (last["low"], last["high"]) == wilson_interval(round(row.value * count), count)
        assert f"epoch 2/2: top-1 {row.value:.1%} on {name} (95 %" in " ".join(printed.split())
    assert entries[-1]["val_sets"]["night"] != entries[-1]["val_sets"]["day"]
    index = json.loads((tmp_path / "runs" / "run" / "checkpoints" / "index.json").read_text())
    best = max(entries, key=lambda entry: entry["val_top1"])["epoch"]  # by val alone
    assert index["best"].startswith(f"epoch-{best:03}-")
    assert numbers(entries[-1])["val_sets/night/top1"] == entries[-1]["val_sets"]["night"]["top1"]  # for trackers


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["night"], r"`data.val_sets`: expected NAME=PATH, such as .*, found 'night'"),
        (["a b=night"], "found 'a b=night'"),
        (["x=night", "x=day"], "expected names of their own, found x twice"),
        (["val=night"], "found val twice"),
    ],
)
def test_names_are_plain_and_differ(entries, words):
    with pytest.raises(UserError, match=words):
        DataConfig(val_sets=tuple(entries))


def test_a_set_that_does_not_fit_is_named_before_a_run_is_made(tmp_path, capsys):
    images = make_images(tmp_path / "images", count=2)
    strange = make_images(tmp_path / "strange", ("ant", "wasp"), 2)
    options = ["--data", str(images), "--data.cache", str(tmp_path / "cache"), "--output", str(tmp_path / "runs")]
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["train", *VIT, *options, "--data.val-sets", f"strange={strange}", "--name", "run"])
    error = " ".join(capsys.readouterr().err.split())
    assert "--data.val-sets strange: run does not know 1 of the classes" in error
    assert not (tmp_path / "runs" / "run").exists()
