"""The main job: data, model, training, evaluation, in a run folder."""

import dataclasses
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list

from doublevit import checkpoint, data
from doublevit.augment import describe
from doublevit.data.dataset import Splits
from doublevit.errors import UserError
from doublevit.evaluate import BATCH_SIZE, Measured, Subject, accuracy_rows, predict
from doublevit.files import writable_folder
from doublevit.models.classifier import Classifier, build
from doublevit.precision import choose
from doublevit.processes import this_process
from doublevit.progress import console
from doublevit.recipes import Recipe, from_dict, to_dict
from doublevit.results import Row
from doublevit.run_folder import RunFolder, require_free
from doublevit.summary import freeze_table, leak_warning
from doublevit.train import loop
from doublevit.train.training import prepare


@dataclasses.dataclass(frozen=True)
class Trained:
    """A run that is trained to its end, and what its last validation gave, if that was just now."""

    run: RunFolder
    measured: Measured | None


def start(recipe: Recipe, runs: Path, name: str | None) -> Trained:
    """Prepare data and model, make a run folder, and train in it.

    Raises:
        UserError: something in the recipe cannot be had or does not fit; no folder is made then.
        Stopped: the user asked for an end during training.
    """
    _check_early(recipe, runs, name)
    recipe = _with_absolute_paths(recipe)
    splits, model = _materials(recipe)
    _check_crop(recipe, splits, model)
    run = _new_run(recipe, runs, name)
    return Trained(run, _train(recipe, run, model, splits))


def resume(path: Path) -> Trained:
    """Go on with a run from its last checkpoint; one that is trained to its end is left as it is."""
    run = RunFolder.open(path)
    recipe = from_dict(run.recipe())
    splits, model = _materials(recipe, from_scratch=checkpoint.exists(run.checkpoints))
    _check_crop(recipe, splits, model)
    return Trained(run, _train(recipe, run, model, splits))


def finish(trained: Trained) -> list[Row]:
    """Rows of the last weights; what the last validation has said of them is not computed again."""
    if trained.measured is None:
        return evaluate(trained.run.path)
    recipe = from_dict(trained.run.recipe())
    dtype = choose(recipe.train.precision, this_process().device)
    return _add_rows(trained.run, recipe, trained.measured, "last", dtype)


def evaluate(path: Path, which: str = "last", batch_size: int = BATCH_SIZE, precision: str | None = None) -> list[Row]:
    """Clean accuracy of a run's "last" or "best" weights on its validation photos, added to its results."""
    run = RunFolder.open(path)
    recipe = from_dict(run.recipe())
    splits, model = _materials(recipe, from_scratch=True)
    checkpoint.load_weights(run.checkpoints, which, model)
    device = this_process().device
    dtype = choose(precision or recipe.train.precision, device)
    measured = predict(model.to(device), splits["val"], dtype, batch_size)
    return _add_rows(run, recipe, measured, which, dtype)


def _check_early(recipe: Recipe, runs: Path, name: str | None) -> None:
    """What can be said before the data are prepared is said then."""
    state = this_process()
    if recipe.train.batch_size < state.num_processes:
        raise UserError(
            f"--train.batch-size {recipe.train.batch_size}: expected at least a photo for each of the"
            f" {state.num_processes} processes"
        )
    if state.is_main_process:
        writable_folder(runs, "the folder of all runs")
        if name:
            require_free(runs, name)


def _check_crop(recipe: Recipe, splits: Splits, model: Classifier) -> None:
    side = model.resize.size
    height, width = (side, side) if recipe.augment.place == "input" else splits["train"].images.shape[1:3]
    recipe.augment.check_size(height, width)


def _with_absolute_paths(recipe: Recipe) -> Recipe:
    """So that the run can be resumed and evaluated from any folder."""
    where, model = recipe.data, recipe.model
    where = dataclasses.replace(where, path=where.path and where.path.absolute(), cache=where.cache.absolute())
    weights = [_absolute_weights(entry) for entry in (model.weights, model.coarse_weights)]
    model = dataclasses.replace(model, weights=weights[0] or "hub", coarse_weights=weights[1])
    return dataclasses.replace(recipe, data=where, model=model)


def _absolute_weights(entry: str | None) -> str | None:
    return entry if entry in (None, "hub", "none") else str(Path(str(entry)).expanduser().absolute())


def _add_rows(run: RunFolder, recipe: Recipe, measured: Measured, which: str, dtype: torch.dtype) -> list[Row]:
    name, precision = run.path.resolve().name, str(dtype).removeprefix("torch.")
    weights = checkpoint.name_of(run.checkpoints, which)
    rows = accuracy_rows(measured, Subject(name, recipe.seed, f"{which}, {weights}", precision), {"kind": "clean"})
    if this_process().is_main_process:
        run.add_results(rows, measured.predictions, f"clean-{weights}-{precision}")
    return rows


def _materials(recipe: Recipe, *, from_scratch: bool = False) -> tuple[Splits, Classifier]:
    """Data and model; `from_scratch` where a checkpoint will fill the model, so that no other weights are fetched."""
    splits = data.load(recipe.data)
    torch.manual_seed(recipe.seed)
    config = recipe.model
    return splits, build(config, splits["train"].class_ids, load_weights=not from_scratch)


def _new_run(recipe: Recipe, runs: Path, name: str | None) -> RunFolder:
    """Made by the first process and told to the others."""
    state = this_process()
    path = [str(RunFolder.create(to_dict(recipe), runs, name).path) if state.is_main_process else ""]
    return RunFolder(Path(broadcast_object_list(path)[0]))


def _train(recipe: Recipe, run: RunFolder, model: Classifier, splits: Splits) -> Measured | None:
    training = prepare(model, splits, recipe.train, recipe.augment, run, recipe.seed)
    if training.accelerator.is_main_process and recipe.train.epochs:
        console.print(freeze_table(model, recipe.train))
        console.print(f"augmentation: {describe(recipe.augment)}")
        console.print(leak_warning(model), end="")
    return loop.train(training)
