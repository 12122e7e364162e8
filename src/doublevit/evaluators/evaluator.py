"""What every evaluator is, and running them: what is measured already is looked up, what is missing is measured."""

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
    """A network to be evaluated: uint8 images (B, 3, H, W) -> logits (B, classes).

    `id` is how rows name it; matrix products run in `dtype`; `batch_size` images at a time in each process.
    """

    network: nn.Module
    id: ModelId
    dtype: torch.dtype = torch.float32
    batch_size: int = 100


class Evaluator(Protocol):
    """Measures a model on a data set. It knows nothing of command lines, folders or recipes."""

    @property
    def name(self) -> str:
        """The kind of measurement, for people."""

    def conditions(self, model: ModelId, dataset: Dataset) -> list[Expected]:
        """Everything that it measures; the network itself is not needed to say so.

        Raises:
            UserError: it cannot be measured on these images.
        """

    def run(self, model: EvalModel, dataset: Dataset, results: Results) -> Iterator[EvalResult]:
        """Every measurement, in order: what `results` holds is taken from there, the rest is measured and added.

        Raises:
            UserError: as `conditions`, or something that was measured makes no sense.
        """


def open_results(run: RunFolder | None) -> Results:
    """A run's results, read and written by the first process alone."""
    return Results(run, is_writer=this_process().is_main_process)


def is_done(evaluator: Evaluator, model: ModelId, dataset: Dataset, results: Results) -> bool:
    """Whether every condition has its rows, and predictions, of these weights and images."""
    return all(results.find(expected) for expected in evaluator.conditions(model, dataset))


def known(results: Results, expected: Sequence[Expected]) -> list[EvalResult | None]:
    """What was measured before; told to all processes by the first."""
    return list(broadcast_object_list([results.find(each) for each in expected]))
