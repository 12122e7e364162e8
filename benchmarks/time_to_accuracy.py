"""Measure the minutes of fine-tuning until an accuracy is reached, against two peers, in one run.

    python benchmarks/time_to_accuracy.py --path FOLDER/tiny-imagenet-200 --weights vit_tiny.safetensors \
        --timm FOLDER/pytorch-image-models [--target 0.741] [--peers plain timm ours]

All start from the same weights of ViT-Ti/16, train on the same images of Tiny ImageNet (100 of each class), and are
validated by themselves on its 10,000 val images at 224 pixels:

- plain: a loop written by hand, as in benchmarks/training.py: Adam, last 90 tensors, crop and flip, 224 pixels;
- timm: its own train.py, from a checkout of its repository, by AdamW with layer decay and warm-up, else as it stands;
- ours: `doublevit train` by a recipe.

They take turns of some seconds, the others being stopped meanwhile, so that other load of the machine meets all; only a
peer's own turns count. Since a schedule must end for its accuracy to be reached, a peer is given one epoch, then two,
and so on, until it reaches the target; only its last trial counts. Printed are the seconds from the start of its
process to the end of training, and to the end of its validation, and the accuracy.
"""

import dataclasses
import json
import re
import shlex
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import torch
import tyro
from training import BATCH, EVALUATION_BATCH, PlainLoop  # the benchmark beside this
from turns import Command

from doublevit import data
from doublevit.cli import main as main_of_doublevit
from doublevit.data import LISTINGS
from doublevit.data.batches import gather
from doublevit.data.config import DataConfig
from doublevit.device import choose_dtype
from doublevit.evaluators.prediction import predict
from doublevit.jobs import train as training_job
from doublevit.statistics import wilson_interval

TURN_SECONDS = 20.0
TRAINED, REACHED = "trained", "top1"  # what the programs of this file print, as JSON
CHECKPOINT = "checkpoint"
PER_CLASS, CLASSES, VAL_IMAGES = 100, 200, 10_000


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    path: Path
    """Unpacked Tiny ImageNet."""
    weights: Path
    """Weights of ViT-Ti/16, pretrained on ImageNet."""
    timm: Path | None = None
    """A checkout of timm's repository, for the peer timm."""
    peers: tuple[Literal["plain", "timm", "ours"], ...] = ("plain", "timm", "ours")
    """Who takes part."""
    recipe: str = "ti-best"
    """The recipe of ours."""
    changes: str = ""
    """Changes to it, as on the command line, such as "--data.per-class=16 --augment.policy=basic"."""
    target: float = 0.741
    """The top-1 accuracy to reach."""
    epochs: int = 1
    """The number of epochs of the first trial of each."""
    most_epochs: int = 2
    """Above that number of epochs, a peer is given up."""
    cache: Path = DataConfig().cache
    """Folder of the decoded data set."""
    run: Literal["all", "plain", "ours"] = "all"
    """all, or, as it calls itself, the program of one peer."""


class Trial:
    """A peer's program with a number of epochs, and what it has said."""

    def __init__(self, name: str, epochs: int, command: list[str], environment: dict[str, str]) -> None:
        self.name, self.epochs = name, epochs
        self.trained: float | None = None  # seconds of its own turns until the last epoch had ended
        self.top1: float | None = None
        self.command = Command(command, environment, self._hear)

    def _hear(self, line: str, seconds: float) -> None:
        trained, top1 = _parse(line, self.epochs)
        self.trained = seconds if trained else self.trained
        self.top1 = top1 if top1 is not None else self.top1


def _parse(line: str, epochs: int) -> tuple[bool, float | None]:
    """Return whether a line says that the last epoch of training has ended, and the top-1 accuracy that it says."""
    if line.startswith("{"):
        said = json.loads(line)
        return TRAINED in said, said.get(REACHED)
    if re.search(rf"Train: {epochs - 1} \[.*\(100%\)\]", line):  # of timm's train.py
        return True, None
    tested = re.search(r"Test:.*\[ *(\d+)/(\d+)\].*Acc@1: *[\d.]+ *\( *([\d.]+)\)", line)
    last = tested is not None and tested[1] == tested[2]
    return False, float(tested[3]) / 100 if tested and last else None


def race(options: Options, folder: Path) -> dict[str, list[Trial]]:
    """Run all peers in turns, each until it has reached the target or is given up; return the trials of each."""
    trials: dict[str, list[Trial]] = {name: [_begin(name, options.epochs, options, folder)] for name in options.peers}
    try:
        while running := [peer[-1] for peer in trials.values() if peer[-1].command.running]:
            for trial in running:
                trial.command.turn(TURN_SECONDS)
                if trial.command.running:
                    continue
                _say(trial, options)
                if (trial.top1 or 0) < options.target and trial.epochs < options.most_epochs and trial.top1 is not None:
                    trials[trial.name].append(_begin(trial.name, trial.epochs + 1, options, folder))
    finally:
        for trial in (trial for peer in trials.values() for trial in peer):
            trial.command.stop()
    return trials


def _begin(name: str, epochs: int, options: Options, folder: Path) -> Trial:
    if name == "timm":
        assert options.timm is not None, "the peer timm needs --timm"
        command = [sys.executable, str(options.timm / "train.py"), *_timm_options(epochs, options, folder)]
        return Trial(name, epochs, command, {"PYTHONPATH": str(options.timm), "PYTHONUNBUFFERED": "1"})
    given = dataclasses.replace(options, run=name, epochs=epochs)
    values = {"path": given.path, "weights": given.weights, "recipe": given.recipe, "cache": given.cache}
    command = [sys.executable, __file__, *(f"--{key}={value}" for key, value in values.items())]
    command += [f"--run={name}", f"--epochs={epochs}", f"--changes={given.changes}"]
    return Trial(name, epochs, command, {"PYTHONUNBUFFERED": "1"})


def _timm_options(epochs: int, options: Options, folder: Path) -> list[str]:
    """Return the options of timm's train.py: what is not given is its default (random resized crop, flip, jitter)."""
    return [
        f"--data-dir={folder}",
        f"--model=local-dir:{folder / CHECKPOINT}",
        "--pretrained",
        f"--num-classes={CLASSES}",
        f"--epochs={epochs}",
        "--warmup-epochs=0" if epochs == 1 else "--warmup-epochs=1",
        "--cooldown-epochs=0",
        "--sched-on-updates",
        "--opt=adamw",
        "--weight-decay=0.05",
        "--lr=3e-4",
        "--layer-decay=0.75",
        "--batch-size=32",
        "--validation-batch-size=100",
        "--device=cpu",
        "--amp",
        "--amp-dtype=bfloat16",
        "--workers=2",
        "--no-prefetcher",
        f"--output={folder / 'timm'}",
    ]


def _say(trial: Trial, options: Options) -> None:
    if trial.top1 is None or trial.trained is None:
        print(f"{trial.name}, {trial.epochs} epochs: failed\n{trial.command.last_lines()}")
        return
    low, high = wilson_interval(round(trial.top1 * 10_000), 10_000)
    verdict = "reached" if trial.top1 >= options.target else "not reached"
    print(
        f"{trial.name}, {trial.epochs} epochs: top-1 {trial.top1:.2%} ({low:.2%} to {high:.2%}), {verdict};"
        f" trained after {trial.trained:.0f} s, validated after {trial.command.seconds:.0f} s",
        flush=True,
    )


def write_folder(options: Options, folder: Path) -> None:
    """Link the images that are trained on, and the val images, into class folders, as timm's train.py wants them."""
    config = _data_config(options)
    listing, train = LISTINGS[config.source](config), data.load(config)["train"]
    chosen = {"train": train.indices_per_class(PER_CLASS), "val": np.arange(VAL_IMAGES)}
    for split, indices in chosen.items():
        entries = listing.splits[split]
        for index in indices:
            file = options.path.absolute() / entries.names[index]
            target = folder / split / listing.class_ids[entries.labels[index]] / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(file)


def write_checkpoint(options: Options, folder: Path) -> None:
    """Write the folder by which timm's `local-dir:` names a checkpoint; a bare file of weights it takes as JAX's."""
    config = {"input_size": [3, 224, 224], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}
    config |= {"num_classes": 1000, "classifier": "head", "first_conv": "patch_embed.proj", "crop_pct": 0.9}
    (folder / CHECKPOINT).mkdir()
    (folder / CHECKPOINT / "model.safetensors").symlink_to(options.weights.absolute())
    described = {"architecture": "vit_tiny_patch16_224", "num_classes": 1000, "pretrained_cfg": config}
    (folder / CHECKPOINT / "config.json").write_text(json.dumps(described))


def _data_config(options: Options) -> DataConfig:
    return DataConfig(source="tiny-imagenet", path=options.path, cache=options.cache)


def train_plain(options: Options) -> None:
    """Train and validate the loop written by hand, and say so."""
    splits = data.load(_data_config(options))
    train, val = splits["train"].per_class(PER_CLASS), splits["val"]
    plain = PlainLoop(options.weights, CLASSES, choose_dtype("auto", torch.device("cpu")))
    total = options.epochs * (len(train) // BATCH)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(plain.optimizer, total)
    for epoch in range(options.epochs):
        order = np.random.default_rng(epoch).permutation(len(train))
        for start in range(0, len(train) - BATCH + 1, BATCH):
            batch = gather(train, order[start : start + BATCH])
            plain.step(batch.images, batch.labels)
            scheduler.step()
    print(json.dumps({TRAINED: True}))
    correct = 0
    for start in range(0, len(val), EVALUATION_BATCH):
        batch = gather(val, np.arange(start, start + EVALUATION_BATCH))
        correct += int((plain.evaluate(batch.images) == batch.labels).sum())
    print(json.dumps({REACHED: correct / len(val)}))


def train_ours(options: Options) -> None:
    """Train and validate by a recipe, as the command does, and say so."""

    def announced(*args: object, **kwargs: object) -> object:
        print(json.dumps({TRAINED: True}))  # the last of several epochs counts
        result = predict(*args, **kwargs)
        print(json.dumps({REACHED: float(result.predictions.correct(1).mean())}))
        return result

    training_job.predict = announced
    with TemporaryDirectory() as runs:
        values = {"data.path": options.path, "data.cache": options.cache, "data.per-class": PER_CLASS}
        values |= {"model.weights": options.weights, "train.epochs": options.epochs, "output": runs}
        main_of_doublevit(
            [
                "train",
                options.recipe,
                *(f"--{key}={value}" for key, value in values.items()),
                *shlex.split(options.changes),
            ]
        )


def main() -> None:
    """Run the peers in turns and print what each needed, or be the program of one."""
    options = tyro.cli(Options, description=__doc__)
    if options.run == "plain":
        train_plain(options)
    elif options.run == "ours":
        train_ours(options)
    else:
        with TemporaryDirectory() as folder:
            if "timm" in options.peers:
                write_folder(options, Path(folder))
                write_checkpoint(options, Path(folder))
            summarize(race(options, Path(folder)), options)


def summarize(trials: dict[str, list[Trial]], options: Options) -> None:
    """Print the ratio of ours to the better of its peers, among those that have reached the target."""
    seconds = {
        name: trial.trained
        for name, peer in trials.items()
        if (trial := peer[-1]).trained and (trial.top1 or 0) >= options.target
    }
    peers = {name: value for name, value in seconds.items() if name != "ours"}
    if "ours" in seconds and peers:
        best = min(peers, key=lambda name: peers[name])
        print(f"ours needs {seconds['ours'] / peers[best]:.2f} of the time of {best} until {options.target:.1%}")


if __name__ == "__main__":
    main()
