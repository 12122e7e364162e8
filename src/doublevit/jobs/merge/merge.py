"""Runs merged into one: the mean of their weights, in a run folder like any other.

Of two runs, a start and what was fine-tuned from it, the weights are 1 - alpha and alpha (WiSE-FT, Wortsman et al.
2022, "Robust fine-tuning of zero-shot models"); of more, all the same (a uniform soup, Wortsman et al. 2022, "Model
soups").
"""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from doublevit.device import this_process
from doublevit.errors import UserError
from doublevit.files import writable_folder
from doublevit.geometry import Geometry
from doublevit.jobs.load import LoadedModel, load_model
from doublevit.jobs.merge.mean import WeightMean
from doublevit.jobs.merge.selection import choose_alpha
from doublevit.jobs.options import EvalOptions
from doublevit.recipes import to_dict
from doublevit.recipes.recipe import with_changes
from doublevit.runs import checkpoint
from doublevit.runs.folder import RunFolder, require_free
from doublevit.runs.merged import MergedRun, MergeRecord, write_merge_record
from doublevit.runs.model_info import write_info
from doublevit.runs.training_data import IMAGES, read_training_data, write_training_data
from doublevit.training.optimizer import make_optimizer

GRID = tuple(step / 10 for step in range(11))
SAMPLES = 500
NETWORK = ("backbone", "coarse", "head", "image_size", "cross")
"""Fields of a recipe's model that decide which network it is."""
PREPARATION = ("geometry", "image_size", "interpolation", "normalization", "bits")
"""Fields of model.json that say what becomes of an image before the network sees it."""


@dataclasses.dataclass(frozen=True)
class Merged:
    """Holds the run that was made, and what it was made of."""

    run: RunFolder
    record: MergeRecord


def merge(
    paths: Sequence[Path],
    alphas: Sequence[float] = (),
    runs: Path = Path("runs"),
    name: str | None = None,
    samples: int = SAMPLES,
) -> Merged:
    """Merge the last weights of runs into a new run.

    Args:
        paths: the runs' folders; of two, the start first.
        alphas: of two runs, the weight of the second, 0 to 1. Where several are given, or none (then 0, 0.1 ... 1), the
            one that is best on training images, clean and corrupted, is taken.
        runs: the folder that holds all runs.
        name: of the new run's folder; recipe and time if not given.
        samples: the most training images that alpha is chosen on.

    Raises:
        UserError: there are too few runs, or they differ in network, head, classes or data; no folder is made then.
    """
    _check_options(paths, alphas, samples)
    writable_folder(runs, "the folder of all runs")
    if name:
        require_free(runs, name)
    loaded = [load_model(path, EvalOptions()) for path in paths]
    base = max(reversed(loaded), key=lambda each: (bool(each.recipe.train.epochs), each.recipe.learns))
    for each in loaded:
        _require_same(base, each)
    mean = WeightMean(base, [each.network for each in loaded])
    weights, selection = tuple(1 / len(loaded) for _ in loaded), None
    if len(loaded) == 2 and len(alphas) == 1:
        weights = (1 - alphas[0], alphas[0])
    elif len(loaded) == 2:
        selection = choose_alpha(mean, sorted({*alphas}) or GRID, samples)
        weights = (1 - selection.best.alpha, selection.best.alpha)
    mean.apply(weights)
    sources = tuple(
        MergedRun(run=each.run.name, checkpoint=checkpoint.identify(each.run.checkpoints, "last"), weight=weight)
        for each, weight in zip(loaded, weights, strict=True)
    )
    record = MergeRecord(sources=sources, selection=selection)
    changed = any(data is not None and data.changed for data in map(read_training_data, paths))
    return Merged(_write(base, record, runs, name, changed=changed), record)


def _write(base: LoadedModel, record: MergeRecord, runs: Path, name: str | None, *, changed: bool) -> RunFolder:
    """Write the run's folder: with the recipe of `base`, its images, and the weights that its network has now.

    `changed` tells whether the training of any of the runs went on with other images.
    """
    parts = " + ".join(f"{source.weight:.4g} {source.run}" for source in record.sources)
    recipe = dataclasses.replace(base.recipe, name=f"{base.recipe.name}-merged", note=f"merged: {parts}")
    recipe = with_changes(recipe, {"train.ema": None})  # there are no raw weights beside a mean of several runs
    run = RunFolder.create(to_dict(recipe), runs, name)
    try:
        write_info(run.path, msgspec.structs.replace(base.info, name=run.name))
        if data := read_training_data(base.run.path):
            write_training_data(run.path, msgspec.structs.replace(data, changed=changed))
        if (base.run.path / IMAGES).is_file():
            shutil.copyfile(base.run.path / IMAGES, run.path / IMAGES)
        write_merge_record(run.path, record)
        done = checkpoint.Progress(epoch=recipe.train.epochs)
        state = checkpoint.TrainingState(make_optimizer(base.network, recipe.train))
        checkpoint.save(run.checkpoints, base.network, state, done, best=False, metadata=run.metadata())
    except BaseException:
        shutil.rmtree(run.path)
        raise
    return run


def _check_options(paths: Sequence[Path], alphas: Sequence[float], samples: int) -> None:
    if len(paths) < 2:
        raise UserError(
            f"expected two runs or more to merge, found {len(paths)}: a start and what was fine-tuned from it"
        )
    if len({path.resolve() for path in paths}) < len(paths):
        raise UserError(f"expected different runs to merge, found {' '.join(map(str, paths))}")
    if alphas and len(paths) > 2:
        raise UserError(
            f"`alpha` is between two runs: expected 2 of them, found {len(paths)}, whose plain mean is taken"
        )
    for alpha in alphas:
        if not 0 <= alpha <= 1:
            raise UserError(f"`alpha`: expected 0 (the first run) to 1 (the second), found {alpha:g}")
    if samples < 1:
        raise UserError(f"`samples`: expected at least 1, found {samples}")
    if this_process().num_processes > 1:
        raise UserError("merging takes a single process: start it without torchrun")


def _require_same(base: LoadedModel, other: LoadedModel) -> None:
    """Raise `UserError` unless two runs have the same network, head, classes, preparation of images, and images."""
    model, other_model, info, other_info = base.recipe.model, other.recipe.model, base.info, other.info
    pairs = {f"`model.{name}`": (getattr(model, name), getattr(other_model, name)) for name in NETWORK}
    pairs["classes"] = (info.class_ids, other_info.class_ids)
    pairs |= {f"{name} of images": (getattr(info, name), getattr(other_info, name)) for name in PREPARATION}
    pairs["validation images"] = (_split(base, "val"), _split(other, "val"))
    if other.recipe.learns:
        pairs["training images"] = (_split(base, "train"), _split(other, "train"))
    for name, (expected, found) in pairs.items():
        if expected != found:
            difference = "" if name == "classes" else f" ({differing(expected, found)})"
            raise UserError(
                f"{base.run.path} and {other.run.path} differ in {name}{difference}: only runs of the same network,"
                " classes and data can be merged"
            )


def differing(value: object, other: object) -> str:
    """Describe two values, of a geometry only the fields that differ."""
    if not isinstance(value, Geometry) or not isinstance(other, Geometry):
        return f"{value} and {other}"
    return ", ".join(
        f"{name} {getattr(value, name)} and {getattr(other, name)}"
        for name in Geometry.__struct_fields__
        if getattr(value, name) != getattr(other, name)
    )


def _split(loaded: LoadedModel, name: str) -> str:
    """Return what tells a split's images from others."""
    data = read_training_data(loaded.run.path)
    split = data.splits.get(name) if data else None
    return f"{split.count:,} of checksum {split.checksum}" if split else "none"
