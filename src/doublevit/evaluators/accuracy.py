"""Accuracy on clean images, on every corruption at every severity, and aggregated over corruptions."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np

from doublevit.corrupted_sets.config import GROUPS
from doublevit.corrupted_sets.sets import CorruptedSet, condition_of
from doublevit.data.dataset import Dataset
from doublevit.data.identity import Cell
from doublevit.evaluators.adaptation.adaptation import Adaptation, predict_with
from doublevit.evaluators.evaluator import EvalModel, broadcast_results
from doublevit.evaluators.prediction import accuracy_result, expected_accuracy
from doublevit.runs.conditions import Clean, CorruptionMean, ModelId, frost_of
from doublevit.runs.results import EvalResult, Expected, Results
from doublevit.runs.row import Row
from doublevit.statistics import Estimate, mean_accuracy, mean_corruption_error, relative_change

RELATIVE_ERROR = "error relative to another model"
CellResults = Mapping[Cell, EvalResult]
"""The measured accuracies of each (corruption, severity)."""


@dataclasses.dataclass(frozen=True)
class CleanEvaluator:
    """An evaluator that measures top-k accuracy on clean images, with batch norm adapted to them if asked for.

    `again` makes it measure even what the results hold already.
    """

    adaptation: Adaptation | None = None
    again: bool = False
    name = "clean"

    def conditions(self, model: ModelId, dataset: Dataset) -> list[Expected]:
        """List the one measurement: the accuracy on `dataset`."""
        return [expected_accuracy(model, dataset, Clean())]

    def run(self, model: EvalModel, dataset: Dataset, results: Results) -> Iterator[EvalResult]:
        """Yield the one measurement: the accuracy on `dataset`."""
        (result,) = [None] if self.again else broadcast_results(results, self.conditions(model.id, dataset))
        if result is None:
            prediction = predict_with(self.adaptation, model, dataset, "evaluating")
            result = accuracy_result(prediction, model.id, Clean())
            results.add(result)
        yield result


@dataclasses.dataclass(frozen=True)
class CorruptionEvaluator:
    """An evaluator that measures top-k accuracy on `cells` of a corrupted set, then means and changes against clean.

    `reference` holds the results of another model, `reference_id`, on the same cells: if it is given, the error
    relative to that model is measured too.
    """

    corrupted: CorruptedSet
    cells: Sequence[Cell]
    adaptation: Adaptation | None = None
    reference: CellResults | None = None
    reference_id: ModelId | None = None
    name = "corruptions"

    def conditions(self, model: ModelId, dataset: Dataset) -> list[Expected]:
        """List the accuracy on every cell, then the mean of every group."""
        cells = self.expected_cells(model)
        return [*cells, *(self._expected_mean(condition, cells) for condition in self._mean_conditions())]

    def run(self, model: EvalModel, dataset: Dataset, results: Results) -> Iterator[EvalResult]:
        """Yield the accuracy on every cell as soon as it is measured, then the aggregates of every group."""
        (clean,) = CleanEvaluator(self.adaptation).run(model, dataset, results)
        cells: dict[Cell, EvalResult] = {}
        known = broadcast_results(results, self.expected_cells(model.id))
        for number, (cell, result) in enumerate(zip(self.cells, known, strict=True), 1):
            cells[cell] = result or self._measure(cell, model, results, f"{number}/{len(self.cells)}")
            yield cells[cell]
        for condition in self._mean_conditions():
            result = EvalResult(tuple(self._aggregate(condition, clean, cells)))
            results.add_once(result)
            yield result

    def expected_cells(self, model: ModelId) -> list[Expected]:
        """List the accuracy on every cell, in the order of `cells`."""
        return [
            expected_accuracy(model, self.corrupted.cell(cell), condition_of(self.corrupted, cell))
            for cell in self.cells
        ]

    def _measure(self, cell: Cell, model: EvalModel, results: Results, counter: str) -> EvalResult:
        name, severity = cell
        title = f"{counter} {name} {severity}"
        prediction = predict_with(self.adaptation, model, self.corrupted.cell(cell), title)
        result = accuracy_result(prediction, model.id, condition_of(self.corrupted, cell))
        results.add(result)
        return result

    def _mean_conditions(self) -> list[CorruptionMean]:
        """Return a condition for every group whose corruptions are all measured; if there is none, for all cells."""
        names = tuple(dict.fromkeys(name for name, _ in self.cells))
        complete = {group: members for group, members in GROUPS.items() if group != "all" and {*members} <= {*names}}
        return [self._mean_condition(group, members) for group, members in (complete or {"": names}).items()]

    def _mean_condition(self, group: str, names: tuple[str, ...]) -> CorruptionMean:
        return CorruptionMean(
            group=group,
            corruptions=names,
            severities=tuple(sorted({severity for name, severity in self.cells if name in names})),
            source=self.corrupted.source,
            frost=frost_of(names, self.corrupted.frost),
        )

    def _expected_mean(self, condition: CorruptionMean, cells: Sequence[Expected]) -> Expected:
        key = msgspec.structs.replace(cells[0].key, condition=condition)
        return Expected(key, tuple(f"mean {metric}" for metric in cells[0].metrics))

    def _aggregate(self, condition: CorruptionMean, clean: EvalResult, results: CellResults) -> Iterator[Row]:
        """Yield mean accuracies, changes relative to the clean images, and the error relative to the reference."""
        cells = {cell: result for cell, result in results.items() if cell[0] in condition.corruptions}
        template = next(iter(cells.values())).rows[0]
        seconds = round(sum(result.rows[0].seconds for result in cells.values()), 3)

        def row(metric: str, estimate: Estimate, condition: CorruptionMean) -> Row:
            values = dataclasses.asdict(estimate)
            return msgspec.structs.replace(template, condition=condition, metric=metric, seconds=seconds, **values)

        matched = self.corrupted.matched
        against_clean = msgspec.structs.replace(condition, clean="matched" if matched else "unmatched")
        for k in [row.top for row in clean.rows if row.is_accuracy]:
            correct, clean_correct = stack_correct(cells, k), clean.correct(k)
            yield row(f"mean top-{k}", mean_accuracy(correct, matched), condition)
            if clean_correct.any():  # else there is nothing to divide by
                change = relative_change(clean_correct, correct, matched)
                yield row(f"relative change of top-{k}", change, against_clean)
        if self.reference is not None and _errs_on_each(self.reference, cells):
            correct, reference_correct = (stack_correct(model, 1, cells) for model in (cells, self.reference))
            estimate = mean_corruption_error(correct, reference_correct, [name for name, _ in cells])
            yield row(RELATIVE_ERROR, estimate, msgspec.structs.replace(condition, relative_to=self.reference_id))


def stack_correct(results: CellResults, k: int, order: Sequence[Cell] | CellResults | None = None) -> np.ndarray:
    """Return whether the true class of each image in each cell is among the first k, bool (cells, N), in `order`."""
    return np.stack([results[cell].correct(k) for cell in order or results])


def _errs_on_each(reference: CellResults, cells: CellResults) -> bool:
    """Return whether the reference makes an error on every corruption: the relative error divides by its errors."""
    errs = dict.fromkeys((name for name, _ in cells), False)
    for name, severity in cells:
        errs[name] |= not reference[name, severity].correct(1).all()
    return all(errs.values())
