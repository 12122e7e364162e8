"""Training of a recipe, in a run folder."""

from pathlib import Path

from accelerate.utils import broadcast_object_list

from doublevit.augment import describe
from doublevit.data.dataset import Splits
from doublevit.device import this_process
from doublevit.errors import UserError
from doublevit.evaluators.prediction import PredictionResult, predict
from doublevit.files import writable_folder
from doublevit.jobs.load import Trained, load_data_and_model, tell_attention
from doublevit.models.classifier import Classifier
from doublevit.progress import console
from doublevit.recipes import Recipe, from_dict, to_dict
from doublevit.recipes.recipe import with_absolute_paths
from doublevit.runs import checkpoint
from doublevit.runs.folder import RunFolder, require_free
from doublevit.train import loop
from doublevit.train.summary import freeze_table, leak_warning
from doublevit.train.training import prepare


def start(recipe: Recipe, runs: Path, name: str | None) -> Trained:
    """Prepare data and model, make a run folder, and train in it.

    Raises:
        UserError: data or weights cannot be loaded, or do not fit the recipe; no folder is made then.
        Stopped: the user asked for an end during training.
    """
    _check_early(recipe, runs, name)
    recipe = with_absolute_paths(recipe)
    splits, model = load_data_and_model(recipe)
    _check_crop(recipe, splits, model)
    run = _new_run(recipe, runs, name)
    return Trained(run, model, _train(recipe, run, model, splits))


def resume(path: Path) -> Trained:
    """Resume a run from its last checkpoint; a run that is trained to its end is left as it is.

    Raises:
        UserError: there is no run, or its data cannot be loaded.
        Stopped: the user asked for an end during training.
    """
    run = RunFolder.open(path)
    recipe = from_dict(run.recipe())
    splits, model = load_data_and_model(recipe, from_scratch=checkpoint.exists(run.checkpoints))
    _check_crop(recipe, splits, model)
    return Trained(run, model, _train(recipe, run, model, splits))


def _check_early(recipe: Recipe, runs: Path, name: str | None) -> None:
    """Raise the errors that can be found before the data are prepared."""
    state = this_process()
    if recipe.train.batch_size < state.num_processes:
        raise UserError(
            f"`train.batch_size` {recipe.train.batch_size}: expected at least an image for each of the"
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


def _new_run(recipe: Recipe, runs: Path, name: str | None) -> RunFolder:
    """Make the folder in the first process and send its path to the others."""
    state = this_process()
    path = [str(RunFolder.create(to_dict(recipe), runs, name).path) if state.is_main_process else ""]
    return RunFolder(Path(broadcast_object_list(path)[0]))


def _train(recipe: Recipe, run: RunFolder, model: Classifier, splits: Splits) -> PredictionResult | None:
    training = prepare(model, splits, recipe.train, recipe.augment, run, recipe.seed)
    if training.accelerator.is_main_process and recipe.train.epochs:
        console.print(freeze_table(model, recipe.train))
        tell_attention(model)
        console.print(f"augmentation: {describe(recipe.augment)}")
        console.print(leak_warning(model), end="")
    return loop.train(training, predict)
