"""A model measured on several sets of images, each beside the clean images of its classes if these are given."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from doublevit.attacks.config import AttackConfig
from doublevit.corrupted_sets.config import RobustnessConfig
from doublevit.errors import UserError
from doublevit.evaluators.adaptation.config import AdaptConfig
from doublevit.evaluators.evaluator import open_results
from doublevit.jobs.evaluate import Evaluated
from doublevit.jobs.judge import evaluate_model, plain_name
from doublevit.jobs.options import Evaluate, EvaluateModel
from doublevit.runs.conditions import Clean, Gap
from doublevit.runs.results import EvalResult
from doublevit.runs.row import Row
from doublevit.statistics import independent_difference

GAP = "gap in top-1"
Chosen = TypeVar("Chosen", bound=Evaluate)


@dataclasses.dataclass(frozen=True)
class OfSet:
    """Holds what was measured on a set of images, and on the clean images of its classes, None without these.

    With clean images, the gap between both is among the rows of the set.
    """

    evaluated: Evaluated
    clean: Evaluated | None = None


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
        clean = _of_clean(of_set, evaluated) if options.clean else None
        yield OfSet(with_gap(evaluated, clean) if clean else evaluated, clean)


def _of_clean(options: EvaluateModel, evaluated: Evaluated) -> Evaluated:
    """Measure accuracy on the clean images of the classes of a set."""
    if not evaluated.class_ids:
        raise UserError(f"`clean`: expected other images than the run's own, found {options.data[0]}")
    name = f"{evaluated.run.path.name}-clean"
    plain = dataclasses.replace(accuracy_alone(options), data=(str(options.clean),), split="", name=name)
    return evaluate_model(plain, evaluated.class_ids)


def accuracy_alone(options: Chosen) -> Chosen:
    """Return the options without corruptions, attacks and adaptation."""
    return dataclasses.replace(
        options, robustness=RobustnessConfig(), attack=AttackConfig(), adapt=AdaptConfig(), strict=False
    )


def with_gap(evaluated: Evaluated, clean: Evaluated) -> Evaluated:
    """Return what was measured on a set with its top-1 minus that on clean images, which is added to its results."""
    row, other = _top1(evaluated), _top1(clean)
    if other.dataset is None:
        raise ValueError("expected accuracy on images of a data set")
    counts = [(round(each.value * each.count), each.count) for each in (row, other)]
    gap = msgspec.structs.replace(
        row,
        condition=Gap(clean=other.dataset, clean_count=other.count),
        metric=GAP,
        seconds=other.seconds,
        **dataclasses.asdict(independent_difference(*counts[0], *counts[1])),
    )
    open_results(evaluated.run).add_once(EvalResult((gap,)))
    return dataclasses.replace(evaluated, rows=[*evaluated.rows, gap])


def _top1(evaluated: Evaluated) -> Row:
    return next(row for row in evaluated.of_kind(Clean) if row.metric == "top-1")
