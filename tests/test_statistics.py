"""Statistics of pairs against statsmodels, scipy, published examples and simulation."""

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.contingency_tables import mcnemar as reference
from statsmodels.stats.weightstats import DescrStatsW

from doublevit.statistics import Estimate, holm, mcnemar, paired_difference


def pair(both: int, won: int, lost: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Hits of two classifiers, `won` of them by the first alone, in a drawn order."""
    first = np.repeat([True, True, False, False], [both, won, lost, neither])
    second = np.repeat([True, False, True, False], [both, won, lost, neither])
    order = np.random.default_rng(0).permutation(len(first))
    return first[order], second[order]


@pytest.mark.parametrize(("won", "lost"), [(1, 7), (5, 5), (0, 6), (24, 0), (12, 12)])
def test_few_disagreements_are_tested_as_a_coin_is(won, lost):
    expected = scipy.stats.binomtest(won, won + lost, 0.5).pvalue
    assert mcnemar(*pair(50, won, lost, 20)) == pytest.approx(expected)


@pytest.mark.parametrize(("won", "lost"), [(25, 0), (15, 12), (40, 60), (210, 150)])
def test_many_disagreements_are_tested_by_chi_square_with_continuity_correction(won, lost):
    by_hand = scipy.stats.chi2.sf((abs(won - lost) - 1) ** 2 / (won + lost), 1)
    found = mcnemar(*pair(500, won, lost, 100))
    assert found == pytest.approx(by_hand)
    assert found == pytest.approx(reference([[500, won], [lost, 100]], exact=False, correction=True).pvalue)
    assert found != pytest.approx(scipy.stats.binomtest(won, won + lost, 0.5).pvalue, rel=1e-6)


def test_p_value_does_not_depend_on_who_comes_first():
    first, second = pair(30, 4, 11, 6)
    assert mcnemar(first, second) == mcnemar(second, first) < 0.2


def test_same_hits_differ_by_nothing_within_an_interval_that_has_a_width():
    hits = pair(70, 0, 0, 30)[0]
    assert mcnemar(hits, hits) == 1
    estimate = paired_difference(hits, hits)
    assert estimate.value == 0
    assert estimate.low == pytest.approx(-estimate.high) == pytest.approx(-1.959964 * np.sqrt(2 / 102) / np.sqrt(102))


def test_difference_of_the_published_example():
    """R's statpsych documents ci.prop.ps(.05, 12, 4, 26, 6): 0.2548067 to 0.6251933."""
    estimate = paired_difference(*pair(6, 26, 4, 12))
    assert estimate.value == pytest.approx(22 / 48)
    assert (estimate.low, estimate.high) == pytest.approx((0.2548067, 0.6251933), abs=1e-6)


def test_difference_of_many_photos_is_the_normal_interval_of_the_gaps():
    first, second = pair(7000, 640, 560, 1800)
    estimate = paired_difference(first, second)
    low, high = DescrStatsW(first.astype(float) - second).zconfint_mean()
    assert estimate.value == pytest.approx(first.mean() - second.mean())
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=2e-5)


@pytest.mark.parametrize("count", [1, 5])
def test_difference_stays_within_its_bounds(count):
    ones, zeros = np.ones(count, bool), np.zeros(count, bool)
    up, down = paired_difference(ones, zeros), paired_difference(zeros, ones)
    assert (up.value, down.value) == (1, -1)
    assert -1 <= up.low < up.high <= 1
    assert (down.low, down.high) == pytest.approx((-up.high, -up.low))


@pytest.mark.parametrize(
    ("count", "both", "won", "lost"),
    [(60, 0.5, 0.2, 0.1), (100, 0.6, 0.1, 0.08), (300, 0.8, 0.05, 0.03), (2000, 0.75, 0.04, 0.06)],
)
def test_intervals_hold_the_truth_95_times_of_100(count, both, won, lost):
    random, held, rounds = np.random.default_rng(0), 0, 3000
    for row in random.choice(4, size=(rounds, count), p=[both, won, lost, 1 - both - won - lost]):
        estimate = paired_difference(row < 2, (row == 0) | (row == 2))
        held += estimate.low <= won - lost <= estimate.high
    assert 0.93 <= held / rounds <= 0.97


def test_holm_by_hand():
    """Sorted, times how many are left, never falling: 0.01 x 4, 0.02 x 3, 0.03 x 2 (raised to 0.06), 0.5 x 1."""
    assert holm([0.03, 0.5, 0.01, 0.02]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([]) == []


def test_other_samples_are_refused():
    with pytest.raises(ValueError, match="same samples"):
        mcnemar(np.ones(3, bool), np.ones(4, bool))
    with pytest.raises(ValueError, match="same samples"):
        paired_difference(np.ones(0, bool), np.ones(0, bool))
    assert isinstance(paired_difference(np.ones(3, bool), np.ones(3, bool)), Estimate)


def test_mcnemar_rises_as_the_difference_vanishes():
    """Where statsmodels would correct beyond no difference at all."""
    p_values = [mcnemar(*hits_with(won, 100 - won)) for won in (35, 40, 45, 48, 49, 50)]
    assert p_values == sorted(p_values)
    assert p_values[-1] == 1.0


def hits_with(won, lost):
    """Two classifiers of which one alone knows so many samples, and the other so many."""
    return np.repeat([True, False], [won, lost]), np.repeat([False, True], [won, lost])
