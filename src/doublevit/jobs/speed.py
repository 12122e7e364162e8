"""What a run's network costs on this machine."""

import contextlib
import dataclasses
import fnmatch
import os
from collections.abc import Iterator

import numpy as np
import safetensors
import torch

from doublevit import checkpoint, data
from doublevit.augment import AugmentConfig
from doublevit.data.dataset import Dataset
from doublevit.errors import UserError
from doublevit.jobs.materials import tell_attention
from doublevit.jobs.opening import note_command, subject_for
from doublevit.jobs.options import Measuring
from doublevit.jobs.speed_options import Speed
from doublevit.models.classifier import Classifier, build
from doublevit.precision import choose
from doublevit.processes import this_process
from doublevit.progress import console
from doublevit.recipes import Recipe, from_dict
from doublevit.results import Row
from doublevit.run_folder import RunFolder
from doublevit.speed.measure import DATASET, Setting, inference_rows, random_photos, size_rows, training_rows
from doublevit.train.batches import Batch
from doublevit.train.meter import Meter
from doublevit.train.step import train_step
from doublevit.train.training import Training, prepare


def measure_speed(options: Speed) -> list[Row]:
    """Speed, memory and size of a run's network, with new weights; all rows are added to its results at the end.

    Training is whole steps of the recipe's optimiser on uint8 photos, one view each whatever the augmentation, which is
    left out; attention is as narrow as at the end of training.

    Raises:
        UserError: there is no such run, several processes were started, or a batch does not fit into memory.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        raise UserError(f"doublevit speed: expected one process, found {processes}; start it without torchrun")
    run = RunFolder.open(options.run)
    recipe = from_dict(run.recipe())
    with _memory_errors(options.batch_size):
        rows = _measure(_setting(run, recipe, options), run, recipe)
    note_command(run)
    run.add_rows(rows)
    return rows


def _measure(setting: Setting, run: RunFolder, recipe: Recipe) -> list[Row]:
    trains = recipe.train.epochs > 0 and any(p.requires_grad for p in setting.model.parameters())
    rows = inference_rows(setting)
    if trains:
        training, batch = _training(setting, run, recipe), _batch(setting)
        meter = Meter(setting.images.device)
        rows += training_rows(setting, lambda: train_step(training, batch, 0, meter), training.optimiser)
    return rows + size_rows(setting, trains=trains)


def _setting(run: RunFolder, recipe: Recipe, options: Speed) -> Setting:
    device = this_process().device
    model = _network(run, recipe).to(device)
    return Setting(
        model=model,
        images=random_photos(options.batch_size, _pixels(recipe, model), device),
        dtype=choose(options.precision or recipe.train.precision, device),
        seconds=options.seconds,
        subject=subject_for(run, recipe, Measuring(precision=options.precision)),
    )


def _network(run: RunFolder, recipe: Recipe) -> Classifier:
    """The recipe's network for as many classes as the run's weights have, so that no photos are needed."""
    config = recipe.model
    if config.head == "pretrained":  # a linear layer too, that asks for the names of the classes
        config = dataclasses.replace(config, head="linear")
    torch.manual_seed(recipe.seed)
    model = build(config, tuple(map(str, range(_count_classes(run)))), load_weights=False)
    tell_attention(model)
    return model


def _count_classes(run: RunFolder) -> int:
    path = run.checkpoints / checkpoint.name_of(run.checkpoints, "last") / checkpoint.WEIGHTS
    try:
        with safetensors.safe_open(path, "pt") as file:
            last = max(fnmatch.filter(file.keys(), "heads.0.*bias"))
            return int(file.get_slice(last).get_shape()[0])
    except (safetensors.SafetensorError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): expected the weights of a run; train it again") from error


def _pixels(recipe: Recipe, model: Classifier) -> tuple[int, int]:
    """Height and width of the run's photos, where they are on this machine, or else of what the network sees."""
    try:
        shape = data.load(dataclasses.replace(recipe.data, download=False))["val"].images.shape
        return shape[1], shape[2]
    except UserError:
        side = model.resize.size
        console.print(f"the run's photos are not here: measuring on photos of {side} x {side} pixels", highlight=False)
        return side, side


def _training(setting: Setting, run: RunFolder, recipe: Recipe) -> Training:
    """What a training step needs; the batch is all that there is to train on."""
    batch_size, labels = len(setting.images), np.zeros(len(setting.images), dtype=np.int64)
    photos = Dataset(setting.images.permute(0, 2, 3, 1).cpu().numpy(), labels, ("0",), ("0",), DATASET)
    config = dataclasses.replace(
        recipe.train,
        batch_size=batch_size,
        accumulate=min(recipe.train.accumulate, batch_size),
        narrow_epochs=0.0,
        precision="bfloat16" if setting.dtype == torch.bfloat16 else "float32",
    )
    return prepare(setting.model, {"train": photos}, config, AugmentConfig("none"), run, recipe.seed)


def _batch(setting: Setting) -> Batch:
    labels = torch.zeros(len(setting.images), dtype=torch.int64, device=setting.images.device)
    return Batch(setting.images[:, None], labels, labels, labels)


@contextlib.contextmanager
def _memory_errors(batch_size: int) -> Iterator[None]:
    """Too little memory in one line; torch has an error of its own for that on GPUs only."""
    try:
        yield
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise UserError(f"--batch-size {batch_size}: expected a batch that fits into memory; choose less") from error
