"""Options under the names that people type: aliases, sources by path, any network of timm, older names."""

import json
from pathlib import Path

import pytest

from doublevit.cli import main
from doublevit.cli.parse import parse, with_source
from doublevit.cli.runs import Start, _parse
from doublevit.cli.terminal import as_options
from doublevit.data import DataConfig, source_at
from doublevit.errors import UserError
from doublevit.jobs.options import Evaluate
from doublevit.recipes import RECIPES, fine_tuning, from_dict, get_recipe, to_dict
from doublevit.runs.folder import RunFolder

ALIASES = {
    "--epochs": ("--train.epochs", "2"),
    "--lr": ("--train.backbone-lr", "0.01"),
    "--batch-size": ("--train.batch-size", "8"),
    "--optimizer": ("--train.optimizer", "adamw"),
    "--data": ("--data.path", "images"),
    "--workers": ("--data.workers", "3"),
    "--model": ("--model.backbone", "deit-ti16"),
    "--weights": ("--model.weights", "none"),
    "--output": ("--runs", "elsewhere"),
}


@pytest.mark.parametrize("alias", ALIASES)
def test_aliases_set_what_the_dotted_option_sets(alias):
    option, value = ALIASES[alias]
    default = Start(RECIPES["ti-vit"])
    short, long = (parse(Start, "doublevit run", [name, value], default=default) for name in (alias, option))
    assert short == long != default


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["--train.optimiser", "adamw"], ["--train.optimizer", "adamw"]),
        (["--train.optimiser=adamw"], ["--train.optimizer=adamw"]),
        (["--augment.place", "photo"], ["--augment.place", "image"]),
        (["--augment.place=photo"], ["--augment.place=image"]),
    ],
)
def test_older_names_work_with_a_hint(old, new, capsys):
    default = Start(RECIPES["paper-vit"])
    expected = parse(Start, "doublevit run", new, default=default)
    assert not capsys.readouterr().err
    assert parse(Start, "doublevit run", old, default=default) == expected
    warning = capsys.readouterr().err
    assert any(f"{older} is now {newer};" in warning for older, newer in zip(old, new, strict=True) if older != newer)


def test_older_names_of_evaluate(capsys):
    options = parse(Evaluate, "doublevit evaluate", ["run", "--photos", "5", "--attack.names", "pgd"])
    assert options.first == 5
    assert capsys.readouterr().err == "warning: --photos is now --first; the old name works in this version only\n"


def test_recipes_of_older_runs_are_read(tmp_path):
    run = RunFolder.create(to_dict(RECIPES["paper-vit"]), tmp_path, "old")
    older = run.recipe()
    older["train"]["optimiser"] = older["train"].pop("optimizer")
    older["augment"]["place"] = "photo"
    (run.path / "recipe.json").write_text(json.dumps(older))
    recipe = from_dict(run.recipe())
    assert recipe.train.optimizer == "adam"
    assert recipe.augment.place == "image"


def test_the_source_is_what_lies_at_the_path(tiny_folder, tiny_zip, tmp_path):
    assert source_at(tiny_folder) == source_at(tiny_folder.parent) == source_at(tiny_zip) == "tiny-imagenet"
    assert source_at(tmp_path / "photos") == "folder"
    config = DataConfig("digits", path=tiny_folder)
    assert with_source(config, ["--data", str(tiny_folder)]).source == "tiny-imagenet"
    assert with_source(config, ["--data.source=digits"]) == config
    assert with_source(DataConfig("digits"), []).source == "digits"


def test_any_network_of_timm_is_a_recipe():
    options = _parse(["--model", "vit_small_patch16_224", "--data", "photos", "--epochs", "1"], "train")
    assert isinstance(options, Start)
    recipe = options.recipe
    assert (recipe.name, recipe.model.backbone, recipe.train.epochs) == ("vit_small_patch16_224",) * 2 + (1,)
    assert (recipe.data.source, recipe.data.path) == ("folder", Path("photos"))
    assert _parse(["vit_small_patch16_224", "--data", "photos", "--epochs", "1"], "train") == options
    assert get_recipe("vit-ti16").model.backbone == "vit-ti16"
    with pytest.raises(UserError, match="unknown recipe or network 'vit_smal_patch16_224'; did you mean vit_small_"):
        get_recipe("vit_smal_patch16_224")
    with pytest.raises(UserError, match="unknown network 'ti-vi'"):
        fine_tuning("ti-vi")
    with pytest.raises(UserError, match=r"expected a recipe .* or `model`"):
        _parse(["--epochs", "1"], "train")


def test_a_network_is_trained_without_a_recipe(image_folder, tmp_path, capsys):
    options = ["--data", str(image_folder), "--weights", "none", "--model.image-size", "32", "--epochs", "1"]
    places = ["--output", str(tmp_path / "out"), "--name", "mine", "--data.cache", str(tmp_path / "cache")]
    main(["train", "--model", "test_resnet", *options, *places, "--data.size", "32", "--device", "cpu"])
    main(["val", str(tmp_path / "out" / "mine")])
    assert "top-1" in capsys.readouterr().out
    checkpoints = tmp_path / "out" / "mine" / "checkpoints"
    index = json.loads((checkpoints / "index.json").read_text())
    assert {which: (checkpoints / which).readlink().name for which in index} == index
    assert (checkpoints / "best" / "model.safetensors").is_file()


def test_only_help_attacks_shows_what_each_attack_takes(capsys):
    shown = {}
    for flag in ("--help", "--help-attacks"):
        with pytest.raises(SystemExit, match=r"^0$"):
            main(["evaluate", flag])
        shown[flag] = capsys.readouterr().out
    assert "--attack.epsilons" in shown["--help"]
    assert "--attack.pgd.relative-step" not in shown["--help"]
    assert "--help-attacks" in shown["--help"]
    assert "--attack.pgd.relative-step" in shown["--help-attacks"]
    assert len(shown["--help"].splitlines()) < 150


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("`train.batch_size`: expected at least 1", "--train.batch-size: expected at least 1"),
        ("add `attack.norm=l2`", "add --attack.norm l2"),
        ("give `attack.names=fab-t square`", "give --attack.names fab-t square"),
        ("add `resume=False` or `data.download=True`", "add --no-resume or --data.download"),
        ("choose `data.download=False`", "choose --data.no-download"),
        ("'quoted' and `Not This` stay", "'quoted' and `Not This` stay"),
    ],
)
def test_arguments_in_errors_become_options(text, typed):
    assert as_options(text) == typed


def test_a_device_that_is_not_here(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", "")
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["run", "digits-vit", "--epochs", "0", "--device", "cuda:7", "--output", str(tmp_path)])
    assert "--device cuda:7: not on this machine, which has cpu" in capsys.readouterr().err
