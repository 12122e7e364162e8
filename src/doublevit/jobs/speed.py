"""Speed, memory and size of a run's network on this machine."""

import contextlib
import dataclasses
import fnmatch
import os
from collections.abc import Iterator
from typing import cast

import numpy as np
import safetensors
import torch

from doublevit import data
from doublevit.augment import AugmentConfig
from doublevit.data.dataset import Dataset
from doublevit.data.identity import DatasetId
from doublevit.device import this_process
from doublevit.errors import UserError
from doublevit.evaluators.evaluator import EvalModel, open_results
from doublevit.evaluators.speed.evaluator import SpeedEvaluator, TrainingWork
from doublevit.jobs.load import make_eval_model, note_command, tell_attention
from doublevit.jobs.options import EvalOptions, SpeedOptions
from doublevit.models.classifier import Classifier, build
from doublevit.progress import console
from doublevit.recipes import Recipe, from_dict
from doublevit.runs import checkpoint
from doublevit.runs.folder import RunFolder
from doublevit.runs.row import Row
from doublevit.training.step import Meter, train_step
from doublevit.training.training import TrainingBatch, prepare, require_trainable


def measure_speed(options: SpeedOptions) -> list[Row]:
    """Measure speed, memory and size of a run's network, with new weights, and add all rows to its results at the end.

    Training is timed as whole steps of the recipe's optimizer on uint8 images, without augmentation and with one view
    each, at the network's own size; sparse attention is as narrow as at the end of training.

    Raises:
        UserError: there is no such run, several processes were started, or a batch does not fit into memory.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        raise UserError(f"doublevit speed: expected one process, found {processes}; start it without torchrun")
    run = RunFolder.open(options.run)
    recipe = from_dict(run.recipe())
    with _memory_errors(options.batch_size):
        model = _model(run, recipe, options)
        evaluator = _evaluator(recipe, options, _image_size(recipe, model), run, model)
        (result,) = evaluator.run(model, None, open_results(run))
    note_command(run)
    return list(result.rows)


def make_speed_evaluator(run: RunFolder, recipe: Recipe, options: SpeedOptions, dataset: Dataset) -> SpeedEvaluator:
    """Make the evaluator of `measure_speed`, for images of the size of `dataset`; only its conditions can be read."""
    height, width = dataset.images.shape[1:3]
    return _evaluator(recipe, options, (height, width), run, None)


def _evaluator(
    recipe: Recipe, options: SpeedOptions, image_size: tuple[int, int], run: RunFolder, model: EvalModel | None
) -> SpeedEvaluator:
    def prepare_training(images: torch.Tensor) -> TrainingWork:
        if model is None:
            raise RuntimeError("an evaluator that was made without the model measures nothing")
        return _training(model, images, recipe, run)

    return SpeedEvaluator(
        device=this_process().device,
        image_size=image_size,
        batch_size=options.batch_size,
        seconds=options.seconds,
        prepare_training=prepare_training if recipe.train.epochs else None,
    )


def _model(run: RunFolder, recipe: Recipe, options: SpeedOptions) -> EvalModel:
    network = _network(run, recipe).to(this_process().device)
    return make_eval_model(run, recipe, network, EvalOptions(precision=options.precision))


def _network(run: RunFolder, recipe: Recipe) -> Classifier:
    """Build the recipe's network for as many classes as the run's weights have, so that no images are needed."""
    torch.manual_seed(recipe.seed)
    network = build(recipe.model, tuple(map(str, range(_count_classes(run)))), load_weights=False)
    tell_attention(network)
    return network


def _count_classes(run: RunFolder) -> int:
    path = run.checkpoints / checkpoint.identify(run.checkpoints, "last").name / checkpoint.WEIGHTS
    try:
        with safetensors.safe_open(path, "pt") as file:
            last = max(fnmatch.filter(file.keys(), "heads.0.*bias"))
            return int(file.get_slice(last).get_shape()[0])
    except (safetensors.SafetensorError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): expected the weights of a run; train it again") from error


def _image_size(recipe: Recipe, model: EvalModel) -> tuple[int, int]:
    """Return height and width of the run's images, or of the network's input if they are not on this machine."""
    try:
        shape = data.load(dataclasses.replace(recipe.data, download=False))["val"].images.shape
        return shape[1], shape[2]
    except UserError:
        side = cast(Classifier, model.network).resize.size
        console.print(f"the run's images are not here: measuring on images of {side} x {side} pixels", highlight=False)
        return side, side


def _training(model: EvalModel, images: torch.Tensor, recipe: Recipe, run: RunFolder) -> TrainingWork:
    """Prepare training steps on one batch of images, which is the whole data set."""
    batch_size, labels = len(images), np.zeros(len(images), dtype=np.int64)
    dataset = Dataset(images.permute(0, 2, 3, 1).cpu().numpy(), labels, ("0",), ("0",), DatasetId("random images"))
    config = dataclasses.replace(
        recipe.train,
        batch_size=batch_size,
        accumulate=min(recipe.train.accumulate, batch_size),
        narrow_epochs=0.0,
        image_size=None,
        finish_epochs=0.0,
        epsilon_epochs=None if recipe.train.adversarial == "none" else 0.0,  # the first step is one of many
        class_weights="none",
        sampling="shuffled",
        precision="bfloat16" if model.dtype == torch.bfloat16 else "float32",
    )
    trainable = require_trainable(cast(Classifier, model.network), dataset, config)
    training = prepare(trainable, {"train": dataset}, config, AugmentConfig("none"), run, recipe.seed)
    targets = torch.zeros(batch_size, dtype=torch.int64, device=images.device)
    batch, meter = TrainingBatch(images[:, None], targets, targets, targets), Meter(images.device)
    return TrainingWork(lambda: train_step(training, batch, 0, meter), training.optimizer)


@contextlib.contextmanager
def _memory_errors(batch_size: int) -> Iterator[None]:
    """Turn torch's errors about memory (a type of its own only on GPUs) into a `UserError`."""
    try:
        yield
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise UserError(f"`batch_size` {batch_size}: expected a batch that fits into memory; choose less") from error
