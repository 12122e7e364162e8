"""What a network's work costs, timed here and now on a little of it, whatever its weights."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import torch

from doublevit.attacks.victim import Victim, cross_entropy, frozen
from doublevit.corruptions.lazy import CorruptedImages
from doublevit.corruptions.textures import find
from doublevit.data.batches import Batch, gather
from doublevit.data.dataset import Dataset, Splits
from doublevit.models.classifier import Classifier, build, set_top_k
from doublevit.models.top_k import AS_TRAINED
from doublevit.precision import autocast
from doublevit.processes import this_process
from doublevit.recipes import Recipe
from doublevit.run_folder import RunFolder
from doublevit.train.batches import epoch_batches
from doublevit.train.meter import Meter
from doublevit.train.step import train_step
from doublevit.train.training import Training, prepare

LONG = 0.3  # seconds, after which nothing more is timed
VERY_LONG = 3.0  # seconds, after which not even the first call, which also sets things up, is made once more
FEW, MANY = 8, 100  # photos
TYPICAL = 3  # severity


@dataclasses.dataclass(frozen=True)
class Cost:
    """Seconds: to open the network; of a training step with its augmentation; and what one photo takes.

    That is: to recognise it, by sparse attention; to take its gradient; to make it, by corruption.
    """

    opening: float
    step: float
    gradient: float
    recognise: Mapping[str, float]
    corrupt: Mapping[str, float]


def time_network(recipe: Recipe, splits: Splits, top_ks: Iterable[str], corrupt: Mapping[str, float]) -> Cost:
    """The costs of a recipe's network with new weights; `corrupt` is taken over.

    Raises:
        UserError: the network cannot be made.
    """
    start = time.perf_counter()
    torch.manual_seed(recipe.seed)
    model = build(recipe.model, splits["train"].class_ids, load_weights=False)
    opening = time.perf_counter() - start
    training = prepare(model, splits, recipe.train, recipe.augment, RunFolder(Path()), recipe.seed)
    step = _time_step(training) if recipe.train.epochs else 0.0
    model.eval()
    recognise = {}
    for top_k in (AS_TRAINED, *top_ks):
        set_top_k(model, recipe.model.top_k if top_k == AS_TRAINED else top_k)
        recognise[top_k] = _time_recognising(training)
    set_top_k(model, recipe.model.top_k)
    return Cost(opening, step, _time_gradient(model.eval(), splits["val"]), recognise, corrupt)


def time_corruptions(photos: Dataset, names: Iterable[str], cache: Path) -> dict[str, float]:
    """Seconds that it takes to make one photo of each corruption.

    Raises:
        UserError: these photos cannot be corrupted so.
    """
    ice = find(None, cache, download=False)
    sets = {name: CorruptedImages(photos.images, name, TYPICAL, 0, ice) for name in names}
    return {name: _per_photo(images.__getitem__, photos) for name, images in sets.items()}


def _time_step(training: Training) -> float:
    """Batches are augmented many at a time; the first holds up the loop for all of them, and tells how many."""
    start = time.perf_counter()
    first = next(epoch_batches(training, 0, 0))
    together = first.images.untyped_storage().nbytes() / first.images.nbytes
    augmenting = (time.perf_counter() - start) / max(1.0, together)
    training.wrapped.train()
    meter = Meter(training.accelerator.device)
    return augmenting + _timed(lambda: train_step(training, first, 0, meter))


def _time_recognising(training: Training) -> float:
    @torch.inference_mode()
    def recognise(batch: Batch) -> None:
        with autocast(batch.images.device, training.dtype):
            training.model(batch.images)

    photos, device = training.splits["val"], training.accelerator.device
    return _per_photo(lambda some: recognise(gather(photos, some).to(device)), photos)


def _time_gradient(model: Classifier, photos: Dataset) -> float:
    victim = Victim(model)

    def gradient(batch: Batch) -> None:
        victim.gradient(batch.images.float() / 255, batch.labels, cross_entropy)

    with frozen(model):
        return _per_photo(lambda some: gradient(gather(photos, some).to(victim.device)), photos)


def _per_photo(work: Callable[[np.ndarray], object], photos: Dataset) -> float:
    """Seconds a photo in batches of many, or of few where many would take long."""
    few, many = (np.arange(min(count, len(photos))) for count in (FEW, MANY))
    each = _timed(lambda: work(few)) / len(few)
    return each if each * len(many) > LONG else _timed(lambda: work(many)) / len(many)


def _timed(work: Callable[[], object]) -> float:
    """Seconds of one call; where it is short, the median of several, without the first."""
    seconds = [_once(work)]
    while sum(seconds) < LONG or (len(seconds) == 1 and seconds[0] < VERY_LONG):
        seconds.append(_once(work))
    return statistics.median(seconds[1:] or seconds)


def _once(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    if this_process().device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start
