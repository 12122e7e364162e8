"""Measure a training step on one core by image size, with torch's fused attention and with the explicit formula.

    python benchmarks/train_step.py [--model vit-ti16] [--sizes 224 160 112] [--batch-size 32] [--turns 5]

Steps of AdamW over the last 90 tensors and a linear head, on random images of 64 x 64 pixels, not augmented, with
weights that were not trained. All take turns, and CPU seconds of the process are counted, so that other load of the
machine matters little; ratios are of steps of one turn. Prints medians and the quartiles of the ratios.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import tyro

from doublevit.augment import AugmentConfig
from doublevit.data.dataset import Dataset
from doublevit.data.identity import DatasetId
from doublevit.models import ModelConfig, explicit_attention
from doublevit.models.classifier import build
from doublevit.runs.folder import RunFolder
from doublevit.training import TrainConfig
from doublevit.training.step import Meter, train_step
from doublevit.training.training import TrainingBatch, prepare, require_trainable

CLASSES = tuple(map(str, range(200)))


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    model: str = "vit-ti16"
    """The network."""
    sizes: tuple[int, ...] = (224, 160, 112)
    """Sides of the network's input in pixels."""
    batch_size: int = 32
    """Images in a step."""
    precision: str = "auto"
    """Precision of matrix products: auto, float32 or bfloat16."""
    turns: int = 5
    """How often each is timed."""


def make_step(options: Options, size: int, *, explicit: bool) -> Callable[[], None]:
    """Return a function that makes a training step."""
    images = np.random.default_rng(0).integers(0, 256, (options.batch_size, 64, 64, 3), dtype=np.uint8)
    labels = np.arange(options.batch_size) % len(CLASSES)
    dataset = Dataset(images, labels, CLASSES, CLASSES, DatasetId("random images"))
    network = ModelConfig(options.model, weights="none", freeze="all-but-90-tensors")
    model = build(network, CLASSES, training_size=size)
    config = TrainConfig(batch_size=options.batch_size, optimizer="adamw", precision=options.precision, image_size=size)
    explicit_attention.MAX_TOKENS = 1024 if explicit else 0
    trainable = require_trainable(model, dataset, config)
    training = prepare(trainable, {"train": dataset}, config, AugmentConfig("none"), RunFolder(Path()), seed=0)
    training.wrapped.train()
    target, shown = torch.from_numpy(labels), torch.from_numpy(images).permute(0, 3, 1, 2)[:, None]
    batch, meter = TrainingBatch(shown, target, target, target), Meter(torch.device("cpu"))

    def step() -> None:
        explicit_attention.MAX_TOKENS = 1024 if explicit else 0
        train_step(training, batch, 0, meter)

    return step


def measure(options: Options) -> None:
    """Measure all variants, and print them."""
    variants = [(size, explicit) for size in options.sizes for explicit in (False, True)]
    steps = {variant: make_step(options, variant[0], explicit=variant[1]) for variant in variants}
    seconds: dict[tuple[int, bool], list[float]] = {variant: [] for variant in variants}
    for turn in range(1 + options.turns):
        for variant in variants if turn % 2 else reversed(variants):
            start = time.process_time()
            steps[variant]()
            if turn:  # the first is a warm-up
                seconds[variant].append(time.process_time() - start)
    for size, explicit in variants:
        taken = seconds[size, explicit]
        name = f"{size} pixels, {'explicit' if explicit else 'fused'}"
        ratios = [a / b for a, b in zip(taken, seconds[variants[0]], strict=True)]
        low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
        print(f"{name}: {statistics.median(taken):.3f} s, {middle:.2f} ({low:.2f} to {high:.2f}) of the first")


if __name__ == "__main__":
    torch.set_num_threads(1)
    measure(tyro.cli(Options, description=__doc__))
