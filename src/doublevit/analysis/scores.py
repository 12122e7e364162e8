"""Scores in columns: which of them may be compared, and which is the best by a paired test."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np

from doublevit.analysis.descriptions import describe_images, images_key
from doublevit.analysis.evaluated import EvaluatedModel, Method
from doublevit.runs.row import Row
from doublevit.statistics import Estimate, holm, mcnemar, over_seeds, paired_mean_test

SIGNIFICANT = 0.05
Choice = TypeVar("Choice")
Options = Mapping[str, tuple[int, Choice]]
"""What to choose from for a method: by comparison key, the number of images, and the choice itself."""


class HasSeed(Protocol):
    """Belongs to a training run with a seed."""

    @property
    def seed(self) -> int: ...


Seeded = TypeVar("Seeded", bound=HasSeed)


@dataclasses.dataclass(frozen=True)
class Score:
    """Holds a value on `count` images with its interval, and `per_image` the score of each, float or bool (N,).

    Only scores with the same `comparison_key` (images, attack, ...) may be compared; `description` says the same in
    words. `seed` is that of the training run.
    """

    value: float
    low: float
    high: float
    count: int
    comparison_key: str
    description: str
    precision: str = ""
    per_image: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    seed: int = 0

    @property
    def estimate(self) -> Estimate:
        """The value with its interval."""
        return Estimate(self.value, self.low, self.high)


def row_score(model: EvaluatedModel, row: Row, key: str = "", description: str = "") -> Score:
    """Return the score of a row; without `key`, it may be compared with all scores of the same images."""
    return Score(
        *(row.value, row.low, row.high, row.count),
        comparison_key=key or images_key(row),
        description=description or describe_images(row),
        precision=row.precision,
        per_image=model.correct(row),
        seed=model.seed,
    )


@dataclasses.dataclass(frozen=True)
class ScoreColumn:
    """Holds the scores of one measure, `scores[method][seed]`, () for a method without.

    `duplicates` are the indices of methods that are the same run as an earlier one: they stand in the column, but in no
    test.
    """

    scores: tuple[tuple[Score, ...], ...]
    higher_is_better: bool = True
    duplicates: frozenset[int] = frozenset()

    @functools.cached_property
    def usual_key(self) -> str:
        """The comparison key that most methods have."""
        return _most_common(scores[0].comparison_key for scores in self.scores if scores)

    @functools.cached_property
    def usual_precision(self) -> str:
        """The precision that most methods were evaluated in."""
        return _most_common(scores[0].precision for scores in self.scores if scores)

    def is_usual(self, index: int) -> bool:
        """Return whether a method has the comparison key that most methods have."""
        return bool(self.scores[index]) and self.scores[index][0].comparison_key == self.usual_key

    def estimate(self, index: int) -> Estimate | None:
        """Return a method's value with its interval: over images, or over seeds where there are several."""
        scores = self.scores[index]
        if len(scores) > 1:
            return over_seeds([score.value for score in scores]).estimate
        return scores[0].estimate if scores else None

    @functools.cached_property
    def best(self) -> int | None:
        """The index of the method that is significantly better than all others it may be compared with, or None.

        The tests are paired, by images, or by seeds where there are several; Holm's method corrects for their number.
        """
        if len(self.ranked) < 2:
            return None
        first, *others = self.ranked
        p_values = [_p_value(self.scores[first], self.scores[other]) for other in others]
        return first if all(p < SIGNIFICANT for p in holm(p_values)) else None

    @functools.cached_property
    def ranked(self) -> tuple[int, ...]:
        """The indices of the methods that may be compared, the best first."""
        indices = [index for index in range(len(self.scores)) if self.is_usual(index) and index not in self.duplicates]
        return tuple(sorted(indices, key=lambda index: _mean(self.scores[index]), reverse=self.higher_is_better))


def choose_comparable(options_by_method: Sequence[Options[Choice]]) -> list[Choice | None]:
    """Choose for each method the option that most methods have, of equals that of the most images; None without any."""
    method_counts = Counter(key for options in options_by_method for key in options)
    image_counts = {key: max(own[key][0] for own in options_by_method if key in own) for key in method_counts}
    ranks = {key: (method_counts[key], image_counts[key], key) for key in method_counts}
    keys = [max(options, key=lambda key: ranks[key], default=None) for options in options_by_method]
    return [None if key is None else options[key][1] for key, options in zip(keys, options_by_method, strict=True)]


def shared_options(
    method: Method, options_of: Callable[[EvaluatedModel], Options[Choice]]
) -> dict[str, tuple[int, tuple[Choice, ...]]]:
    """Return the options that all members of a method have, each as a tuple of one choice for each member."""
    by_member = [options_of(member) for member in method.members]
    shared = [key for key in by_member[0] if all(key in options for options in by_member)]
    return {key: (by_member[0][key][0], tuple(options[key][1] for options in by_member)) for key in shared}


def same_seeds(scores: Sequence[Seeded], others: Sequence[Seeded]) -> list[tuple[Seeded, Seeded]]:
    """Pair what two methods have of the same seeds.

    Methods of a single seed each are paired whatever their seeds: the test is then over images.
    """
    if len(scores) == len(others) == 1:
        return [(scores[0], others[0])]
    by_seed = {other.seed: other for other in others}
    return [(score, by_seed[score.seed]) for score in scores if score.seed in by_seed]


def _most_common(texts: Iterable[str]) -> str:
    return next((text for text, _ in Counter(texts).most_common(1)), "")


def _mean(scores: Sequence[Score]) -> float:
    return float(np.mean([score.value for score in scores]))


def _p_value(scores: Sequence[Score], others: Sequence[Score]) -> float:
    """Return the p value that two methods are equal; 1 where that cannot be tested."""
    pairs = same_seeds(scores, others)
    if len(pairs) > 1:
        return paired_mean_test(*np.array([[score.value, other.value] for score, other in pairs]).T)
    if not pairs:
        return 1.0
    first, second = pairs[0][0].per_image, pairs[0][1].per_image
    if first is None or second is None or first.shape != second.shape:
        return 1.0
    if first.dtype == second.dtype == bool:
        return mcnemar(first, second)
    return paired_mean_test(first.astype(np.float64), second.astype(np.float64))
