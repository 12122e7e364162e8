"""What right answers on some images say about the truth: intervals, tests of pairs, resampling, several seeds."""

from doublevit.statistics.proportions import (
    FEW,
    Z_95,
    Estimate,
    Spread,
    holm,
    mcnemar,
    over_seeds,
    paired_difference,
    wilson_interval,
)
from doublevit.statistics.resampling import ROUNDS, Statistic, bootstrap, paired_bootstrap
from doublevit.statistics.robustness import (
    change_difference,
    mean_accuracy,
    paired_mean_test,
    relative_change,
    relative_error,
)

__all__ = [
    "FEW",
    "ROUNDS",
    "Z_95",
    "Estimate",
    "Spread",
    "Statistic",
    "bootstrap",
    "change_difference",
    "holm",
    "mcnemar",
    "mean_accuracy",
    "over_seeds",
    "paired_bootstrap",
    "paired_difference",
    "paired_mean_test",
    "relative_change",
    "relative_error",
    "wilson_interval",
]
