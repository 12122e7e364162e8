"""Estimate by simulation how often our 95 % intervals cover the truth.

    python benchmarks/coverage.py [--simulations 5000] [--seed 0]

Every simulation draws images from a distribution whose accuracy is known, and checks whether the interval computed from
these images covers it. The difficulty of an image is the same for its clean and corrupted versions and for both models,
so that pairs are dependent. Prints the fraction that covered the truth, with its interval.

Bootstrap intervals are those of rows, always with the same resampling (seed 0), which alone changes their coverage by
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
from doublevit.statistics import class_averages


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the simulation."""

    simulations: int = 5000
    """Simulations of each interval."""
    seed: int = 0
    """Seed of the simulated images."""


Case = Callable[[np.random.Generator, int], bool]
"""(random generator, number of images) -> whether the interval of one simulation covers the truth."""
CLEAN = 1.2
CELLS = np.array([0.9, 0.3, -0.2, 0.7, 0.2, -0.3])
OTHER_CLEAN = 1.0
OTHER_CELLS = CELLS - 0.25
CLASS_FRACTIONS, RECALLS = np.array([0.3, 0.25, 0.2, 0.15, 0.1]), np.array([0.9, 0.85, 0.8, 0.6, 0.5])
NAMES = ("snow", "snow", "snow", "fog", "fog", "fog")


def truth(skill: float | np.ndarray) -> np.ndarray:
    """Return the accuracy of a model that recognizes images with difficulty + luck < `skill`, both standard normal."""
    return np.asarray(norm.cdf(skill / np.sqrt(2)))


def recognized(random: np.random.Generator, count: int, *skills: float) -> np.ndarray:
    """Return whether each of `count` images is recognized at each skill, bool (skills, count)."""
    return random.normal(size=count) + random.normal(size=(len(skills), count)) < np.array(skills)[:, None]


def change(clean: float, cells: np.ndarray) -> float:
    """Return the true relative change from clean accuracy to the mean over cells."""
    return float(truth(cells).mean() / truth(clean) - 1)


def wilson(random: np.random.Generator, count: int) -> bool:
    """Simulate a random proportion, since coverage at a single one depends on it in jumps."""
    proportion = random.uniform()
    low, high = statistics.wilson_interval(int(random.binomial(count, proportion)), count)
    return low <= proportion <= high


def covers(estimate: statistics.Estimate | statistics.Spread, true: float) -> bool:
    """Return whether the interval covers the truth."""
    return estimate.low <= true <= estimate.high


def paired_difference(random: np.random.Generator, count: int) -> bool:
    """Simulate two models on the same images."""
    first, second = recognized(random, count, CLEAN, OTHER_CLEAN)
    return covers(statistics.paired_difference(first, second), float(truth(CLEAN) - truth(OTHER_CLEAN)))


def paired_bootstrap(random: np.random.Generator, count: int) -> bool:
    """Simulate the mean accuracies of two models over six corruptions."""
    first, second = np.split(recognized(random, count, *CELLS, *OTHER_CELLS), 2)
    estimate = statistics.paired_bootstrap(first.mean(axis=0), second.mean(axis=0))
    return covers(estimate, float((truth(CELLS) - truth(OTHER_CELLS)).mean()))


def mean_accuracy(random: np.random.Generator, count: int) -> bool:
    """Simulate the mean accuracy over six cells."""
    return covers(statistics.mean_accuracy(recognized(random, count, *CELLS)), float(truth(CELLS).mean()))


def relative_change(random: np.random.Generator, count: int) -> bool:
    """Simulate the change on corrupted versions of the clean images."""
    clean, *cells = recognized(random, count, CLEAN, *CELLS)
    return covers(statistics.relative_change(clean, np.stack(cells)), change(CLEAN, CELLS))


def unmatched_change(random: np.random.Generator, count: int) -> bool:
    """Simulate the change on corrupted versions of other images."""
    clean, cells = recognized(random, 2 * count, CLEAN)[0], recognized(random, count, *CELLS)
    return covers(statistics.relative_change(clean, cells, matched=False), change(CLEAN, CELLS))


def change_difference(random: np.random.Generator, count: int) -> bool:
    """Simulate the changes of two models on the same images."""
    drawn = recognized(random, count, CLEAN, *CELLS, OTHER_CLEAN, *OTHER_CELLS)
    first, second = ((half[0], half[1:]) for half in np.split(drawn, 2))
    true = change(CLEAN, CELLS) - change(OTHER_CLEAN, OTHER_CELLS)
    return covers(statistics.change_difference(first, second)[0], true)


def relative_error(random: np.random.Generator, count: int) -> bool:
    """Simulate the relative error over two corruptions at three severities."""
    cells, others = np.split(recognized(random, count, *CELLS, *OTHER_CELLS), 2)
    errors, reference = (1 - truth(skills).reshape(2, 3) for skills in (CELLS, OTHER_CELLS))
    true = float((errors.sum(axis=1) / reference.sum(axis=1)).mean())
    return covers(statistics.mean_corruption_error(cells, others, NAMES), true)


def of_classes(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels and predictions of five classes, 30 to 10 % of the images, and the joint distribution (5, 5)."""
    joint = np.diag(CLASS_FRACTIONS * RECALLS)
    joint += (CLASS_FRACTIONS * (1 - RECALLS))[:, None] * (1 - np.eye(5)) / 4
    drawn = random.choice(25, count, p=joint.ravel())
    return drawn // 5, drawn % 5, joint


def balanced_accuracy(random: np.random.Generator, count: int) -> bool:
    """Simulate the mean recall over classes."""
    labels, predicted, _ = of_classes(random, count)
    return covers(class_averages.balanced_accuracy(labels, predicted), float(RECALLS.mean()))


def macro_f1(random: np.random.Generator, count: int) -> bool:
    """Simulate the mean F1 over classes."""
    labels, predicted, joint = of_classes(random, count)
    f1 = 2 * np.diag(joint) / (joint.sum(axis=0) + joint.sum(axis=1))
    return covers(class_averages.macro_f1(labels, predicted), float(f1.mean()))


def over_seeds(random: np.random.Generator, count: int) -> bool:
    """Simulate trainings whose accuracy is normally distributed."""
    return covers(statistics.over_seeds(random.normal(0.8, 0.01, count).tolist()), 0.8)


CASES: tuple[tuple[Case, int], ...] = (
    *((wilson, count) for count in (20, 100, 1000)),
    *((paired_difference, count) for count in (50, 300, 2000)),
    *((paired_bootstrap, count) for count in (150, 600)),
    *((mean_accuracy, count) for count in (150, 600)),
    *((relative_change, count) for count in (150, 600)),
    *((unmatched_change, count) for count in (150, 600)),
    *((change_difference, count) for count in (150, 600)),
    *((relative_error, count) for count in (150, 600)),
    *((balanced_accuracy, count) for count in (150, 600)),
    *((macro_f1, count) for count in (150, 600)),
    *((over_seeds, count) for count in (2, 3, 5)),
)


def coverage(case: Case, count: int, simulations: int, seed: int) -> int:
    """Return in how many simulations the interval covers the truth."""
    random = np.random.default_rng(seed)
    return sum(case(random, count) for _ in range(simulations))


def main(options: Options) -> None:
    """Simulate all intervals and print a table."""
    table = Table("interval", "images or seeds", "covers the truth", "95 % interval", title="Coverage at nominal 95 %")
    for column in table.columns[1:]:
        column.justify = "right"
    with progress.bar("coverage", len(CASES), "intervals") as bar:
        for case, count in CASES:
            covered = coverage(case, count, options.simulations, options.seed)
            low, high = statistics.wilson_interval(covered, options.simulations)
            name = case.__name__.replace("_", " ")
            table.add_row(name, f"{count:,}", f"{covered / options.simulations:.1%}", f"{low:.1%} to {high:.1%}")
            bar.advance(1)
    Console().print(table)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
