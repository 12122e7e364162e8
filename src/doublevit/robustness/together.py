"""What the cells of a corrupted set say together: means, change against clean photos, error relative to another run."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from doublevit.corrupted.config import GROUPS
from doublevit.data.tiny_imagenet_c import Cell
from doublevit.results import Row
from doublevit.robustness.bench import Measurement
from doublevit.statistics import Estimate, Statistic, bootstrap

Cells = Mapping[Cell, Measurement]
LEAST = 1e-6  # of a share that divides: a few photos drawn anew may all be wrong, or all right


@dataclasses.dataclass(frozen=True)
class Robustness:
    """A model on clean photos and on cells; `matched` if these are the same photos.

    `condition` is what every row says of the corrupted set. `reference` is another model on the same cells.
    """

    clean: Measurement
    cells: Cells
    matched: bool
    condition: Mapping[str, Any]
    reference: Cells | None = None
    reference_name: str = ""

    def rows(self) -> Iterator[Row]:
        """For every group whose corruptions were all measured: means, relative changes, relative errors."""
        names = dict.fromkeys(name for name, _ in self.cells)
        for group, members in GROUPS.items():
            if group != "all" and set(members) <= set(names):
                yield from self._rows_of(group, [cell for cell in self.cells if cell[0] in members])

    def _rows_of(self, group: str, cells: list[Cell]) -> Iterator[Row]:
        said = {"kind": "corruptions", "of": group, "severities": sorted({severity for _, severity in cells})}
        clean = "the same photos" if self.matched else "other photos than these"
        seconds = sum(self.cells[cell].rows[0].seconds for cell in cells)

        def row(metric: str, estimate: Estimate, **more: str) -> Row:
            some = self.cells[cells[0]].rows[0]
            condition = {**said, **self.condition, **more}
            values = dataclasses.asdict(estimate) | {"seconds": round(seconds, 3)}
            return dataclasses.replace(some, condition=condition, metric=metric, **values)

        for metric in self.clean.hits:
            yield row(f"mean {metric}", self._estimate(metric, cells, _mean))
            if self.clean.hits[metric].any():
                yield row(f"relative change of {metric}", self._estimate(metric, cells, _change), clean=clean)
        if self.reference is not None:
            estimate = self._relative_error(cells, self.reference)
            yield row("error relative to another model", estimate, relative_to=self.reference_name)

    def _estimate(self, metric: str, cells: list[Cell], statistic: Statistic) -> Estimate:
        clean, corrupted = self.clean.hits[metric][None], np.stack([self.cells[cell].hits[metric] for cell in cells])
        return bootstrap([np.concatenate([clean, corrupted])] if self.matched else [clean, corrupted], statistic)

    def _relative_error(self, cells: list[Cell], reference: Cells) -> Estimate:
        """Mean over corruptions of the error summed over severities, divided by the other model's."""
        hits = np.stack([of[cell].hits["top-1"] for of in (self.cells, reference) for cell in cells])
        numbers = np.unique([name for name, _ in cells], return_inverse=True)[1]
        groups = numbers == np.arange(numbers.max() + 1)[:, None]  # (corruptions, cells)

        def ratio(means: np.ndarray) -> np.ndarray:
            errors, others = ((1 - half) @ groups.T for half in np.split(means, 2, axis=1))
            return (errors / np.maximum(others, LEAST)).mean(axis=1)

        return bootstrap([hits], ratio)


def _mean(means: np.ndarray) -> np.ndarray:
    return means[:, 1:].mean(axis=1)


def _change(means: np.ndarray) -> np.ndarray:
    return means[:, 1:].mean(axis=1) / np.maximum(means[:, 0], LEAST) - 1
