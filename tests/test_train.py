"""The training loop on a few digits: interrupted equals unbroken, parts equal the whole, nothing bad is saved."""

import dataclasses
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from timm.loss import JsdCrossEntropy

from doublevit.augment import AugmentConfig
from doublevit.augment.draws import draw_table
from doublevit.augment.mixing import Mixing
from doublevit.augment.policies import make_augmentation
from doublevit.augment.resized_crop import ResizedCrop
from doublevit.cli import main
from doublevit.data import DataConfig
from doublevit.errors import UserError
from doublevit.images import Regions
from doublevit.jobs import train as jobs
from doublevit.jobs.load import load_data_and_model
from doublevit.models import CrossConfig, ModelConfig
from doublevit.models.classifier import Classifier, build
from doublevit.recipes import RECIPES, Recipe, from_dict, get_recipe, to_dict
from doublevit.regions import resize_regions
from doublevit.runs import checkpoint
from doublevit.runs.folder import RunFolder
from doublevit.training import TrainConfig
from doublevit.training.interrupt import Stopped
from doublevit.training.optimizer import make_optimizer, rate_factor
from doublevit.training.step import _loss
from doublevit.training.training import Training, TrainingBatch, epoch_batches, prepare, require_trainable
from moments import after_step, at_batch, at_file, ctrl_c
from processes import in_processes


def recipe(**train: object) -> Recipe:
    """Two epochs of four steps, with dropout and cropping, so that every kind of draw is in play."""
    base = get_recipe("digits-double")
    options = {"epochs": 2, "batch_size": 16, "warmup_epochs": 0.5} | train
    return dataclasses.replace(
        base,
        data=DataConfig("digits", per_class=6, val_fraction=0.04),
        model=dataclasses.replace(base.model, head="paper-double", freeze="all-but-4-blocks"),
        train=dataclasses.replace(base.train, **options),
    )


def weights(run: RunFolder, which: str = "last") -> dict[str, torch.Tensor]:
    index = json.loads((run.checkpoints / "index.json").read_text())
    from safetensors.torch import load_file

    return load_file(run.checkpoints / index[which] / "model.safetensors")


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> RunFolder:
    return jobs.start(recipe(), tmp_path_factory.mktemp("runs"), "unbroken").run


@pytest.mark.slow
def test_same_seed_same_weights_another_seed_others(unbroken, tmp_path):
    assert same(weights(unbroken), weights(jobs.start(recipe(), tmp_path, "again").run))
    other = dataclasses.replace(recipe(), seed=1)
    assert not same(weights(unbroken), weights(jobs.start(other, tmp_path, "other").run))


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 3, 4, 6])
def test_stopped_and_resumed_equals_unbroken(unbroken, tmp_path, stop):
    with at_batch(stop, ctrl_c, training=True) as trained, pytest.raises(Stopped):
        jobs.start(recipe(), tmp_path, "stopped")
    assert len(trained) == stop
    assert not same(weights(unbroken), weights(RunFolder(tmp_path / "stopped")))
    resumed = jobs.resume(tmp_path / "stopped").run
    assert same(weights(unbroken), weights(resumed))
    assert same(weights(unbroken, "best"), weights(resumed, "best"))
    frozen = build(resumed_model(resumed), list("0123456789")).backbone.branches()["fine"].blocks[0]
    assert not any(parameter.requires_grad for parameter in frozen.parameters())


def resumed_model(run: RunFolder) -> ModelConfig:
    return from_dict(run.recipe()).model


@pytest.mark.slow
def test_stopped_during_validation_equals_unbroken(unbroken, tmp_path):
    with at_batch(1, ctrl_c, training=False), pytest.raises(Stopped):
        jobs.start(recipe(), tmp_path, "stopped")
    assert last_of(tmp_path / "stopped") == "epoch-000-step-0000004"  # all steps are made, the epoch is not done
    assert same(weights(unbroken), weights(jobs.resume(tmp_path / "stopped").run))


def last_of(run: Path) -> str:
    """The name of the last checkpoint."""
    return json.loads((run / "checkpoints" / "index.json").read_text())["last"]


@pytest.mark.slow
def test_killed_run_goes_on_from_its_last_checkpoint(unbroken, tmp_path):
    """A kill between writing a checkpoint and naming it: the older one counts, and the result is the same."""

    def killed(index: Path) -> None:
        if "epoch-001" in index.read_text():
            raise SystemExit(9)

    with at_file("os.rename", "index.json", killed), pytest.raises(SystemExit):
        jobs.start(recipe(), tmp_path, "killed")
    assert last_of(tmp_path / "killed") == "epoch-000-step-0000000"
    assert same(weights(unbroken), weights(jobs.resume(tmp_path / "killed").run))


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_go_on(unbroken, tmp_path):
    options = ["--train.epochs", "500", "--data.per-class", "100", "--runs", str(tmp_path), "--name", "stopped"]
    command = [sys.executable, "-m", "doublevit", "train", "digits-double", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    wait_for(tmp_path / "stopped" / "log.jsonl")
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert f"doublevit train --resume {tmp_path / 'stopped'}" in error.splitlines()[-1]
    assert checkpoint.exists(tmp_path / "stopped" / "checkpoints")
    assert "Traceback" not in error


def wait_for(path: Path, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "augment", [AugmentConfig("crop"), AugmentConfig("augmix-jsd"), AugmentConfig("trivial", mixup=0.5)]
)
def test_accumulation_changes_memory_not_the_step(tmp_path, augment):
    def trained(accumulate: int) -> dict[str, torch.Tensor]:
        plain = recipe(epochs=1, accumulate=accumulate)  # without dropout, which each part would draw anew
        plain = dataclasses.replace(plain, model=dataclasses.replace(plain.model, head="linear"), augment=augment)
        return weights(jobs.start(plain, tmp_path, f"parts{accumulate}").run)

    whole, parts = trained(1), trained(5)
    assert all(torch.allclose(whole[name], parts[name], atol=1e-4) for name in whole)


@pytest.mark.slow
def test_three_processes_train_as_one(tmp_path):
    """On the CPU, though 3 divides no batch, and the last has fewer images than there are processes.

    One run folder, every sample evaluated once, the same model up to rounding.
    """
    plain = ["--model.head", "linear", "--train.epochs", "3", "--train.batch-size", "29", "--data.per-class", "6"]
    # An odd number of images to validate on: the processes have unequal shares.
    plain += ["--train.warmup-epochs", "0", "--data.val-fraction", "0.2231"]
    plain += ["--train.ema", "0.6", "--train.image-size", "16", "--train.finish-epochs", "1"]
    command = ["run", "digits-double", *plain, "--runs", str(tmp_path), "--name"]
    in_processes(3, [*command, "two"])
    main([*command, "one"])
    one, two = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "two")
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}
    first, second = weights(one), weights(two)
    start = build_start(head="linear")
    moved = max((first[name] - start[name]).abs().max() for name in first)
    apart = max((first[name] - second[name]).abs().max() for name in first)
    assert apart < 0.01 * moved, (apart, moved)
    assert [(row.metric, row.count) for row in two.rows()[:3]] == [("top-1", 401), ("top-3", 401), ("top-5", 401)]
    assert two.rows()[0].value == pytest.approx(one.rows()[0].value, abs=0.01)
    logs = [[json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()] for run in (one, two)]
    for alone, together in zip(*logs, strict=True):
        if "train" in alone:
            assert together["train"]["loss"] == pytest.approx(alone["train"]["loss"], rel=1e-3)


@pytest.mark.slow
def test_diverged_training_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    def poison(model: Classifier) -> None:
        next(iter(model.heads.parameters())).data.fill_(math.nan)

    with (
        at_batch(6, poison, training=True),
        pytest.raises(UserError, match=r"no longer finite.*last good checkpoint"),
    ):
        jobs.start(recipe(), tmp_path, "diverged")
    saved = weights(RunFolder(tmp_path / "diverged"))
    assert all(torch.isfinite(tensor).all() for tensor in saved.values())
    assert last_of(tmp_path / "diverged") == "epoch-001-step-0000004"


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    def poison(optimizer: torch.optim.Optimizer) -> None:  # after the last loss of the epoch was looked at
        optimizer.param_groups[0]["params"][0].data.fill_(math.inf)
        ctrl_c()

    with after_step(4, poison), pytest.raises(UserError, match="no longer finite"):
        jobs.start(recipe(), tmp_path, "poisoned")
    assert all(torch.isfinite(tensor).all() for tensor in weights(RunFolder(tmp_path / "poisoned")).values())


@pytest.mark.slow
def test_damaged_run_files_get_one_line(unbroken, tmp_path):
    for name in ("recipe.json", "checkpoints/index.json", "state.pt"):
        run = tmp_path / name.replace("/", "-")
        shutil.copytree(unbroken.path, run, symlinks=True)
        last = json.loads((run / "checkpoints" / "index.json").read_text())["last"]
        path = run / ("checkpoints/" + last if name == "state.pt" else "") / name
        os.truncate(path, path.stat().st_size // 2)
        with pytest.raises(UserError, match=f"{path.name} is damaged"):
            jobs.resume(run)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [({"sed": 1}, r"unknown field 'sed' - at '\$'"),
     ({"model": {"cross": {"after": [4, "9"]}}}, r"Expected 'int', got 'str' - at '\$\.model\.cross\.after\[1\]'"),
     ({"train": {"optimizer": "sgd"}}, r"'sgd' - at '\$\.train\.optimizer'"),
     ({"train": {"epochs": 1, "epoch": 1}}, r"unknown field 'epoch' - at '\$\.train'"),
     ({"data": {"cache": 3}}, r"Expected 'Path', got 'int' - at '\$\.data\.cache'")],
)  # fmt: skip
def test_a_recipe_of_another_version_is_refused_with_the_path_of_what_is_wrong(changes, complaint):
    with pytest.raises(UserError, match=f"recipe.json is not of this version.*{complaint}"):
        from_dict(to_dict(recipe()) | changes)
    without_name = {key: value for key, value in to_dict(recipe()).items() if key != "name"}
    with pytest.raises(UserError, match=r"not of this version.*missing required field 'name'"):
        from_dict(without_name)


def test_a_recipe_whose_values_do_not_fit_names_the_flag():
    with pytest.raises(UserError, match=r"^`seed`: expected 0 or more"):
        from_dict(to_dict(recipe()) | {"seed": -1})


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_come_back_from_json(name):
    known = dataclasses.replace(get_recipe(name), data=DataConfig("folder", path=Path("/images"), cache=Path("/cache")))
    assert from_dict(json.loads(json.dumps(to_dict(known)))) == known


@pytest.mark.slow
def test_half_pruned_checkpoint_of_the_same_name_is_written_anew(unbroken, tmp_path):
    stale = tmp_path / "anew" / "checkpoints" / "epoch-001-step-0000004"
    with at_batch(1, lambda _: stale.mkdir(), training=True):
        run = jobs.start(recipe(), tmp_path, "anew").run
    assert same(weights(unbroken), weights(run))


@pytest.mark.slow
def test_full_disk_keeps_the_older_checkpoint(tmp_path, monkeypatch):
    def fill(_: Classifier) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1000, 999, 1))

    with at_batch(1, fill, training=True), pytest.raises(UserError, match="no space left: a checkpoint"):
        jobs.start(recipe(), tmp_path, "full")
    assert [path.name for path in (tmp_path / "full" / "checkpoints").glob("epoch*")] == ["epoch-000-step-0000000"]
    monkeypatch.undo()
    jobs.resume(tmp_path / "full")


def test_only_last_and_best_are_kept_and_the_log_is_whole(unbroken):
    index = json.loads((unbroken.checkpoints / "index.json").read_text())
    folders = {path.name for path in unbroken.checkpoints.iterdir() if path.is_dir() and not path.is_symlink()}
    assert folders == set(index.values())
    for which, name in index.items():
        assert (unbroken.checkpoints / which).resolve() == (unbroken.checkpoints / name).resolve()
    epochs = [json.loads(line) for line in (unbroken.path / "log.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in epochs if "epoch" in entry] == [1, 2]


RESIZED = AugmentConfig(scale=0.3, erasing=0.5, mixup=0.5)


def training_of(config: AugmentConfig, **train: object) -> Training:
    """On six digits a class."""
    splits, model = load_data_and_model(recipe())
    options = dataclasses.replace(recipe().train, **train)
    trainable = require_trainable(model, splits["train"], options)
    return prepare(trainable, splits, options, config, RunFolder(Path()), seed=3)


def batches(config: AugmentConfig, epoch: int = 0, first: int = 0, batch_size: int = 16) -> list[TrainingBatch]:
    return list(epoch_batches(training_of(config, batch_size=batch_size), epoch, first))


def in_order(parts: list[TrainingBatch], field: str) -> torch.Tensor:
    return torch.cat([getattr(batch, field) for batch in parts])[torch.cat([b.indices for b in parts]).argsort()]


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["crop", "augmix-jsd"])
def test_images_are_augmented_by_seed_epoch_and_sample(policy):
    train = load_data_and_model(recipe())[0]["train"]
    augmentation, epochs = make_augmentation(AugmentConfig(policy)), []
    stored = torch.from_numpy(train.images).permute(0, 3, 1, 2)
    for epoch in range(2):
        expected = augmentation(stored, draw_table(3, epoch, len(train), augmentation.columns))
        made = batches(AugmentConfig(policy), epoch)
        assert torch.equal(in_order(made, "images"), expected)
        assert torch.equal(in_order(made, "labels"), torch.from_numpy(train.labels))
        assert torch.equal(in_order(made, "targets"), torch.from_numpy(train.labels))
        epochs.append(expected)
    assert not torch.equal(*epochs)


@pytest.mark.slow
@pytest.mark.parametrize("config", [AugmentConfig("augmix"), AugmentConfig(mixup=0.8, cutmix=1.0), RESIZED])
@pytest.mark.parametrize("ahead", [1, 40 * 32 * 32])
def test_no_batch_size_no_resuming_no_working_ahead_changes_a_image(config, ahead, monkeypatch):
    whole = batches(config)
    monkeypatch.setattr("doublevit.training.training.PIXELS_AT_ONCE", ahead)
    for size in (1, 7, 60):
        for field in ("images", "labels", "targets"):
            assert torch.equal(in_order(batches(config, batch_size=size), field), in_order(whole, field))
    resumed = batches(config, first=2)
    assert [len(batch) for batch in resumed] == [len(batch) for batch in whole[2:]]
    for mine, theirs in zip(resumed, whole[2:], strict=True):
        assert torch.equal(mine.images, theirs.images)
        assert torch.equal(mine.targets, theirs.targets)


def test_blended_images_and_targets_are_those_of_a_image_and_its_partner():
    train = load_data_and_model(recipe())[0]["train"]
    config = AugmentConfig("augmix", mixup=0.3, cutmix=2.0)
    made, augmentation, mixing = batches(config), make_augmentation(config), Mixing(0.3, 2.0)
    draws = draw_table(3, 0, len(train), augmentation.columns + mixing.columns)
    views = augmentation(torch.from_numpy(train.images).permute(0, 3, 1, 2), draws[:, : augmentation.columns])[:, 0]
    partners = mixing.partners(draws[:, augmentation.columns :], len(train))
    expected, share = mixing(views, views[partners], draws[:, augmentation.columns :])
    assert torch.equal(in_order(made, "images")[:, 0], expected)
    targets, labels = in_order(made, "targets"), torch.from_numpy(train.labels)
    for target, own, other, part in zip(targets, labels, labels[partners], share, strict=True):
        assert target[own].item() == pytest.approx(1 if own == other else part.item(), abs=1e-6)
        assert target.sum().item() == pytest.approx(1, abs=1e-6)
    assert torch.equal(in_order(made, "labels"), targets.argmax(1))
    assert training_of(config).mixing.mixup == 0.3


@pytest.mark.parametrize("config", [AugmentConfig("augmix", mixup=0.5), RESIZED])
def test_two_processes_share_the_images_that_one_gets(config):
    training = training_of(config)
    alone, shares = list(epoch_batches(training, 0, 0)), []
    for rank in range(2):
        process = SimpleNamespace(process_index=rank, num_processes=2, device=torch.device("cpu"))
        shares.append(list(epoch_batches(dataclasses.replace(training, accelerator=process), 0, 0)))
    for whole, *halves in zip(alone, *shares, strict=True):
        for rank, half in enumerate(halves):
            assert torch.equal(half.images, whole.images[rank::2])
            assert torch.equal(half.targets, whole.targets[rank::2])


def test_the_loss_is_that_of_the_clean_view_and_the_weighted_disagreement_of_all():
    """By timm's loss, from the model's own logits of views that are stacked as timm stacks them."""
    training = training_of(AugmentConfig("augmix-jsd"), consistency=5, label_smoothing=0.1)
    training.wrapped.eval()  # no dropout
    batch = next(epoch_batches(training, 0, 0))
    with torch.inference_mode():
        loss, correct = _loss(training, batch)
        logits = training.model(batch.images.transpose(0, 1).flatten(0, 1))
        expected = JsdCrossEntropy(num_splits=3, alpha=5, smoothing=0.1)(logits, batch.labels)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert correct == (logits[: len(batch)].argmax(1) == batch.labels).sum()


def test_at_the_networks_input_size_images_are_resized_first():
    train = load_data_and_model(recipe())[0]["train"]
    model = build(dataclasses.replace(recipe().model, image_size=48), train.class_ids)
    config = AugmentConfig("augmix", place="input")
    trainable = require_trainable(model, train, recipe().train)
    training = prepare(trainable, {"train": train, "val": train}, recipe().train, config, RunFolder(Path()), seed=3)
    made = in_order(list(epoch_batches(training, 0, 0)), "images")
    resized = model.resize(torch.from_numpy(train.images).permute(0, 3, 1, 2))
    augmentation = training.augmentation
    assert made.shape == (60, 1, 3, 48, 48)
    assert torch.equal(made, augmentation(resized, draw_table(3, 0, 60, augmentation.columns)))


def test_resized_crops_are_gathered_at_the_size_where_images_are_augmented():
    train = load_data_and_model(recipe())[0]["train"]
    model = build(dataclasses.replace(recipe().model, image_size=48), train.class_ids)
    for place, side in (("image", 32), ("input", 48)):
        config = AugmentConfig("crop", scale=0.08, place=place)
        trainable = require_trainable(model, train, recipe().train)
        training = prepare(trainable, {"train": train, "val": train}, recipe().train, config, RunFolder(Path()), seed=3)
        boxes = ResizedCrop(0.08).boxes(draw_table(3, 0, 60, ResizedCrop.columns), (32, 32))
        expected = resize_regions(train.images, Regions(boxes, side, model.resize.mode))
        made = in_order(list(epoch_batches(training, 0, 0)), "images")
        assert made[:, 0].permute(0, 2, 3, 1).tolist() == expected.tolist()


@pytest.mark.parametrize("schedule", ["cosine", "cosine-per-epoch", "constant"])
def test_rates_follow_the_closed_form(schedule):
    config = TrainConfig(epochs=4, schedule=schedule, warmup_epochs=0 if schedule == "cosine-per-epoch" else 1)
    factors = [rate_factor(step, 40, 10, config) for step in range(40)]
    for step, factor in enumerate(factors):
        if schedule == "cosine-per-epoch":
            assert factor == pytest.approx((1 + math.cos(math.pi * (step // 10) / 4)) / 2)
        elif step < 10:
            assert factor == pytest.approx((step + 1) / 11)
        else:
            cosine = (1 + math.cos(math.pi * (step - 10) / 30)) / 2
            assert factor == pytest.approx(cosine if schedule == "cosine" else 1)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_two_rates_and_no_decay_on_norms_and_biases_with_adamw(optimizer):
    config = ModelConfig(
        "vit-digits-4", coarse="vit-digits-8", weights="none", freeze="all-but-2-blocks", cross=CrossConfig((5,))
    )
    model = build(config, list("ab"))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = make_optimizer(model, TrainConfig(optimizer=optimizer, weight_decay=0.1)).param_groups
    rates = {names[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert set(rates) == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    for name, (rate, decay) in rates.items():
        assert rate == (1e-3 if name.startswith(("heads", "backbone.cross")) else 1e-4)
        spared = optimizer == "adamw" and (name.endswith("bias") or "norm" in name)
        assert decay == (0.0 if spared else 0.1)


@pytest.mark.slow
def test_gradient_is_clipped(tmp_path):
    moved = []
    for clip in (1e-12, None):
        start = build_start()
        run = jobs.start(recipe(epochs=1, clip_norm=clip, weight_decay=0.0), tmp_path, f"clip{clip}").run
        moved.append(max((weights(run)[name] - start[name]).abs().max().item() for name in start))
    # Adam divides by the gradient's size, so only a norm near its epsilon of 1e-8 shows in the step.
    assert moved[0] < 0.01 * moved[1]


def build_start(**model: object) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return build(dataclasses.replace(recipe().model, **model), list("0123456789")).state_dict()


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"epochs": -1},
        {"accumulate": 0},
        {"head_lr": -1},
        {"backbone_lr": math.nan},
        {"clip_norm": 0},
    ],
)
def test_impossible_options(options):
    with pytest.raises(UserError, match=r"^`train"):
        TrainConfig(**options)
