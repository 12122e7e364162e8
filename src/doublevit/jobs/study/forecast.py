"""How long a study's work takes: timed on each network before, corrected by what it really took meanwhile."""

import dataclasses
from collections import defaultdict

from doublevit.data.batches import steps_per_epoch
from doublevit.data.dataset import Splits
from doublevit.jobs.study.clean import Clean
from doublevit.jobs.study.cost import Cost
from doublevit.jobs.study.task import Task
from doublevit.models.top_k import AS_TRAINED, alike
from doublevit.recipes import Recipe

TRAINING = "training"


@dataclasses.dataclass
class Experience:
    """Seconds that were expected, and those that work really took, by its kind."""

    expected: dict[str, float] = dataclasses.field(default_factory=lambda: defaultdict(float))
    taken: dict[str, float] = dataclasses.field(default_factory=lambda: defaultdict(float))

    def learn(self, kind: str, expected: float, taken: float) -> None:
        """Some work is done."""
        self.expected[kind] += expected
        self.taken[kind] += taken

    def corrected(self, kind: str, seconds: float) -> float:
        """An expectation, in the proportion in which others of its kind were wrong."""
        return seconds * self.taken[kind] / self.expected[kind] if self.expected[kind] else seconds


def training_seconds(cost: Cost, recipe: Recipe, splits: Splits, done: int) -> float:
    """Of the epochs that are left after the `done` ones, with the validation after each."""
    steps = steps_per_epoch(len(splits["train"]), recipe.train.batch_size)
    epoch = steps * cost.step + len(splits["val"]) * cost.recognise[AS_TRAINED]
    return cost.opening + (recipe.train.epochs - done) * epoch


def comes_with_training(task: Task, recipe: Recipe) -> bool:
    """Whether the last validation of a training gives what the task wants."""
    if not isinstance(task, Clean) or not recipe.train.epochs:
        return False
    options = task.options
    whole = options.samples is None and options.photos is None
    return whole and alike(options.top_k) == alike(recipe.model.top_k)
