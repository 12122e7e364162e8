"""Statistics of accuracies: confidence intervals, paired tests, the bootstrap, and spread over seeds."""

from doublevit.statistics.proportions import (
    Estimate,
    Spread,
    holm,
    independent_difference,
    mcnemar,
    over_seeds,
    paired_difference,
    wilson_interval,
)
from doublevit.statistics.resampling import RESAMPLES, Statistic, bootstrap, paired_bootstrap
from doublevit.statistics.robustness import (
    change_difference,
    mean_accuracy,
    mean_corruption_error,
    paired_mean_test,
    relative_change,
)

__all__ = [
    "RESAMPLES",
    "Estimate",
    "Spread",
    "Statistic",
    "bootstrap",
    "change_difference",
    "holm",
    "independent_difference",
    "mcnemar",
    "mean_accuracy",
    "mean_corruption_error",
    "over_seeds",
    "paired_bootstrap",
    "paired_difference",
    "paired_mean_test",
    "relative_change",
    "wilson_interval",
]
