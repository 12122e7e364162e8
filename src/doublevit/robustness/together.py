"""What the cells of a corrupted set say together: means, change against clean photos, error relative to another run."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from doublevit.corrupted.config import GROUPS
from doublevit.data.tiny_imagenet_c import Cell
from doublevit.results import Row
from doublevit.robustness.bench import Measurement
from doublevit.statistics import Estimate, mean_accuracy, relative_change, relative_error

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

        for metric, clean_hits in self.clean.hits.items():
            hits = _hits(self.cells, cells, metric)
            yield row(f"mean {metric}", mean_accuracy(hits, self.matched))
            if clean_hits.any():
                yield row(f"relative change of {metric}", relative_change(clean_hits, hits, self.matched), clean=clean)
        if self.reference is not None and _all_err(self.reference, cells):
            hits, others = (_hits(of, cells, "top-1") for of in (self.cells, self.reference))
            estimate = relative_error(hits, others, [name for name, _ in cells])
            yield row("error relative to another model", estimate, relative_to=self.reference_name)


def _hits(of: Cells, cells: Iterable[Cell], metric: str) -> np.ndarray:
    """Whether each photo was recognised in each cell, bool (C, N)."""
    return np.stack([of[cell].hits[metric] for cell in cells])


def _all_err(cells: Cells, some: Iterable[Cell]) -> bool:
    """Whether the model makes an error on every corruption, so that there is something to divide by."""
    errs = {cell[0]: False for cell in some}
    for cell in some:
        errs[cell[0]] |= not cells[cell].hits["top-1"].all()
    return all(errs.values())
