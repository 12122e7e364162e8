"""Numbers of one column: chosen so that they can be compared, and the best of them found by a paired test."""

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
Chosen = TypeVar("Chosen")
Options = Mapping[str, tuple[int, Chosen]]
"""What a method has to choose from: by comparison key, how many images it is of, and the thing itself."""


class HasSeed(Protocol):
    """What belongs to a training run of some seed."""

    @property
    def seed(self) -> int: ...


Seeded = TypeVar("Seeded", bound=HasSeed)


@dataclasses.dataclass(frozen=True)
class Score:
    """A number and its interval, of `count` images; `per_image` float or bool (N,), what each of them contributes.

    `comparison_key` tells apart what cannot be compared: other images, another attack; `description` is the same in
    words; `seed` is that of the training run.
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
        """The number and its interval."""
        return Estimate(self.value, self.low, self.high)


def row_score(model: EvaluatedModel, row: Row, key: str = "", description: str = "") -> Score:
    """The score of a row; without another key it is told apart by its images."""
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
    """The scores of one measure: for each method one for each of its seeds, or () where it was not measured.

    `rising`: whether more is better. `repeated` names methods that are the same networks as one before them, which
    stand in the column, but in no test.
    """

    scores: tuple[tuple[Score, ...], ...]
    rising: bool = True
    repeated: frozenset[int] = frozenset()

    @functools.cached_property
    def usual_key(self) -> str:
        """The comparison key that most methods have."""
        return _most_common(scores[0].comparison_key for scores in self.scores if scores)

    @functools.cached_property
    def usual_precision(self) -> str:
        """The precision that most methods were evaluated in."""
        return _most_common(scores[0].precision for scores in self.scores if scores)

    def is_usual(self, index: int) -> bool:
        """Whether a method's score may be compared with most others of the column."""
        return bool(self.scores[index]) and self.scores[index][0].comparison_key == self.usual_key

    def estimate(self, index: int) -> Estimate | None:
        """A method's number with its interval: for the images drawn, or over seeds where there are several."""
        scores = self.scores[index]
        if len(scores) > 1:
            return over_seeds([score.value for score in scores]).estimate
        return scores[0].estimate if scores else None

    @functools.cached_property
    def best(self) -> int | None:
        """The method that beats every other that it can be compared with; None where no test bears that out.

        The test is paired, on the same images, or on the same seeds where there are several; Holm's method corrects
        for how many there are.
        """
        ranked = self.ranked
        if len(ranked) < 2:
            return None
        tests = [_p_value(self.scores[ranked[0]], self.scores[other]) for other in ranked[1:]]
        return ranked[0] if all(p < SIGNIFICANT for p in holm(tests)) else None

    @functools.cached_property
    def ranked(self) -> tuple[int, ...]:
        """The methods that may be compared, the best first."""
        known = [index for index in range(len(self.scores)) if self.is_usual(index) and index not in self.repeated]
        return tuple(sorted(known, key=lambda index: _mean(self.scores[index]), reverse=self.rising))


def choose(options: Sequence[Options[Chosen]]) -> list[Chosen | None]:
    """Choose of each method's options that which most methods have; else its own with the most images."""
    have = Counter(key for own in options for key in own)
    most = {key: max(own[key][0] for own in options if key in own) for key in have}
    ranks = {key: (have[key], most[key], key) for key in have}
    return [max(own.items(), key=lambda entry: ranks[entry[0]])[1][1] if own else None for own in options]


def options_of_all(
    method: Method, options: Callable[[EvaluatedModel], Options[Chosen]]
) -> dict[str, tuple[int, tuple[Chosen, ...]]]:
    """What every member of a method has to choose from: one of each member."""
    each = [options(member) for member in method.members]
    shared = [key for key in each[0] if all(key in other for other in each)]
    return {key: (each[0][key][0], tuple(own[key][1] for own in each)) for key in shared}


def same_seeds(scores: Sequence[Seeded], others: Sequence[Seeded]) -> list[tuple[Seeded, Seeded]]:
    """What two methods have of the same seeds, in pairs; of two of one seed each, these, whatever seeds they are."""
    if len(scores) == len(others) == 1:
        return [(scores[0], others[0])]
    by_seed = {other.seed: other for other in others}
    return [(score, by_seed[score.seed]) for score in scores if score.seed in by_seed]


def _most_common(texts: Iterable[str]) -> str:
    return next((text for text, _ in Counter(texts).most_common(1)), "")


def _mean(scores: Sequence[Score]) -> float:
    return float(np.mean([score.value for score in scores]))


def _p_value(scores: Sequence[Score], others: Sequence[Score]) -> float:
    """The p value that both are equal; 1 where that cannot be tested."""
    pairs = same_seeds(scores, others)
    if len(pairs) > 1:
        return paired_mean_test(*np.array([[score.value, other.value] for score, other in pairs]).T)
    if not pairs:
        return 1.0
    of_images, of_others = pairs[0][0].per_image, pairs[0][1].per_image
    if of_images is None or of_others is None or of_images.shape != of_others.shape:
        return 1.0
    if of_images.dtype == of_others.dtype == bool:
        return mcnemar(of_images, of_others)
    return paired_mean_test(of_images.astype(np.float64), of_others.astype(np.float64))
