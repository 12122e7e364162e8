"""The interface of evaluators, and the lookup of what a run's results hold already."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from accelerate.utils import broadcast_object_list
from torch import nn

from doublevit.data.dataset import Dataset
from doublevit.device import this_process
from doublevit.runs.conditions import ModelId
from doublevit.runs.folder import RunFolder
from doublevit.runs.results import EvalResult, Expected, Results


@dataclasses.dataclass(frozen=True)
class EvalModel:
    """A model that is to be evaluated: `network` maps uint8 images (B, 3, H, W) to logits (B, classes).

    Rows name it by `id`; matrix products run in `dtype`; each process takes `batch_size` images at a time.
    """

    network: nn.Module
    id: ModelId
    dtype: torch.dtype = torch.float32
    batch_size: int = 100


class Evaluator(Protocol):
    """An evaluator measures a model on a data set. It knows nothing of command lines, folders or recipes."""

    @property
    def name(self) -> str:
        """A short name of what is measured, such as "clean" or "attacks"."""

    def conditions(self, model: ModelId, dataset: Dataset) -> list[Expected]:
        """List the measurements that `run` would make; the network itself is not needed.

        Raises:
            UserError: the evaluator cannot measure this model on this data set.
        """

    def run(self, model: EvalModel, dataset: Dataset, results: Results) -> Iterator[EvalResult]:
        """Yield every measurement in order, from `results` where it is known, else measured now and added to them.

        Raises:
            UserError: as `conditions`, or what was measured makes no sense.
        """


def open_results(run: RunFolder | None) -> Results:
    """Open the results of a run (in memory without one); only the main process reads and writes them."""
    return Results(run, is_writer=this_process().is_main_process)


def is_done(evaluator: Evaluator, model: ModelId, dataset: Dataset, results: Results) -> bool:
    """Return whether `results` hold every measurement that the evaluator would make of these weights and images."""
    return all(results.find(expected) for expected in evaluator.conditions(model, dataset))


def broadcast_results(results: Results, expected: Sequence[Expected]) -> list[EvalResult | None]:
    """Look up each expected measurement (None if it is missing) in the main process and send it to all processes."""
    # Only the main process has read the results: were another to measure what it skips, gathering would hang.
    return list(broadcast_object_list([results.find(measurement) for measurement in expected]))
