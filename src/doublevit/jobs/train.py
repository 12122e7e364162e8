"""Training of a recipe, in a run folder."""

import dataclasses
import time
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list

from doublevit import data
from doublevit.augment import describe
from doublevit.data.dataset import Splits
from doublevit.data.squares import geometry_of
from doublevit.device import choose_dtype, this_process
from doublevit.errors import UserError
from doublevit.evaluators.prediction import PredictionResult, predict
from doublevit.files import writable_folder
from doublevit.geometry import Geometry
from doublevit.jobs.geometry import scaling_warning, with_geometry
from doublevit.jobs.load import Trained, load_data_and_model, tell_attention
from doublevit.jobs.shared import made_by_first
from doublevit.jobs.trackers import Trackers, require_known, tracked
from doublevit.jobs.val_sets import ValSetsOf, load_val_sets
from doublevit.models.classifier import Classifier
from doublevit.progress import console
from doublevit.recipes import Recipe, from_dict, to_dict
from doublevit.recipes.recipe import with_absolute_paths, with_changes, with_data_at
from doublevit.runs import checkpoint
from doublevit.runs.folder import RunFolder, require_free
from doublevit.runs.model_info import ModelInfo, Normalization, read_info, write_info
from doublevit.runs.training_data import (
    TrainingData,
    count_trained_on,
    read_training_data,
    record_data,
    write_trained_images,
    write_training_data,
)
from doublevit.training import loop
from doublevit.training.class_weights import describe as describe_weights
from doublevit.training.probe import fit_heads, require_images
from doublevit.training.summary import describe_batch, describe_image_size, describe_step, freeze_table, leak_warning
from doublevit.training.training import Trainable, prepare, require_trainable


def start(recipe: Recipe, runs: Path, name: str | None, log: Trackers = ()) -> Trained:
    """Prepare data and model, make a run folder, and train in it; `log` names the trackers that it is logged to.

    Raises:
        UserError: data or weights cannot be loaded, or do not fit the recipe; no folder is made then.
        Stopped: the user asked for an end during training.
    """
    require_known(log)
    _check_early(recipe, runs, name)
    recipe = with_geometry(with_absolute_paths(recipe))
    splits, model = load_data_and_model(recipe)
    _check_crop(recipe, splits, model)
    trainable = require_trainable(model, splits["train"], recipe.train)
    if recipe.model.head_init == "probe":
        require_images(splits["train"])
    warning = scaling_warning(recipe, model.resize.size)
    if warning and this_process().is_main_process:
        console.print(warning, markup=False, highlight=False, soft_wrap=True)
    val_sets = load_val_sets(recipe, _describe_model(recipe, splits, model, name or recipe.name), model)
    run = made_by_first(lambda: RunFolder.create(to_dict(recipe), runs, name))
    if this_process().is_main_process:
        describe_run(run, recipe, splits, model)
    return Trained(run, model, _train(recipe, run, trainable, splits, val_sets, log))


def resume(
    path: Path, *, data_path: Path | None = None, accept_changed_data: bool = False, log: Trackers | None = None
) -> Trained:
    """Resume a run from its last checkpoint; a run that is trained to its end is left as it is.

    Args:
        path: the run's folder.
        data_path: where its images lie now, if elsewhere.
        accept_changed_data: go on although the training images are others now; every row will say so.
        log: the trackers that it is logged to from here on; None: those that it has.

    Raises:
        UserError: there is no run, its data cannot be loaded, or they are others than it was begun with.
        Stopped: the user asked for an end during training.
    """
    require_known(log or ())
    run = RunFolder.open(path)
    recipe = from_dict(run.recipe())
    recipe = with_data_at(recipe, data_path) if data_path else recipe
    recipe = _with_store(recipe, read_training_data(run.path))
    _require_images_for_all(recipe)
    splits, model = load_data_and_model(recipe, from_scratch=checkpoint.exists(run.checkpoints))
    _check_same_data(run, splits, accept=accept_changed_data)
    _check_crop(recipe, splits, model)
    trainable = require_trainable(model, splits["train"], recipe.train)
    val_sets = load_val_sets(recipe, _describe_model(recipe, splits, model, run.name), model)
    return Trained(run, model, _train(recipe, run, trainable, splits, val_sets, log))


def _with_store(recipe: Recipe, record: TrainingData | None) -> Recipe:
    """Return the recipe with the kind of store that its run began with, on which the last bits of weights depend."""
    if record is None or record.store is None or recipe.data.store != "auto":
        return recipe
    return with_changes(recipe, {"data.store": record.store})


def describe_run(run: RunFolder, recipe: Recipe, splits: Splits, model: Classifier) -> None:
    """Write model.json and data.json: what it takes to use the model elsewhere, and to notice other images."""
    write_info(run.path, _describe_model(recipe, splits, model, run.name))
    write_training_data(run.path, record_data(splits))
    if recipe.learns and recipe.data.source in data.READERS:
        write_trained_images(run.path, splits["train"], recipe.data.margin or 0)


def _describe_model(recipe: Recipe, splits: Splits, model: Classifier, name: str) -> ModelInfo:
    train = splits["train"]
    normalization = {
        name: Normalization(_numbers(layer.mean), _numbers(layer.std))
        for name, layer in model.backbone.normalizations().items()
    }
    return ModelInfo(
        name=name,
        class_ids=train.class_ids,
        class_names=train.class_names,
        geometry=_geometry(recipe, splits),
        image_size=model.resize.size,
        interpolation=model.resize.mode,
        normalization=normalization,
        bits=recipe.data.bits,
        model=dataclasses.replace(recipe.model, weights="none", coarse_weights=None),
        seed=recipe.seed,
    )


def upgrade(path: Path, data_path: Path | None = None) -> None:
    """Add model.json and data.json to a run that an older version made, from its images as they are now.

    Raises:
        UserError: there is no run, its images cannot be loaded, or they have another number of classes than it.
    """
    run = RunFolder.open(path)
    recipe = from_dict(run.recipe())
    recipe = with_data_at(recipe, data_path) if data_path else recipe
    splits, model = load_data_and_model(recipe, from_scratch=True)
    checkpoint.load_weights(run.checkpoints, "last", model)
    describe_run(run, recipe, splits, model)


def _geometry(recipe: Recipe, splits: Splits) -> Geometry:
    if recipe.data.source in data.READERS:
        return geometry_of(recipe.data)
    return Geometry(side=splits["val"].images.shape[1])


def _numbers(values: torch.Tensor) -> tuple[float, ...]:
    return tuple(round(value, 6) for value in values.flatten().tolist())


def _check_same_data(run: RunFolder, splits: Splits, *, accept: bool) -> None:
    """Refuse to go on with other classes, or with other training images, unless these are accepted."""
    record, train = read_training_data(run.path), splits["train"]
    if record is None:
        return
    class_ids = read_info(run.path).class_ids
    if train.class_ids != class_ids:
        changed = sorted(set(train.class_ids) ^ set(class_ids))
        raise UserError(
            f"{train.id.source} has other classes than {run.name} was begun with"
            f" ({', '.join(changed[:5])} in one only); give it these again, or start a new run"
        )
    change = record.differences(splits).get("train")
    if change is None:
        return
    if not accept:
        raise UserError(
            f"the training images of {run.name} have changed ({change}); bring them back, start a new run, or go on"
            " with them as they are by `accept_changed_data=True`"
        )
    if this_process().is_main_process:
        write_training_data(run.path, record_data(splits, changed=True))


def _check_early(recipe: Recipe, runs: Path, name: str | None) -> None:
    """Raise the errors that can be found before the data are prepared."""
    _require_images_for_all(recipe)
    if this_process().is_main_process:
        writable_folder(runs, "the folder of all runs")
        if name:
            require_free(runs, name)


def _require_images_for_all(recipe: Recipe) -> None:
    processes = this_process().num_processes
    if recipe.train.batch_size < processes:
        raise UserError(
            f"`train.batch_size` {recipe.train.batch_size}: expected at least an image for each of the {processes}"
            " processes"
        )


def _check_crop(recipe: Recipe, splits: Splits, model: Classifier) -> None:
    side = model.resize.size
    height, width = (side, side) if recipe.augment.place == "input" else splits["train"].images.shape[1:3]
    recipe.augment.check_size(height, width)


def _train(
    recipe: Recipe, run: RunFolder, trainable: Trainable, splits: Splits, val_sets: ValSetsOf, log: Trackers | None
) -> PredictionResult | None:
    if recipe.model.head_init == "probe" and not broadcast_object_list([checkpoint.exists(run.checkpoints)])[0]:
        _start_from_probe(recipe, run, trainable.model, splits)
    training = prepare(trainable, splits, recipe.train, recipe.augment, run, recipe.seed)
    device = training.accelerator.device
    fitted = tuple(each.to(device) for each in val_sets(training.evaluated))
    training = dataclasses.replace(training, val_sets=fitted)
    if training.accelerator.is_main_process and recipe.train.epochs:
        console.print(freeze_table(training.model, training.optimizer))
        tell_attention(training.model)
        console.print(f"augmentation: {describe(recipe.augment)}")
        console.print(leak_warning(training.model), end="")
        console.print(describe_image_size(training.model, recipe.train), end="", highlight=False)
        step = describe_step(recipe.train, recipe.data.per_class, len(splits["train"]))
        console.print(step, end="", highlight=False)
        console.print(describe_batch(recipe.train.batch_size, training.accelerator.num_processes), end="")
        console.print(describe_weights(training.class_weights, recipe.train.class_weights), end="", highlight=False)
        for each in training.val_sets:
            if count := count_trained_on(run.path, each.dataset):
                line = f"warning: {count:,} of the {len(each.dataset):,} images of {each.name} are trained on"
                console.print(line, highlight=False, markup=False)
    with tracked(training, recipe, log):
        return loop.train(training, predict)


def _start_from_probe(recipe: Recipe, run: RunFolder, model: Classifier, splits: Splits) -> None:
    """Fit the heads, and write to the run's log how; the first checkpoint will hold them."""
    device, start = this_process().device, time.perf_counter()
    model.to(device)
    train = splits["train"].without_margin(recipe.data.margin or 0)  # as images are validated
    count, probes = len(train), fit_heads(model, train, choose_dtype(recipe.train.precision, device), recipe.seed)
    if not this_process().is_main_process:
        return
    seconds = time.perf_counter() - start
    run.cut_log(-1)  # what a fit wrote that no checkpoint followed
    run.log({"step": 0, "probe": [each.facts() for each in probes], "probe_seconds": seconds, "time": time.time()})
    for each in probes:
        console.print(
            f"head fitted to {count:,} images in {seconds:.0f} s: L2 {each.l2:.1g}, top-1 {each.held_out_top1:.1%} on"
            f" {each.held_out:,} held-out training images",
            highlight=False,
        )
