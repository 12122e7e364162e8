"""Any model measured on any images, whoever trained it; its rows go to a run folder."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch

from doublevit import data
from doublevit.attacks.checks import Finding
from doublevit.attacks.gradients import has_gradients, require_gradients
from doublevit.data.dataset import Dataset
from doublevit.data.names import split_of
from doublevit.device import choose_dtype, this_process
from doublevit.errors import UserError
from doublevit.evaluators.evaluator import open_results
from doublevit.jobs.ensemble import member_names, shared_images
from doublevit.jobs.eval_data import load_for
from doublevit.jobs.evaluate import Evaluated, evaluate, run_evaluators
from doublevit.jobs.fit import fit
from doublevit.jobs.model import Model
from doublevit.jobs.normalization import normalization_findings
from doublevit.jobs.onnx.network import OnnxClassifier
from doublevit.jobs.open_model import open_model, require_model
from doublevit.jobs.options import Evaluate, EvaluateModel
from doublevit.jobs.shared import made_by_first
from doublevit.models.classifier import Classifier, set_top_k
from doublevit.models.config import ELSEWHERE, ModelConfig
from doublevit.models.top_k import AS_TRAINED, recorded
from doublevit.progress import console
from doublevit.recipes import Recipe, from_dict, to_dict
from doublevit.runs.folder import RunFolder
from doublevit.runs.model_info import FILE, ModelInfo, read_info, write_info
from doublevit.runs.training_data import count_trained_on, read_training_data
from doublevit.training.config import TrainConfig


def evaluate_model(options: EvaluateModel, classes: tuple[str, ...] = ()) -> Evaluated:
    """Measure what `options` name: a run on its own images, or any model on any images.

    Args:
        options: they name one set of images at most.
        classes: only images of these; of all, if none is given.

    Raises:
        UserError: there is no such model, its images cannot be had, or options do not fit.
    """
    this_process()  # joins the others before any work, which may take some longer
    own = None if classes else own_data(options)
    if own is not None:
        return evaluate(own)
    require_model(options.run)
    is_run = (options.run / "recipe.json").is_file()
    recipe = from_dict(RunFolder(options.run).recipe()) if is_run else None
    members = [] if options.data else member_names(options.run)
    images = options.data[0] if options.data else _own_place(recipe)
    if not images and not members:
        raise UserError(f"{options.run} has no images of its own: expected `data`, the images to measure on")
    if recipe is not None:
        options = dataclasses.replace(options, precision=options.precision or recipe.train.precision)
    model = open_model(options.run, weights=options.weights, model=options.model, which=options.checkpoint)
    if members:
        dataset = shared_images(members)
    else:
        dataset = load_for(model, images, options.split, options=_data_config(options, recipe), classes=classes)
    name = options.name or _folder_name(model, images, options.split)
    return judge(
        model,
        dataset,
        options,
        lambda: made_by_first(lambda: external_run(model, dataset, options.runs, name, recipe)),
    )


def own_data(options: EvaluateModel) -> EvaluateModel | None:
    """Return the options of a run on its own images, which may lie elsewhere now; None for other models or images."""
    if not (options.run / "recipe.json").is_file():
        return None
    run = RunFolder(options.run)
    is_own = not options.data or _is_own(Path(options.data[0]), run)
    if is_own and split_of(options.split or "val") == "val":
        return options  # whatever became of the images: `own_images` looks at that
    if options.split or not options.data:
        return None
    moved = data.absolute(Path(options.data[0]))
    return dataclasses.replace(options, moved_data=moved) if _are_own(moved, run) else None


def _own_place(recipe: Recipe | None) -> str:
    """Return where a run's own data set is, "" if nobody knows."""
    if recipe is None:
        return ""
    return "digits" if recipe.data.source == "digits" else str(recipe.data.path or "")


def _data_config(options: EvaluateModel, recipe: Recipe | None) -> data.DataConfig:
    """Return how images are read: as a run's own were, but with the column of labels that is asked for."""
    config = dataclasses.replace(recipe.data, names="usual") if recipe else data.DataConfig()
    return dataclasses.replace(config, label_column=options.label_column or config.label_column)


def _are_own(path: Path, run: RunFolder) -> bool:
    """Whether a run's own images lie in another folder now, by their checksums."""
    config, record = from_dict(run.recipe()).data, read_training_data(run.path)
    if record is None or config.path is None:
        return False
    try:
        return not record.differences(data.load(dataclasses.replace(config, path=path, download=False)))
    except (UserError, OSError):
        return False


def _is_own(path: Path, run: RunFolder) -> bool:
    own = from_dict(run.recipe()).data.path
    return own is not None and data.absolute(own).resolve() == data.absolute(path).resolve()


def judge(
    model: Model, dataset: Dataset, options: Evaluate, make_run: Callable[[], RunFolder], cache: Path | None = None
) -> Evaluated:
    """Measure a model on a data set as `options` ask for; a run's folder is made once nothing speaks against it.

    `cache` is where decoded images lie, the usual place if None.

    Raises:
        UserError: the model does not know the data set's classes, or something that is asked for does not fit.
    """
    if options.top_k != AS_TRAINED:
        if not isinstance(model.network, Classifier):
            raise UserError("`top_k`: expected a model that doublevit built; others keep their attention")
        set_top_k(model.network, options.top_k, "top_k")
        model.top_k = recorded(options.top_k)
    require_gradients(model, options.attack.names)
    exported = next((part for part in model.modules() if isinstance(part, OnnxClassifier)), None)
    if exported and options.precision not in (None, exported.precision):
        raise UserError(f"`precision` {options.precision}: the ONNX file was exported with {exported.precision}")
    fitted, images = fit(model, dataset)
    images = options.subset(images)
    device = this_process().device if has_gradients(model) else torch.device("cpu")  # where onnxruntime computes
    fitted.to(device)
    findings = [*normalization_findings(fitted, images), *_trained_on(model, images)]
    for finding in findings:
        console.print(f"warning: {finding}", markup=False, highlight=False, soft_wrap=True)
    if findings and options.strict:
        raise UserError(f"`strict`: {findings[0]}")
    dtype = choose_dtype("float32" if exported else options.precision or "float32", device)
    evaluated = fitted.to_evaluate(dtype, options.batch_size)
    if exported:
        identity = msgspec.structs.replace(evaluated.id, precision=exported.precision)
        evaluated = dataclasses.replace(evaluated, id=identity)
    run = make_run()
    result = run_evaluators(options, evaluated, images, run, open_results(run), cache or data.DataConfig().cache)
    return dataclasses.replace(result, findings=[*findings, *result.findings], class_ids=images.class_ids)


def _trained_on(model: Model, images: Dataset) -> list[Finding]:
    """Return the finding that images were trained on, by their pixels; none of a model whose training is not known."""
    count = max((count_trained_on(run, images) for run in model.runs), default=0)
    if not count:
        return []
    text = f"{count:,} of the {len(images):,} images were trained on, so that accuracy is too good: give others"
    return [Finding("trained-on", text)]


def external_run(
    model: Model, dataset: Dataset, runs: Path, name: str | None = None, recipe: Recipe | None = None
) -> RunFolder:
    """Make a run folder for a model that was not trained in one, or go on with that of the same model.

    `recipe` is that of a run which is measured on other images than its own.

    Raises:
        UserError: the folder exists and is another model's.
    """
    info, path = model.info, runs / (name or "")
    if name and (path / FILE).is_file() and (path / "recipe.json").is_file():
        if _without_version(read_info(path)) != _without_version(info):
            raise UserError(f"{path} is of another model; choose another `name`")
        return RunFolder(path)
    recipe = recipe or Recipe(
        info.name,
        f"{info.name} on {dataset.id.source}",
        model=dataclasses.replace(info.model or ModelConfig(info.name), weights=ELSEWHERE, coarse_weights=None),
        train=TrainConfig(epochs=0),
    )
    run = RunFolder.create(to_dict(recipe), runs, name)
    write_info(run.path, info)
    return run


def _without_version(info: ModelInfo) -> ModelInfo:
    return msgspec.structs.replace(info, doublevit="")


def _folder_name(model: Model, images: str, split: str) -> str:
    """Return a plain name of model and images: vit_tiny-on-photos-val, or first+second on images of their own."""
    place = ["on", *Path(images).parts[-2:]] if images else []
    return plain_name("-".join([model.info.name, *place, *filter(None, [split])]))


def plain_name(text: str) -> str:
    """Return a text as the name of a folder: letters, digits, dots, underscores, plus and minus."""
    return re.sub(r"[^\w.+]+", "-", text, flags=re.ASCII).strip("-.") or "model"
