"""Accuracy on images as they are, under every corruption at every severity, and aggregated over these."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np

from doublevit.corrupted_sets.config import GROUPS
from doublevit.corrupted_sets.sets import CorruptedSet, condition_of
from doublevit.data.dataset import Dataset
from doublevit.data.identity import Cell
from doublevit.evaluators.adaptation.adaptation import Adaptation, predict_with
from doublevit.evaluators.evaluator import EvalModel, known
from doublevit.evaluators.prediction import accuracy, expected_accuracy
from doublevit.runs.conditions import Clean, CorruptionMean, ModelId, frost_of
from doublevit.runs.results import EvalResult, Expected, Results
from doublevit.runs.row import Row
from doublevit.statistics import Estimate, mean_accuracy, mean_corruption_error, relative_change

Cells = Mapping[Cell, EvalResult]
"""Accuracy by corruption and severity."""


@dataclasses.dataclass(frozen=True)
class CleanEvaluator:
    """Top-k accuracy on clean images, with batch norm adapted to them if asked for; `again`: measure it once more."""

    adaptation: Adaptation | None = None
    again: bool = False
    name = "clean"

    def conditions(self, model: ModelId, dataset: Dataset) -> list[Expected]:
        """See `Evaluator`."""
        return [expected_accuracy(model, dataset, Clean())]

    def run(self, model: EvalModel, dataset: Dataset, results: Results) -> Iterator[EvalResult]:
        """See `Evaluator`."""
        (found,) = [None] if self.again else known(results, self.conditions(model.id, dataset))
        if found is None:
            found = accuracy(predict_with(self.adaptation, model, dataset, "evaluating"), model.id, Clean())
            results.add(found)
        yield found


@dataclasses.dataclass(frozen=True)
class CorruptionEvaluator:
    """Top-k accuracy on `cells` of a corrupted set, then means and changes against the clean images.

    `reference` are the same cells as another model, `reference_id`, was measured on them: the error relative to it is
    given too.
    """

    corrupted: CorruptedSet
    cells: Sequence[Cell]
    adaptation: Adaptation | None = None
    reference: Cells | None = None
    reference_id: ModelId | None = None
    name = "corruptions"

    def conditions(self, model: ModelId, dataset: Dataset) -> list[Expected]:
        """See `Evaluator`."""
        cells = self.expected_cells(model)
        return [*cells, *(self._expected_mean(mean, cells) for mean in self._means())]

    def run(self, model: EvalModel, dataset: Dataset, results: Results) -> Iterator[EvalResult]:
        """See `Evaluator`; a cell is measured when its turn comes, and added at once."""
        (clean,) = CleanEvaluator(self.adaptation).run(model, dataset, results)
        found: dict[Cell, EvalResult] = {}
        before = known(results, self.expected_cells(model.id))
        for number, (cell, result) in enumerate(zip(self.cells, before, strict=True), 1):
            found[cell] = result or self._measure(cell, model, results, f"{number}/{len(self.cells)}")
            yield found[cell]
        for mean in self._means():
            result = EvalResult(tuple(self._aggregate(mean, clean, found)))
            results.add_once(result)
            yield result

    def expected_cells(self, model: ModelId) -> list[Expected]:
        """The measurements of the cells."""
        return [
            expected_accuracy(model, self.corrupted.cell(cell), condition_of(self.corrupted, cell))
            for cell in self.cells
        ]

    def _measure(self, cell: Cell, model: EvalModel, results: Results, place: str) -> EvalResult:
        name, severity = cell
        predicted = predict_with(self.adaptation, model, self.corrupted.cell(cell), f"{place} {name} {severity}")
        result = accuracy(predicted, model.id, condition_of(self.corrupted, cell))
        results.add(result)
        return result

    def _means(self) -> list[CorruptionMean]:
        """Every group of corruptions that is measured whole; where none is, all that is measured."""
        names = tuple(dict.fromkeys(name for name, _ in self.cells))
        whole = {group: members for group, members in GROUPS.items() if group != "all" and {*members} <= {*names}}
        return [self._mean(group, members) for group, members in (whole or {"": names}).items()]

    def _mean(self, group: str, names: tuple[str, ...]) -> CorruptionMean:
        return CorruptionMean(
            group=group,
            corruptions=names,
            severities=tuple(sorted({severity for name, severity in self.cells if name in names})),
            source=self.corrupted.source,
            frost=frost_of(names, self.corrupted.frost),
        )

    def _expected_mean(self, mean: CorruptionMean, cells: Sequence[Expected]) -> Expected:
        key = msgspec.structs.replace(cells[0].key, condition=mean)
        return Expected(key, tuple(f"mean {metric}" for metric in cells[0].metrics))

    def _aggregate(self, mean: CorruptionMean, clean: EvalResult, found: Cells) -> Iterator[Row]:
        """Mean accuracies, changes relative to the clean images, and the error relative to the reference."""
        cells = {cell: result for cell, result in found.items() if cell[0] in mean.corruptions}
        some = next(iter(cells.values())).rows[0]
        seconds = round(sum(result.rows[0].seconds for result in cells.values()), 3)

        def row(metric: str, estimate: Estimate, condition: CorruptionMean) -> Row:
            values = dataclasses.asdict(estimate)
            return msgspec.structs.replace(some, condition=condition, metric=metric, seconds=seconds, **values)

        matched = self.corrupted.matched
        compared = msgspec.structs.replace(mean, clean="matched" if matched else "unmatched")
        for top in [row.top for row in clean.rows]:
            correct, clean_correct = stacked(cells, top), clean.correct(top)
            yield row(f"mean top-{top}", mean_accuracy(correct, matched), mean)
            if clean_correct.any():
                change = relative_change(clean_correct, correct, matched)
                yield row(f"relative change of top-{top}", change, compared)
        if self.reference is not None and _all_err(self.reference, cells):
            ours, theirs = (stacked(of, 1, cells) for of in (cells, self.reference))
            estimate = mean_corruption_error(ours, theirs, [name for name, _ in cells])
            yield row(RELATIVE_ERROR, estimate, msgspec.structs.replace(mean, relative_to=self.reference_id))


RELATIVE_ERROR = "error relative to another model"


def stacked(cells: Cells, top: int, order: Sequence[Cell] | Cells | None = None) -> np.ndarray:
    """Whether each image was recognized in each cell, bool (C, N)."""
    return np.stack([cells[cell].correct(top) for cell in order or cells])


def _all_err(reference: Cells, cells: Cells) -> bool:
    """Whether the reference makes an error on every corruption, so that there is something to divide by."""
    errs = dict.fromkeys((name for name, _ in cells), False)
    for name, severity in cells:
        errs[name] |= not reference[name, severity].correct(1).all()
    return all(errs.values())
