"""Bad input at the command line: one clear line, exit code 2, never a traceback."""

from pathlib import Path

import numpy as np
import pytest

from doublevit.augment import AugmentConfig, describe
from doublevit.cli import main


def outcome(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = 0
    try:
        main(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fly"], "unknown command 'fly'"),
        (["run", "digit-double"], "did you mean digits-double"),
        (["run", "digits-double", "--train.batch-size", "0"], "expected at least 1, found 0"),
        (["run", "digits-double", "--model.backbone", "vit-digit-4"], "did you mean vit-digits-4"),
        (["run", "digits-double", "--model.backbone", "vit_tiny"], "did you mean vit_tiny_patch16_224"),
        (["run", "digits-double", "--augment.policy", "basics"], "did you mean basic"),
        (["run", "digits-double", "--augment.augmix.operations", "rotate", "sheer-x"], "did you mean shear-x"),
        (["run", "digits-double", "--augment.augmix.severity", "11"], "severity: expected 0 to 10, found 11"),
        (["run", "digits-double", "--augment.augmix.width", "0"], "width: expected 1 to 32 chains, found 0"),
        (["run", "digits-double", "--augment.crop-size", "40"], "expected at most 34, since the images are 32 x 32"),
        (
            [
                "run",
                "digits-double",
                "--augment.place",
                "input",
                "--model.image-size",
                "64",
                "--augment.crop-size",
                "69",
            ],
            "expected at most 68, since the images are 64 x 64",
        ),
        (["run", "digits-double", "--augment.policy", "augmix-jsd", "--augment.mixup", "1"], "choose one of them"),
        (["run", "digits-double", "--train.consistency", "5"], "add --augment.policy augmix-jsd"),
        (
            ["run", "digits-double", "--augment.policy", "augmix-jsd", "--train.consistency", "0"],
            "choose --augment.policy basic",
        ),
        (["run", "digits-double", "--train.consistency", "inf"], "consistency: expected at least 0, found inf"),
        (["run", "digits-double", "--train.consistency", "-1"], "consistency: expected at least 0, found -1"),
        (["data", "show", "--augment", "augmx"], "did you mean augmix"),
        (
            ["data", "show", "--data.path", "images"],
            "images is no folder: expected one folder of images for each class",
        ),
        (
            ["data", "show", "--data", "images", "--data.source", "digits"],
            "add --data.source tiny-imagenet or --data.source folder",
        ),
        (["run", "digits-double", "--data.source", "digit"], "did you mean digits"),
        (["run", "digits-double", "--data.per-class", "1000"], "has only"),
        (["run", "digits-double", "--model.weights", "none.safetensors"], "none.safetensors: expected a .safetensors"),
        (["run", "digits-double", "--model.cross.after", "7"], "expected blocks in 1 .. 6"),
        (["run", "digits-double", "--model.freeze", "half"], "expected none, all-but-head"),
        (["run", "ti-vit", "--data.path", "none.zip"], "none.zip does not exist"),
        (["run", "digits-double", "--train.epoch", "1"], "did you mean --epochs or --train.epochs"),
        (["run", "digits-double", "--train.epochs", "one"], "--train.epochs: invalid literal for int()"),
        (["run", "digits-double", "--model.head", "top"], "Expected one of ('linear', 'paper-single'"),
        (["evaluate"], "Missing from doublevit evaluate"),
        (["run", "--resume"], "--resume"),
        (["run", "--resume", "nowhere"], "nowhere is no run"),
        (["evaluate", "nowhere", "--batch-size", "0"], "--batch-size: expected at least 1"),
        (["run", "digits-double", "--seed", "-1"], "--seed: expected 0 or more"),
        (["run", "digits-double", "--data.split-seed", "-1"], "--data.split-seed: expected 0 or more"),
        (["run", "digits-double", "--data.val-fraction", "0.001"], "too few digits"),
        (["run", "digits-double", "--train.accumulate", "99"], "at most the batch size"),
        (["evaluate", "nowhere"], "nowhere is no model: expected a run's folder"),
        (["data", "prepar"], "did you mean data prepare"),
        (["evaluate", "x", "--corruptions", "snoww"], "unknown corruption 'snoww'; did you mean snow?"),
        (
            ["evaluate", "x", "--corruptions", "snow", "--severities", "0"],
            "severity: expected 1 (weakest) to 5, found 0",
        ),
        (
            ["evaluate", "x", "--corruptions", "snow", "--severities", "6"],
            "severity: expected 1 (weakest) to 5, found 6",
        ),
        (
            ["evaluate", "x", "--corruptions", "snow", "--corruption-seed", "-1"],
            "--corruption-seed: expected 0 or more",
        ),
        (["evaluate", "x", "--corrupted-set", "y"], "expected --corruptions, to say which"),
        (["evaluate", "x", "--corruptions", "all", "--download-corrupted-set"], "are two archives"),
        (["evaluate", "x", "--severities", "3"], "expected --corruptions, to say which"),
        (["evaluate", "x", "--corruptions", "fog", "--corrupted-set", "y", "--corruption-seed", "1"], "not for a set"),
        (["data", "verify", "--corrupted-set", "x", "--download-corrupted-set", "common"], "expected one of them"),
        (["data", "corrupt", "--corruptions"], "--corruptions: expected at least one"),
        (["data", "corrupt", "--workers", "0"], "--data.workers: expected at least 1, found 0"),
        (["data", "corrupt", "--first", "9999"], "--first 9999: expected 1 to 360"),
        (["data", "corrupt", "--frost-textures", "."], "found no frost1.png"),
        (["data", "verify", "--corrupted-set", "nowhere"], "nowhere does not exist: expected Tiny-ImageNet-C"),
        (["data", "show", "--corruption", "fogg"], "did you mean fog"),
        (["data", "show", "--corruption", "fog", "--index", "-1"], "--index -1: expected 0 to 1,436"),
        (["data", "show", "--corruption", "fog", "--augment", "augmix"], "expected one of them"),
        (["data", "show", "--output", "x.jpg"], "ends in .png"),
        (["data", "show", "--images", "0"], "expected at least 1"),
        (["recipes", "x"], "takes nothing"),
        (["data", "prepare", "--data.size", "0"], "doublevit: --data.size is the side"),
        (["data", "show", "--output", "/nonexistent/x.png"], "cannot write /nonexistent/x.png (No such file"),
        (["run", "digits-double", "--seed", "9" * 30], "below 2**32"),
        (["run", "digits-double", "--model.cross.head-dim", "1000000"], "expected 1 to 1024"),
        (
            ["run", "digits-double", "--model.backbone", "resnet18", "--model.image-size", "0"],
            "expected 1 to 4096 pixels, found 0",
        ),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, error = outcome(arguments, capsys)
    assert code == 2
    assert words in error
    assert len(error.strip().splitlines()) == 1
    assert error.startswith("doublevit: ")
    assert not list(tmp_path.rglob("recipe.json"))


def test_existing_run_folder_is_said_before_any_work(tmp_path, capsys, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.setattr("doublevit.data.load", lambda config: pytest.fail("worked first"))
    code, _, error = outcome(["run", "digits-double", "--runs", str(tmp_path), "--name", "mine"], capsys)
    assert code == 2
    assert "mine exists" in error


def test_unwritable_place_for_runs(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    code, _, error = outcome(["run", "digits-double", "--train.epochs", "0", "--runs", str(tmp_path / "file")], capsys)
    assert code == 2
    assert "cannot write to" in error.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "doublevit run digits-double"),
        (["--help"], "Train by a recipe"),
        (["run"], "paper-double-2cross"),
        (["run", "digits-double", "--help"], "--model.cross.after"),
        (["recipes"], "vit_base_patch16_224.orig_in21k_ft_in1k"),
        (["data"], "prepare|verify|corrupt|show"),
        (["--version"], "doublevit 0."),
    ],
)
def test_help(arguments, words, capsys):
    code, out, _ = outcome(arguments, capsys)
    assert code == 0
    assert words in out


def test_data_commands(tmp_path: Path, capsys, tiny_folder):
    where = ["--data.source", "tiny-imagenet", "--data.path", str(tiny_folder), "--data.cache", str(tmp_path / "cache")]
    assert "not stored yet" in outcome(["data", "verify", *where], capsys)[1]
    assert "train: 36 images of 64 x 64, 3 classes" in outcome(["data", "prepare", *where], capsys)[1]
    assert "as it was written" in outcome(["data", "verify", *where], capsys)[1]
    outcome(["data", "show", *where, "--output", str(tmp_path / "sheet.png"), "--images", "4"], capsys)
    from PIL import Image

    from doublevit.data.sheet import CAPTION, LINE, TILE, WIDE_TILE

    assert Image.open(tmp_path / "sheet.png").size == (4 * TILE, 3 * (TILE + CAPTION))
    views = ["--augment", "augmix-jsd", "--images", "4", "--output", str(tmp_path / "views.png")]
    assert "written" in outcome(["data", "show", *where, *views], capsys)[1]
    sheet = Image.open(tmp_path / "views.png").convert("L")
    assert sheet.width == 5 * WIDE_TILE
    for column in range(5):  # there are words below each picture, many below an augmented one
        left = column * WIDE_TILE
        ink = np.asarray(sheet.crop((left, WIDE_TILE, left + WIDE_TILE, WIDE_TILE + 4 * LINE))) < 128
        assert ink.sum() > (300 if column in (2, 3) else 20)


@pytest.mark.slow
def test_run_evaluates_what_it_trained(tmp_path, capsys):
    options = ["--train.epochs", "1", "--data.per-class", "2", "--runs", str(tmp_path), "--name", "mine"]
    options += ["--augment.policy", "trivial"]
    code, out, _ = outcome(["run", "digits-double", *options], capsys)
    assert code == 0
    assert "top-3" in out
    said = " ".join(out.split())
    assert f"trained with augmentation {describe(AugmentConfig('trivial'))}" in said
    assert str(tmp_path / "mine" / "results.jsonl") in out
    code, again, _ = outcome(["evaluate", str(tmp_path / "mine"), "--batch-size", "17"], capsys)
    assert out.splitlines()[4:6] == again.splitlines()[4:6]  # the same accuracies whatever the batch
