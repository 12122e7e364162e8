"""Loading, with which every job begins: data and model of a recipe, or a run with its weights, images and results."""

import dataclasses
import json
import sys
from pathlib import Path

import msgspec
import numpy as np
import torch

from doublevit import data
from doublevit.corrupted_sets.layout import describe_images
from doublevit.data.dataset import Dataset, Splits
from doublevit.device import choose_dtype, this_process
from doublevit.errors import UserError
from doublevit.evaluators.adaptation.adaptation import Adaptation
from doublevit.evaluators.evaluator import EvalModel, open_results
from doublevit.evaluators.prediction import PredictionResult
from doublevit.jobs.fit import with_classes_of
from doublevit.jobs.options import EvalOptions, Evaluate
from doublevit.models.classifier import Classifier, build, set_top_k
from doublevit.models.config import ELSEWHERE
from doublevit.models.top_k import AS_TRAINED, recorded
from doublevit.progress import console, is_main_process
from doublevit.recipes import Recipe, from_dict
from doublevit.recipes.recipe import with_data_at
from doublevit.runs import checkpoint
from doublevit.runs.conditions import ModelId
from doublevit.runs.folder import RunFolder
from doublevit.runs.model_info import ModelInfo, read_info, require_same_info
from doublevit.runs.results import Results
from doublevit.runs.training_data import count_trained_on, read_training_data


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """Holds a run with its weights in `network`, and the `model` to evaluate; no images are needed for it."""

    run: RunFolder
    recipe: Recipe
    info: ModelInfo
    network: Classifier
    model: EvalModel


@dataclasses.dataclass(frozen=True)
class LoadedRun(LoadedModel):
    """Holds the images asked for and the results so far too."""

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
    splits = data.load(recipe.data, quiet=False)
    torch.manual_seed(recipe.seed)
    size = recipe.train.image_size
    return splits, build(recipe.model, splits["train"].class_ids, load_weights=not from_scratch, training_size=size)


def load_model(path: Path, options: EvalOptions) -> LoadedModel:
    """Load a run's model from its folder alone.

    Raises:
        UserError: there is no run, or it is damaged or of another version.
    """
    run = RunFolder.open(path)
    recipe, info = from_dict(run.recipe()), read_info(path)
    if recipe.model.weights == ELSEWHERE:
        raise UserError(f"{path} holds what was measured of {info.name}, not its weights; name that model instead")
    network = build(recipe.model, info.class_ids, load_weights=False)
    if options.top_k != AS_TRAINED:
        set_top_k(network, options.top_k, "top_k")
    tell_attention(network)
    load_weights(run, options.checkpoint, network, info)
    model = make_eval_model(run, recipe, network.to(this_process().device), options)
    return LoadedModel(run, recipe, info, network, model)


def load_weights(run: RunFolder, which: str, network: Classifier, info: ModelInfo) -> None:
    """Load a run's "last" or "best" weights into `network`, if they are those of the model that `info` describes.

    Raises:
        UserError: there are none, they do not fit, or they are another model's.
    """
    require_same_info(checkpoint.weights_file(run.checkpoints, which), info)
    checkpoint.load_weights(run.checkpoints, which, network)


def load_run(path: Path, options: EvalOptions) -> LoadedRun:
    """Load a run with its own validation images.

    Raises:
        UserError: there is no run, its images cannot be loaded, or they are of other classes now.
    """
    loaded = load_model(path, options)
    recipe = loaded.recipe
    if options.moved_data is not None:
        recipe = with_data_at(recipe, options.moved_data)
    images = own_images(loaded.run, recipe, loaded.info)
    parts = {field.name: getattr(loaded, field.name) for field in dataclasses.fields(loaded)}
    return LoadedRun(**parts, dataset=options.subset(images), results=open_results(loaded.run))


def own_images(run: RunFolder, recipe: Recipe, info: ModelInfo) -> Dataset:
    """Load a run's validation images, with the classes in the order of the model's logits.

    Raises:
        UserError: they cannot be loaded, are of a class that the model does not know, or may have been trained on.
    """
    splits = data.load(recipe.data)
    validation, recorded_data = splits["val"], read_training_data(run.path)
    dataset = with_classes_of(info, validation)
    changes = recorded_data.differences(splits) if recorded_data else {}
    if "val" in changes and recipe.data.split == "count" and "train" in changes:
        raise UserError(
            f"{validation.id.source} has changed since {run.name} was trained ({changes['val']}), and which images are"
            " for validation was drawn by count: some may have been trained on; give other images with `data`"
        )
    trained_on = count_trained_on(run.path, dataset) if "val" in changes else 0
    if trained_on:
        raise UserError(
            f"{trained_on} of the {len(dataset):,} validation images in {validation.id.source} were trained on: files"
            " were renamed or moved since; give other images with `data`"
        )
    if "val" in changes and is_main_process():
        console.print(f"the validation images have changed since the training: {changes['val']}", highlight=False)
    return dataset


def require_same_images(first: RunFolder, dataset: Dataset, other: RunFolder, other_dataset: Dataset) -> None:
    """Raise `UserError` unless the validation images of two runs are the same, with the same classes."""
    same_kind = dataset.class_ids == other_dataset.class_ids and dataset.images.shape == other_dataset.images.shape
    if not same_kind or not np.array_equal(describe_images(dataset), describe_images(other_dataset)):
        raise UserError(
            f"{first.path} and {other.path} are not on the same images"
            f" ({dataset.id}; {other_dataset.id}): images of one mean nothing to the other"
        )


def make_eval_model(run: RunFolder, recipe: Recipe, network: Classifier, options: EvalOptions) -> EvalModel:
    """Make the model to evaluate of a network that has a run's weights, with its identity in rows."""
    return EvalModel(network, model_id_for(run, recipe, options), _dtype(recipe, options), options.batch_size)


def model_id_for(run: RunFolder, recipe: Recipe, options: EvalOptions) -> ModelId:
    """Return the identity, in rows, of a run's weights and how they are used; weights are told apart by a digest."""
    weights, trained_on = checkpoint.identify(run.checkpoints, options.checkpoint), read_training_data(run.path)
    if trained_on and trained_on.changed:
        weights = msgspec.structs.replace(weights, changed_data=True)
    return ModelId(
        model=run.name,
        seed=recipe.seed,
        checkpoint=weights,
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
