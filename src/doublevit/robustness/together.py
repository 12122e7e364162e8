"""What the cells of a corrupted set say together: means, change against clean photos, error relative to another run."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from doublevit.corrupted.config import GROUPS
from doublevit.data.tiny_imagenet_c import Cell
from doublevit.results import Row
from doublevit.robustness.bench import Measurement
from doublevit.statistics import Estimate, Statistic, bootstrap

Cells = Mapping[Cell, Measurement]


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
        """Means, relative changes and relative errors: of every group that was measured whole, else of what was."""
        names = tuple(dict.fromkeys(name for name, _ in self.cells))
        whole = {group: members for group, members in GROUPS.items() if group != "all" and {*members} <= {*names}}
        for group, members in (whole or {", ".join(names): names}).items():
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
        if self.reference is not None and _all_err(self.reference, cells):
            estimate = self._relative_error(cells, self.reference)
            yield row("error relative to another model", estimate, relative_to=self.reference_name)

    def _estimate(self, metric: str, cells: list[Cell], statistic: Statistic) -> Estimate:
        clean, corrupted = self.clean.hits[metric][None], np.stack([self.cells[cell].hits[metric] for cell in cells])
        return bootstrap([np.concatenate([clean, corrupted])] if self.matched else [clean, corrupted], statistic)

    def _relative_error(self, cells: list[Cell], reference: Cells) -> Estimate:
        """Mean over corruptions of the error summed over severities, divided by the other model's."""
        hits = np.stack([of[cell].hits["top-1"] for of in (self.cells, reference) for cell in cells])
        numbers = np.unique([name for name, _ in cells], return_inverse=True)[1]
        least = 0.5 / hits.shape[1]  # half an error, for a drawing in which the other model makes none
        groups = numbers == np.arange(numbers.max() + 1)[:, None]  # (corruptions, cells)

        def ratio(means: np.ndarray) -> np.ndarray:
            errors, others = ((1 - half) @ groups.T for half in np.split(means, 2, axis=1))
            return (errors / np.maximum(others, least)).mean(axis=1)

        return bootstrap([hits], ratio)


def _mean(means: np.ndarray) -> np.ndarray:
    return means[:, 1:].mean(axis=1)


def _change(means: np.ndarray) -> np.ndarray:
    some = np.where(means[:, 0] > 0, means[:, 0], np.nan)  # a drawing in which no clean photo is right says nothing
    return means[:, 1:].mean(axis=1) / some - 1


def _all_err(cells: Cells, some: Iterable[Cell]) -> bool:
    """Whether the model makes an error on every corruption, so that there is something to divide by."""
    errs = {cell[0]: False for cell in some}
    for cell in some:
        errs[cell[0]] |= not cells[cell].hits["top-1"].all()
    return all(errs.values())
