"""Measure what the log and the trackers of a training cost for each step.

    python benchmarks/tracking.py [--log tensorboard wandb mlflow] [--epochs 3]

Trains `digits-vit`, whose steps are among the shortest there are, and times every entry of the log, which is written
each ten steps and each epoch. Prints the median time of an entry, and the time of all as a fraction of the training's.
"""

import dataclasses
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import tyro

from doublevit.jobs import train
from doublevit.recipes import get_recipe
from doublevit.recipes.recipe import with_changes
from doublevit.training import loop
from doublevit.training.log import TrainingLog


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    log: tuple[str, ...] = ()
    """Trackers; none: log.jsonl alone."""
    epochs: int = 3
    """Epochs of 45 steps."""


def main() -> None:
    """Train, and print the times."""
    options, entries, whole = tyro.cli(Options, description=__doc__), [], []
    write, train_epoch = TrainingLog.write, loop._train_epoch

    def timed(seconds: list[float], work: Any, *arguments: Any) -> None:
        start = time.perf_counter()
        work(*arguments)
        seconds.append(time.perf_counter() - start)

    TrainingLog.write = lambda *arguments: timed(entries, write, *arguments)  # type: ignore[assignment, method-assign]
    loop._train_epoch = lambda *arguments: timed(whole, train_epoch, *arguments)
    with tempfile.TemporaryDirectory() as folder:
        recipe = with_changes(get_recipe("digits-vit"), {"train.epochs": options.epochs})
        train.start(recipe, Path(folder), "run", options.log)
    print(
        f"{' '.join(options.log) or 'log.jsonl alone'}: {1e3 * statistics.median(entries):.2f} ms an entry (median of"
        f" {len(entries)}), {sum(entries) / sum(whole):.3%} of {sum(whole):.1f} s of training"
    )


if __name__ == "__main__":
    main()
