"""A model measured on several sets of images, each beside the clean images of its classes if these are given."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from doublevit.attacks.config import AttackConfig
from doublevit.corrupted_sets.config import RobustnessConfig
from doublevit.errors import UserError
from doublevit.evaluators.adaptation.config import AdaptConfig
from doublevit.jobs.evaluate import Evaluated
from doublevit.jobs.judge import evaluate_model, plain_name
from doublevit.jobs.options import EvaluateModel
from doublevit.runs.conditions import Clean
from doublevit.runs.row import Row
from doublevit.statistics import Estimate, independent_difference


@dataclasses.dataclass(frozen=True)
class OfSet:
    """Holds what was measured on a set of images, and on the clean images of its classes, None without these."""

    evaluated: Evaluated
    clean: Evaluated | None = None

    def gap(self) -> tuple[Row, Row, Estimate] | None:
        """Return the top-1 rows of the set and of the clean images, and their difference; None without the latter."""
        if self.clean is None:
            return None
        row, clean = (_top1(evaluated) for evaluated in (self.evaluated, self.clean))
        counts = [(round(each.value * each.count), each.count) for each in (row, clean)]
        return row, clean, independent_difference(*counts[0], *counts[1])


def evaluate_sets(options: EvaluateModel) -> Iterator[OfSet]:
    """Measure a model on each set that `options.data` names, or on a run's own images; yield as each is measured.

    Raises:
        UserError: as `evaluate_model`; or two sets would have a folder of the same name.
    """
    names = [plain_name("-".join(Path(images).parts[-2:])) for images in options.data]
    if len({*names}) != len(names):
        raise UserError(f"`data`: expected sets in folders of different names, found {' '.join(options.data)}")
    for images in options.data or (None,):
        of_set = dataclasses.replace(options, data=(images,) if images else ())
        evaluated = evaluate_model(of_set)
        yield OfSet(evaluated, _of_clean(of_set, evaluated) if options.clean else None)


def _of_clean(options: EvaluateModel, evaluated: Evaluated) -> Evaluated:
    """Measure accuracy on the clean images of the classes of a set."""
    if not evaluated.class_ids:
        raise UserError(f"`clean`: expected other images than the run's own, found {options.data[0]}")
    plain = dataclasses.replace(
        options,
        data=(str(options.clean),),
        split="",
        name=f"{evaluated.run.path.name}-clean",
        robustness=RobustnessConfig(),
        attack=AttackConfig(),
        adapt=AdaptConfig(),
        strict=False,
    )
    return evaluate_model(plain, evaluated.class_ids)


def _top1(evaluated: Evaluated) -> Row:
    return next(row for row in evaluated.of_kind(Clean) if row.metric == "top-1")
