"""Loading, with which every job begins: data and model of a recipe, or a run with its weights, images and results."""

import dataclasses
import json
import sys
from pathlib import Path

import msgspec
import torch

from doublevit import data
from doublevit.data.dataset import Dataset, Splits
from doublevit.device import choose_dtype, this_process
from doublevit.evaluators.adaptation.adaptation import Adaptation
from doublevit.evaluators.evaluator import EvalModel, open_results
from doublevit.evaluators.prediction import PredictionResult
from doublevit.jobs.options import EvalOptions, Evaluate
from doublevit.models.classifier import Classifier, build, set_top_k
from doublevit.models.top_k import AS_TRAINED, recorded
from doublevit.progress import console, is_main_process
from doublevit.recipes import Recipe, from_dict
from doublevit.runs import checkpoint
from doublevit.runs.conditions import ModelId
from doublevit.runs.folder import RunFolder
from doublevit.runs.results import Results


@dataclasses.dataclass(frozen=True)
class LoadedRun:
    """Holds a run with its weights in `network`, the `model` to evaluate, the images asked for, the results so far."""

    run: RunFolder
    recipe: Recipe
    network: Classifier
    model: EvalModel
    dataset: Dataset
    results: Results


@dataclasses.dataclass(frozen=True)
class Trained:
    """Holds a run that is trained to its end; `validation` is the result of the last epoch, if trained just now."""

    run: RunFolder
    model: Classifier
    validation: PredictionResult | None


def load_data_and_model(recipe: Recipe, *, from_scratch: bool = False) -> tuple[Splits, Classifier]:
    """Load data and model; `from_scratch` fetches no pretrained weights, for a model that a checkpoint will fill."""
    splits = data.load(recipe.data)
    torch.manual_seed(recipe.seed)
    return splits, build(recipe.model, splits["train"].class_ids, load_weights=not from_scratch)


def load_run(path: Path, options: EvalOptions) -> LoadedRun:
    """Load a run from its folder.

    Raises:
        UserError: there is no run, or its model or images cannot be loaded.
    """
    run = RunFolder.open(path)
    recipe = from_dict(run.recipe())
    splits, network = load_data_and_model(recipe, from_scratch=True)
    if options.top_k != AS_TRAINED:
        set_top_k(network, options.top_k, "top_k")
    tell_attention(network)
    dataset = options.subset(splits["val"])
    checkpoint.load_weights(run.checkpoints, options.checkpoint, network)
    model = make_eval_model(run, recipe, network.to(this_process().device), options)
    return LoadedRun(run, recipe, network, model, dataset, open_results(run))


def make_eval_model(run: RunFolder, recipe: Recipe, network: Classifier, options: EvalOptions) -> EvalModel:
    """Make the model to evaluate of a network that has a run's weights, with its identity in rows."""
    return EvalModel(network, model_id_for(run, recipe, options), _dtype(recipe, options), options.batch_size)


def model_id_for(run: RunFolder, recipe: Recipe, options: EvalOptions) -> ModelId:
    """Return the identity, in rows, of a run's weights and how they are used; weights are told apart by a digest."""
    return ModelId(
        model=run.name,
        seed=recipe.seed,
        checkpoint=checkpoint.identify(run.checkpoints, options.checkpoint),
        precision=str(_dtype(recipe, options)).removeprefix("torch."),
        top_k=recorded(recipe.model.top_k if options.top_k == AS_TRAINED else options.top_k),
    )


def adapted(model: EvalModel, options: Evaluate) -> tuple[EvalModel, Adaptation | None]:
    """Return the model as it is evaluated, and the adaptation of its batch norm, if asked for.

    Raises:
        UserError: the network has no batch norm.
    """
    if options.adapt.method == "none":
        return model, None
    adaptation = Adaptation(options.adapt, options.seed)
    identity = adaptation.identify(model.network)
    if is_main_process():
        console.print(f"adapted to each set of images: {identity}")
    return dataclasses.replace(model, id=msgspec.structs.replace(model.id, adapted=identity)), adaptation


def note_command(run: RunFolder) -> None:
    """Note the command that adds results to a run, unless it is the one that made the run."""
    if is_main_process() and _made_by(run) != sys.argv:
        run.note_command()


def tell_attention(network: Classifier) -> None:
    """Print, if attention is sparse, how many keys are used in how many layers."""
    if network.attention is not None and is_main_process():
        console.print(f"sparse attention: {network.attention.describe()}", highlight=False)


def _dtype(recipe: Recipe, options: EvalOptions) -> torch.dtype:
    """Return the dtype of matrix products."""
    return choose_dtype(options.precision or recipe.train.precision, this_process().device)


def _made_by(run: RunFolder) -> object:
    try:
        return json.loads((run.path / "environment.json").read_text())["command"]
    except (OSError, ValueError, KeyError, TypeError):  # missing or damaged
        return None
