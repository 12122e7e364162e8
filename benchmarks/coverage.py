"""How often our 95 % intervals hold the truth, by simulation.

    python benchmarks/coverage.py [--simulations 5000] [--seed 0]

Every simulation draws images anew from a world whose truth is known, and looks whether the interval from these images
holds it. Images are hard or easy, for clean and corrupted pictures and for both models alike, so that pairs are pairs.
Prints the share that held, with the interval that this many simulations leave.

Bootstrap intervals are those that rows have, always of the same drawing (seed 0), which alone moves their coverage by
some tenths of a percent.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from scipy.stats import norm

from doublevit import progress, statistics


@dataclasses.dataclass(frozen=True)
class Options:
    """How long to look."""

    simulations: int = 5000
    """Of each interval."""
    seed: int = 0
    """Of the simulated images."""


Case = Callable[[np.random.Generator, int], bool]
"""One simulation with so many images: whether the interval held the truth."""
CLEAN = 1.2
CELLS = np.array([0.9, 0.3, -0.2, 0.7, 0.2, -0.3])
OTHER_CLEAN = 1.0
OTHER_CELLS = CELLS - 0.25
NAMES = ("snow", "snow", "snow", "fog", "fog", "fog")


def truth(skill: float | np.ndarray) -> np.ndarray:
    """The accuracy of a model that recognizes images whose ease and luck, both normal, stay below its skill."""
    return np.asarray(norm.cdf(skill / np.sqrt(2)))


def hits(random: np.random.Generator, count: int, *skills: float) -> np.ndarray:
    """Whether each of `count` images is recognized at each skill, bool (skills, count); they share the images' ease."""
    return random.normal(size=count) + random.normal(size=(len(skills), count)) < np.array(skills)[:, None]


def change(clean: float, cells: np.ndarray) -> float:
    """The true relative change."""
    return float(truth(cells).mean() / truth(clean) - 1)


def wilson(random: np.random.Generator, count: int) -> bool:
    """Averaged over all proportions: at a single one the coverage jumps up and down with it."""
    share = random.uniform()
    low, high = statistics.wilson_interval(int(random.binomial(count, share)), count)
    return low <= share <= high


def holds(estimate: statistics.Estimate | statistics.Spread, true: float) -> bool:
    """Whether the truth is in the interval."""
    return estimate.low <= true <= estimate.high


def paired_difference(random: np.random.Generator, count: int) -> bool:
    """Two models on the same images."""
    one, other = hits(random, count, CLEAN, OTHER_CLEAN)
    return holds(statistics.paired_difference(one, other), float(truth(CLEAN) - truth(OTHER_CLEAN)))


def paired_bootstrap(random: np.random.Generator, count: int) -> bool:
    """Two models' shares of six corruptions."""
    one, other = np.split(hits(random, count, *CELLS, *OTHER_CELLS), 2)
    estimate = statistics.paired_bootstrap(one.mean(axis=0), other.mean(axis=0))
    return holds(estimate, float((truth(CELLS) - truth(OTHER_CELLS)).mean()))


def mean_accuracy(random: np.random.Generator, count: int) -> bool:
    """Over six cells."""
    return holds(statistics.mean_accuracy(hits(random, count, *CELLS)), float(truth(CELLS).mean()))


def relative_change(random: np.random.Generator, count: int) -> bool:
    """Of the clean images themselves."""
    clean, *cells = hits(random, count, CLEAN, *CELLS)
    return holds(statistics.relative_change(clean, np.stack(cells)), change(CLEAN, CELLS))


def unmatched_change(random: np.random.Generator, count: int) -> bool:
    """Of other images than the clean ones."""
    clean, cells = hits(random, 2 * count, CLEAN)[0], hits(random, count, *CELLS)
    return holds(statistics.relative_change(clean, cells, matched=False), change(CLEAN, CELLS))


def change_difference(random: np.random.Generator, count: int) -> bool:
    """Two models' changes on the same images."""
    drawn = hits(random, count, CLEAN, *CELLS, OTHER_CLEAN, *OTHER_CELLS)
    one, other = ((half[0], half[1:]) for half in np.split(drawn, 2))
    true = change(CLEAN, CELLS) - change(OTHER_CLEAN, OTHER_CELLS)
    return holds(statistics.change_difference(one, other)[0], true)


def relative_error(random: np.random.Generator, count: int) -> bool:
    """Of two corruptions at three severities."""
    cells, others = np.split(hits(random, count, *CELLS, *OTHER_CELLS), 2)
    errors, reference = (1 - truth(skills).reshape(2, 3) for skills in (CELLS, OTHER_CELLS))
    true = float((errors.sum(axis=1) / reference.sum(axis=1)).mean())
    return holds(statistics.mean_corruption_error(cells, others, NAMES), true)


def over_seeds(random: np.random.Generator, count: int) -> bool:
    """Trainings whose accuracy is normal."""
    return holds(statistics.over_seeds(random.normal(0.8, 0.01, count).tolist()), 0.8)


CASES: tuple[tuple[Case, int], ...] = (
    *((wilson, count) for count in (20, 100, 1000)),
    *((paired_difference, count) for count in (50, 300, 2000)),
    *((paired_bootstrap, count) for count in (150, 600)),
    *((mean_accuracy, count) for count in (150, 600)),
    *((relative_change, count) for count in (150, 600)),
    *((unmatched_change, count) for count in (150, 600)),
    *((change_difference, count) for count in (150, 600)),
    *((relative_error, count) for count in (150, 600)),
    *((over_seeds, count) for count in (2, 3, 5)),
)


def coverage(case: Case, count: int, simulations: int, seed: int) -> int:
    """How many of the simulations held the truth."""
    random = np.random.default_rng(seed)
    return sum(case(random, count) for _ in range(simulations))


def main(options: Options) -> None:
    """Simulate all and print it."""
    table = Table("interval", "of images or seeds", "held the truth", "known to", title="Coverage at nominal 95 %")
    for column in table.columns[1:]:
        column.justify = "right"
    with progress.bar("coverage", len(CASES), "intervals") as bar:
        for case, count in CASES:
            held = coverage(case, count, options.simulations, options.seed)
            low, high = statistics.wilson_interval(held, options.simulations)
            name = case.__name__.replace("_", " ")
            table.add_row(name, f"{count:,}", f"{held / options.simulations:.1%}", f"{low:.1%} to {high:.1%}")
            bar.advance(1)
    Console().print(table)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
