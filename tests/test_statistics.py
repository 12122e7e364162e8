"""Statistics against statsmodels, scipy, published examples, drawings by hand and simulation."""

import dataclasses
import runpy
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.contingency_tables import mcnemar as reference
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from doublevit.statistics import (
    Estimate,
    bootstrap,
    change_difference,
    holm,
    mcnemar,
    mean_accuracy,
    mean_corruption_error,
    over_seeds,
    paired_bootstrap,
    paired_difference,
    paired_mean_test,
    relative_change,
    resampling,
    wilson_interval,
)

SIMULATIONS = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "coverage.py"))


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


@pytest.mark.parametrize("count", [1, 2, 10, 24, 100, 999, 10_000, 10**7])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
def test_wilsons_interval_is_that_of_statsmodels(count, confidence):
    for correct in sorted({0, 1, count // 3, count // 2, count - 1, count}):
        expected = proportion_confint(correct, count, alpha=1 - confidence, method="wilson")
        assert wilson_interval(correct, count, confidence) == pytest.approx(expected, rel=0, abs=1e-12)


def test_mcnemars_test_is_that_of_statsmodels():
    for won in range(0, 60, 3):
        for lost in set(range(0, 60, 4)) - {won}:
            table, exact = [[0, won], [lost, 0]], won + lost < 25
            expected = reference(table, exact=exact, correction=True).pvalue
            assert mcnemar(*hits_with(won, lost)) == pytest.approx(expected, rel=1e-12, abs=1e-300)


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


def test_difference_of_many_images_is_the_normal_interval_of_the_gaps():
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


def drawn_means(group: np.ndarray, number: int = 0, seed: int = 0) -> np.ndarray:
    """Means of measures in a thousand drawings, one after the other, in float64 (1000, measures)."""
    random, count = np.random.default_rng([seed, number]), group.shape[1]
    return np.array([group[:, random.integers(count, size=count)].mean(axis=1) for _ in range(1000)])


def interval(drawn: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def bounds(estimate: Estimate) -> tuple[float, float]:
    return estimate.low, estimate.high


def images(count: int, *skills: float, seed: int = 0) -> np.ndarray:
    """Hits at several skills on the same images, which are easy or hard for all of them; bool (skills, count)."""
    return SIMULATIONS["recognized"](np.random.default_rng(seed), count, *skills)


def scores(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Of each image, the share of six corruptions that two models recognize; the second is a little worse."""
    first, second = np.split(images(count, *[0.5] * 6, *[0.4] * 6, seed=seed), 2)
    return first.mean(axis=0), second.mean(axis=0)


@pytest.mark.parametrize(("count", "at_once"), [(7, 5), (7, 1 << 16), (3000, 1 << 16)])
def test_drawings_do_not_depend_on_how_many_are_made_at_once(count, at_once, monkeypatch):
    """Every row that was ever written was drawn one by one."""
    monkeypatch.setattr(resampling, "SAMPLES_AT_ONCE", at_once)
    group = images(count, 0.8, 0.1)
    found = bootstrap([group, group[:1]], lambda means: means[:, 0] - 2 * means[:, 2])
    expected = drawn_means(group)[:, 0] - 2 * drawn_means(group[:1], number=1)[:, 0]
    assert bounds(found) == pytest.approx(interval(expected), abs=1e-6)


def test_paired_bootstrap_is_the_percentile_interval_of_the_gaps():
    first, second = scores(400)
    found = paired_bootstrap(first, second, seed=3)
    assert found.value == pytest.approx(first.mean() - second.mean())
    assert bounds(found) == pytest.approx(interval(drawn_means((first - second)[None], seed=3)), abs=1e-6)
    assert bounds(found) != bounds(paired_bootstrap(first, second, seed=4))


def test_paired_bootstrap_against_scipy():
    first, second = scores(400)
    found = paired_bootstrap(first, second)
    both = {
        paired: scipy.stats.bootstrap(
            (first, second),
            lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
            paired=paired,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
        for paired in (True, False)
    }
    width = both[True].high - both[True].low
    assert bounds(found) == pytest.approx((both[True].low, both[True].high), abs=0.08 * width)
    assert both[False].high - both[False].low > 1.3 * (found.high - found.low)


def test_paired_bootstrap_of_right_and_wrong_is_that_of_ones_and_noughts():
    first, second = images(500, 0.8, 0.6)
    found = paired_bootstrap(first, second)
    assert found == paired_bootstrap(first.astype(float), second.astype(np.float32))
    closed = paired_difference(first, second)
    assert found.value == pytest.approx(closed.value)
    assert bounds(found) == pytest.approx(bounds(closed), abs=0.006)


def test_seeds_by_hand():
    """Of 1, 2, 3: deviation 1; Student's 97.5 % quantile with two degrees of freedom is 4.302653."""
    spread = over_seeds([1, 2, 3])
    assert (spread.mean, spread.standard_deviation, spread.count) == (2, 1, 3)
    assert (spread.low, spread.high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))


def test_seeds_against_scipy():
    values = np.random.default_rng(0).normal(0.8, 0.01, 5)
    spread = over_seeds(values)
    expected = scipy.stats.t.interval(0.95, 4, values.mean(), scipy.stats.sem(values))
    assert (spread.low, spread.high) == pytest.approx(expected)
    assert spread.standard_deviation == pytest.approx(scipy.stats.tstd(values))


def test_seeds_that_agree_and_seeds_that_are_too_few():
    assert dataclasses.astuple(over_seeds([0.5, 0.5])) == (0.5, 0, 0.5, 0.5, 2)
    for values in ([], [0.5]):
        with pytest.raises(ValueError, match=f"at least two seeds, found {len(values)}"):
            over_seeds(values)


CLEAN = np.array([1, 1, 1, 1, 0], bool)
FIRST = np.array([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], bool)
SECOND = np.array([[1, 1, 0, 0, 0], [0, 1, 0, 1, 0]], bool)


def test_means_and_changes_by_hand():
    """3/5 and 1/5 are 2/5 on average, half of 4/5; 2/5 and 2/5 are as much; of 2/5 it is no change."""
    assert mean_accuracy(FIRST).value == pytest.approx(0.4)
    assert relative_change(CLEAN, FIRST).value == pytest.approx(-0.5)
    assert relative_change(CLEAN, FIRST, matched=False).value == pytest.approx(-0.5)
    assert change_difference((CLEAN, FIRST), (SECOND[0], SECOND))[0].value == pytest.approx(-0.5 - 0)


def test_mean_accuracy_against_the_normal_interval_of_images():
    cells = images(2000, 0.9, 0.3, -0.2)
    low, high = DescrStatsW(cells.mean(axis=0)).zconfint_mean()
    assert bounds(mean_accuracy(cells)) == pytest.approx((low, high), abs=0.002)
    assert bounds(mean_accuracy(cells)) == pytest.approx(interval(drawn_means(cells).mean(axis=1)), abs=1e-6)
    apart = drawn_means(cells, number=1).mean(axis=1)
    assert bounds(mean_accuracy(cells, matched=False)) == pytest.approx(interval(apart), abs=1e-6)


def test_relative_change_draws_the_same_images_together_and_others_apart():
    clean, *rest = images(300, 1.2, 0.3, -0.2)
    cells = np.stack(rest)
    together = drawn_means(np.stack([clean, *rest]))
    matched = relative_change(clean, cells)
    assert bounds(matched) == pytest.approx(interval(together[:, 1:].mean(axis=1) / together[:, 0] - 1), abs=1e-6)
    other = clean[:200]
    ratios = drawn_means(cells, number=1).mean(axis=1) / drawn_means(other[None])[:, 0]
    unmatched = relative_change(other, cells, matched=False)
    assert bounds(unmatched) == pytest.approx(interval(ratios - 1), abs=1e-6)
    assert unmatched.value == pytest.approx(cells.mean() / other.mean() - 1)


def test_relative_change_of_rare_hits_passes_over_drawings_without_any():
    estimate = relative_change(np.arange(8) == 0, np.ones((1, 8), bool))
    assert estimate.value == pytest.approx(7)
    assert np.isfinite([estimate.low, estimate.high]).all()
    with pytest.raises(ValueError, match="recognizes some clean image"):
        relative_change(np.zeros(8, bool), np.ones((1, 8), bool))


def test_relative_error_by_hand():
    """Cells out of order. Snow: 0.4 + 0.8 to 0.6 + 0.6; fog: 0.2 to 0.4."""
    cells, reference = np.insert(FIRST, 1, CLEAN, axis=0), np.insert(SECOND, 1, FIRST[0], axis=0)
    estimate = mean_corruption_error(cells, reference, ("snow", "fog", "snow"))
    assert estimate.value == pytest.approx((1.2 / 1.2 + 0.2 / 0.4) / 2)
    assert mean_corruption_error(cells, reference, ("snow", "fog", "fog")).value == pytest.approx(
        (0.4 / 0.6 + 1 / 1) / 2
    )
    assert mean_corruption_error(cells, cells, ("snow", "fog", "snow")).value == 1


def test_relative_error_draws_both_models_together():
    cells, others = np.split(images(400, 0.9, 0.3, 0.5, 0.8, 0.1, 0.2), 2)
    means = 1 - drawn_means(np.concatenate([cells, others]))
    ratios = ((means[:, 0] + means[:, 2]) / (means[:, 3] + means[:, 5]) + means[:, 1] / means[:, 4]) / 2
    assert bounds(mean_corruption_error(cells, others, ("fog", "snow", "fog"))) == pytest.approx(
        interval(ratios), abs=1e-6
    )


def test_relative_error_where_the_reference_hardly_errs_or_never():
    rare = np.arange(20)[None] > 0
    estimate = mean_corruption_error(np.zeros((1, 20), bool), rare, ("fog",))
    assert (estimate.value, estimate.high) == pytest.approx((20, 40))  # drawings without an error count as half of one
    with pytest.raises(ValueError, match="errors on every corruption"):
        mean_corruption_error(np.zeros((2, 20), bool), np.stack([rare[0], np.ones(20, bool)]), ("fog", "snow"))


def changes(other_skill: float, count: int = 500, seed: int = 0) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Two models' clean hits and cells, the second of another skill on corrupted images."""
    drawn = images(count, 1.0, 0.4, 0.2, 1.0, other_skill + 0.2, other_skill, seed=seed)
    return (drawn[0], drawn[1:3]), (drawn[3], drawn[4:])


@pytest.mark.parametrize("matched", [True, False])
def test_difference_of_changes_is_drawn_from_the_same_images(matched):
    (clean, cells), (other_clean, other_cells) = changes(0.0)
    groups = [np.stack([clean, other_clean]), np.concatenate([cells, other_cells])]
    if matched:
        means = drawn_means(np.concatenate(groups))
    else:
        means = np.concatenate([drawn_means(group, number) for number, group in enumerate(groups)], axis=1)
    drawn = means[:, 2:4].mean(axis=1) / means[:, 0] - means[:, 4:].mean(axis=1) / means[:, 1]
    estimate, p = change_difference((clean, cells), (other_clean, other_cells), matched)
    apart = [relative_change(clean, cells).value, relative_change(other_clean, other_cells).value]
    assert estimate.value == pytest.approx(apart[0] - apart[1])
    assert bounds(estimate) == pytest.approx(interval(drawn), abs=1e-6)
    assert p == pytest.approx(2 * scipy.stats.norm.sf(abs(estimate.value) / drawn.std()))


@pytest.mark.parametrize("other_skill", [0.2, 0.15, 0.1, 0.05])
def test_p_value_of_changes_is_that_of_the_normal_distribution_and_fits_the_interval(other_skill):
    one, other = changes(other_skill, count=2000)
    estimate, p = change_difference(one, other)
    expected = 2 * scipy.stats.norm.sf(abs(estimate.value) / (estimate.high - estimate.low) * 2 * 1.959964)
    assert p == pytest.approx(expected, abs=0.05)
    assert (p < 0.05) == (not estimate.low <= 0 <= estimate.high)
    swapped, p_swapped = change_difference(other, one)
    assert (swapped.low, swapped.high, p_swapped) == pytest.approx((-estimate.high, -estimate.low, p))


def test_changes_that_are_the_same_and_changes_that_never_are():
    one, other = changes(-1.0)
    assert change_difference(one, one) == (Estimate(0, 0, 0), 1.0)
    assert change_difference(one, other)[1] < 1e-12
    with pytest.raises(ValueError, match="same images and cells"):
        change_difference(one, (other[0], other[1][:1]))
    with pytest.raises(ValueError, match="recognizes some clean image"):
        change_difference(one, (other[0] & False, other[1]))


def test_mean_scores_by_hand_and_against_scipy():
    """Gaps 1, 2, 3: mean 2, deviation 1, t = 2 sqrt(3), two degrees of freedom."""
    by_hand = 2 * scipy.stats.t.sf(2 * 3**0.5, 2)
    assert paired_mean_test(np.array([1.0, 3, 5]), np.array([0.0, 1, 2])) == pytest.approx(by_hand)
    first, second = scores(300)
    assert paired_mean_test(first, second) == pytest.approx(scipy.stats.ttest_rel(first, second).pvalue)
    assert paired_mean_test(first, second) < scipy.stats.ttest_ind(first, second).pvalue
    assert paired_mean_test(first, second) == pytest.approx(DescrStatsW(first - second).ttest_mean(0)[1])


def test_mean_scores_that_are_the_same_or_of_too_few_images():
    first, second = scores(10)
    assert paired_mean_test(first, first) == 1
    assert paired_mean_test(first[:1], first[:1]) == 1
    with pytest.raises(ValueError, match="at least two images"):
        paired_mean_test(first[:1], first[:1] + 1)
    with pytest.raises(ValueError, match="same samples"):
        paired_mean_test(first, second[:5])
    with pytest.raises(ValueError, match="same samples"):
        paired_bootstrap(first, second[:5])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "count", "simulations"),
    [
        *(("wilson", count, 1500) for count in (20, 100, 1000)),
        ("paired_difference", 200, 1500),
        *(("over_seeds", count, 1500) for count in (2, 5)),
        *((case, 150, 400) for case in ("paired_bootstrap", "relative_change")),
    ],
)
def test_coverage_in_a_world_whose_truth_is_known(case, count, simulations):
    """As in benchmarks/coverage.py, for a shorter time."""
    held = SIMULATIONS["coverage"](SIMULATIONS[case], count, simulations, seed=0)
    assert 0.93 <= held / simulations <= 0.97


def test_a_difference_without_spread_is_judged_by_its_sign():
    assert paired_mean_test(np.array([0.75, 0.77]), np.array([0.5, 0.52])) == 0.5
    assert paired_mean_test(np.ones(6), np.zeros(6)) == pytest.approx(scipy.stats.binomtest(6, 6).pvalue)


@pytest.mark.parametrize("count", [0, 1, 2, 30])
def test_holm_is_that_of_statsmodels(count):
    from statsmodels.stats.multitest import multipletests

    found = np.random.default_rng(count).beta(0.3, 3, count).round(2)  # some are equal
    expected = multipletests(found, method="holm")[1] if count else []
    assert holm(list(found)) == pytest.approx(list(expected))
