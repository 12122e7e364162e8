"""The main job: data, model, training, evaluation, in a run folder."""

from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list

from doublevit import checkpoint, data
from doublevit.data.dataset import Splits
from doublevit.evaluate import BATCH_SIZE, Subject, evaluate_clean
from doublevit.models.classifier import Classifier, build
from doublevit.precision import choose
from doublevit.processes import this_process
from doublevit.progress import console
from doublevit.recipes import Recipe, from_dict, to_dict
from doublevit.results import Row, RunFolder, require_free
from doublevit.summary import freeze_table, leak_warning
from doublevit.train import loop


def start(recipe: Recipe, runs: Path, name: str | None) -> RunFolder:
    """Prepare data and model, make a run folder, and train in it.

    Raises:
        UserError: something in the recipe cannot be had or does not fit; no folder is made then.
        Stopped: the user asked for an end during training.
    """
    if name and this_process().is_main_process:
        require_free(runs, name)  # said before the data are prepared, not after
    splits, model = _materials(recipe)
    run = _new_run(recipe, runs, name)
    _train(recipe, run, model, splits)
    return run


def resume(path: Path) -> RunFolder:
    """Go on with a run from its last checkpoint; one that is trained to its end is left as it is."""
    run = RunFolder.open(path)
    recipe = from_dict(run.recipe())
    splits, model = _materials(recipe, from_scratch=checkpoint.exists(run.checkpoints))
    _train(recipe, run, model, splits)
    return run


def evaluate(path: Path, which: str = "last", batch_size: int = BATCH_SIZE, precision: str | None = None) -> list[Row]:
    """Clean accuracy of a run's "last" or "best" weights on its validation photos, added to its results."""
    run = RunFolder.open(path)
    recipe = from_dict(run.recipe())
    splits, model = _materials(recipe, from_scratch=True)
    checkpoint.load_weights(run.checkpoints, which, model)
    state = this_process()
    dtype = choose(precision or recipe.train.precision, state.device)
    subject = Subject(
        model=run.path.resolve().name,
        dataset=splits["val"].source,
        seed=recipe.seed,
        checkpoint=which,
        precision=str(dtype).removeprefix("torch."),
    )
    rows, predictions = evaluate_clean(model.to(state.device), splits["val"], subject, dtype, batch_size)
    if state.is_main_process:
        run.add_results(rows, predictions, f"clean-{which}")
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


def _train(recipe: Recipe, run: RunFolder, model: Classifier, splits: Splits) -> None:
    training = loop.prepare(model, splits, recipe.train, recipe.augment, run, recipe.seed)
    if training.accelerator.is_main_process:
        console.print(freeze_table(model, recipe.train))
        console.print(leak_warning(model), end="")
    loop.train(training)
