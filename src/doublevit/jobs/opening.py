"""A run's weights and photos, ready to be measured."""

import dataclasses
import json
import sys
from pathlib import Path

from doublevit import checkpoint
from doublevit.data.dataset import Dataset
from doublevit.evaluate import Subject
from doublevit.jobs.materials import materials, tell_attention
from doublevit.jobs.options import Evaluate, Measuring
from doublevit.models.classifier import Classifier, set_top_k
from doublevit.models.top_k import AS_TRAINED, alike
from doublevit.precision import choose
from doublevit.processes import this_process
from doublevit.progress import console, is_main_process
from doublevit.recipes import Recipe, from_dict
from doublevit.robustness.bench import CLEAN, Bench, Measurement
from doublevit.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Opened:
    """A run's weights on the bench, and the validation photos that were asked for."""

    bench: Bench
    photos: Dataset
    recipe: Recipe


def open_run(path: Path, options: Measuring) -> Opened:
    """A run from its folder.

    Raises:
        UserError: there is none, or its model or photos cannot be had.
    """
    run = RunFolder.open(path)
    recipe = from_dict(run.recipe())
    splits, model = materials(recipe, from_scratch=True)
    if options.top_k != AS_TRAINED:
        set_top_k(model, options.top_k, "--top-k")
    tell_attention(model)
    photos = options.subset(splits["val"])
    checkpoint.load_weights(run.checkpoints, options.checkpoint, model)
    return Opened(make_bench(run, recipe, model.to(this_process().device), options), photos, recipe)


def note_command(run: RunFolder) -> None:
    """Keep the command that adds results to a run, unless it is the one that made the run."""
    if is_main_process() and _made_by(run) != sys.argv:
        run.note_command()


def _made_by(run: RunFolder) -> object:
    try:
        return json.loads((run.path / "environment.json").read_text())["command"]
    except (OSError, ValueError, KeyError, TypeError):  # missing or damaged
        return None


def adapting(opened: Opened, options: Evaluate) -> Opened:
    """The same, with batch norm adapted to what is measured where that is asked for.

    Raises:
        UserError: the network has no batch norm.
    """
    if options.adapt.method == "none":
        return opened
    bench = opened.bench.adapting(options.adapt, options.seed)
    if is_main_process():
        console.print(f"adapted to each set of photos: {bench.subject.adapted}")
    return dataclasses.replace(opened, bench=bench)


def measured_once(opened: Opened) -> Measurement:
    """Accuracy on the clean photos, measured now if it was not before."""
    return opened.bench.known([(opened.photos, CLEAN)])[0] or opened.bench.measure(opened.photos)


def make_bench(run: RunFolder, recipe: Recipe, model: Classifier, options: Measuring) -> Bench:
    """A model that has a run's weights, with the names that rows will give it."""
    dtype = choose(options.precision or recipe.train.precision, this_process().device)
    return Bench(run, model, subject_for(run, recipe, options), dtype, options.batch_size)


def subject_for(run: RunFolder, recipe: Recipe, options: Measuring) -> Subject:
    """A run's weights and how they are used, as rows name them; weights are told apart by their bytes."""
    which = options.checkpoint
    top_k = alike(recipe.model.top_k if options.top_k == AS_TRAINED else options.top_k)
    weights = f"{which}, {checkpoint.name_of(run.checkpoints, which)}-{checkpoint.digest_of(run.checkpoints, which)}"
    dtype = choose(options.precision or recipe.train.precision, this_process().device)
    return Subject(run.path.resolve().name, recipe.seed, weights, str(dtype).removeprefix("torch."), top_k)
