"""Combined p-values by hand, beside scipy, and by simulation."""

from fractions import Fraction
from math import comb, factorial

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings, strategies as st

from nn_clustering.errors import InvalidInputError
from nn_clustering.significance import (
    bates_combination,
    chi_square_of_ranks,
    fisher_combination,
    fisher_statistic,
    fisher_statistic_by_chance,
    stouffer_combination,
)

OF_RANKS = (fisher_combination, stouffer_combination, fisher_statistic, chi_square_of_ranks)


def test_fisher_by_hand():
    """p of 1/20 and 3/20 with 19 null values: shifted by 1/40 to 1/40 and 5/40.

    The statistic is -2 (ln 0.025 + ln 0.125) = 11.5367, and chi-square with 4 degrees of freedom
    is above x with probability exp(-x/2) (1 + x/2).
    """
    half = -np.log(0.025) - np.log(0.125)
    expected = np.exp(-half) * (1 + half)
    assert fisher_combination([0.05, 0.15], 19) == pytest.approx(expected, rel=1e-12)
    assert 2 * half == pytest.approx(11.5367, abs=1e-4)
    assert fisher_statistic([0.05, 0.15], 19) == pytest.approx(half / 2, rel=1e-12)


def test_stouffer_by_hand():
    """Shifted p of 1/40 and 5/40 have normal scores 1.95996 and 1.15035; sum / sqrt 2 = 2.19931."""
    expected = scipy.stats.norm.sf((1.959964 + 1.150349) / np.sqrt(2))
    assert stouffer_combination([0.05, 0.15], 19) == pytest.approx(expected, rel=1e-5)
    # the middle: as many small as large ones
    assert stouffer_combination([0.05, 1.0], 19) == pytest.approx(0.5)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.data())
def test_beside_scipy(n_null, data):
    ranks = data.draw(st.lists(st.integers(1, n_null + 1), min_size=1, max_size=40))
    p_values = np.array(ranks) / (n_null + 1)
    shifted = (np.array(ranks) - 0.5) / (n_null + 1)
    for method, combine in (("fisher", fisher_combination), ("stouffer", stouffer_combination)):
        expected = scipy.stats.combine_pvalues(shifted, method).pvalue
        assert combine(p_values, n_null) == pytest.approx(expected, rel=1e-9)
    by_chi2 = scipy.stats.chi2.sf(-2 * np.log(shifted).sum(), 2 * len(ranks))
    assert fisher_combination(p_values, n_null) == pytest.approx(by_chi2, rel=1e-9)
    counts = np.array([ranks.count(rank) for rank in range(1, n_null + 2)])
    even = len(ranks) / (n_null + 1)
    statistic = ((counts - even) ** 2 / even).sum()
    expected = scipy.stats.chi2(n_null).sf(statistic)
    assert chi_square_of_ranks(p_values, n_null) == pytest.approx(expected, rel=1e-9)


def test_of_one_is_the_middle_of_its_rank():
    assert fisher_combination([0.4], 4) == pytest.approx(0.3)
    assert stouffer_combination([0.4], 4) == pytest.approx(0.3)


def test_fisher_statistic_by_chance():
    """As published for 9, 19, 20 and 24 null values; and the mean of random ranks."""
    found = [round(fisher_statistic_by_chance(n_null), 3) for n_null in (9, 19, 20, 24)]
    assert found == [0.966, 0.983, 0.984, 0.986]
    ranks = np.random.default_rng(0).integers(1, 21, 40_000)
    assert fisher_statistic(ranks / 20, 19) == pytest.approx(
        fisher_statistic_by_chance(19), abs=0.015
    )


def test_chi_square_by_hand():
    """Ranks 0, 0, 0, 1 of one null value: 2 expected of each, (1 + 1) / 2 = 1, 1 free."""
    expected = scipy.stats.chi2(1).sf(1)
    assert chi_square_of_ranks([0.5, 0.5, 0.5, 1.0], 1) == pytest.approx(expected)
    # evenly spread, then all at the one end or at the other
    assert chi_square_of_ranks(np.arange(1, 21) / 20, 19) == 1
    for rank in (1, 20):
        assert chi_square_of_ranks(np.full(60, rank / 20), 19) < 1e-100


@pytest.mark.parametrize(
    ("combine", "n_tests"),
    [(fisher_combination, 10), (stouffer_combination, 120), (chi_square_of_ranks, 120)],
)
def test_calibrated_on_independent_tests(combine, n_tests):
    """Fisher's only of few: -ln p is too small by 0.017 on average of 19 null values."""
    random = np.random.default_rng(1)
    ranks = random.integers(1, 21, (1000, n_tests))
    found = np.array([combine(row / 20, 19) for row in ranks])
    for level in (0.01, 0.05, 0.2, 0.5, 0.8):
        error = np.sqrt(level * (1 - level) / found.size)
        assert (found <= level).mean() == pytest.approx(level, abs=4 * error)


@pytest.mark.parametrize("combine", OF_RANKS)
@pytest.mark.parametrize(
    ("p_values", "n_null", "message"),
    [
        ([], 19, r"shape \(0,\); expected at least one in a row"),
        ([[0.5]], 19, r"shape \(1, 1\); expected at least one in a row"),
        ([0.5, np.nan], 19, "p-value nan among 2; expected each from 1/20 to 1, of 19 null values"),
        ([0.5, 1.1], 19, "p-value 1.1 among 2"),
        ([0.0, 0.5], 19, "p-value 0.0 among 2"),
        ([0.01, 0.5], 19, "p-value 0.01 among 2"),
        ([0.5], 0, "of 0 null values; expected 1 or more"),
    ],
)
def test_refused(combine, p_values, n_null, message):
    with pytest.raises(InvalidInputError, match=message):
        combine(p_values, n_null)


def test_chi_square_refuses_what_is_no_rank():
    with pytest.raises(InvalidInputError, match=r"p-value 0\.06 of 19 null values; expected a m"):
        chi_square_of_ranks([0.05, 0.06], 19)


def test_bates_by_hand():
    assert bates_combination([0.3]) == pytest.approx(0.3)
    # two uniforms: area of the triangle below the sum s, s^2 / 2, and above 1 what is left
    assert bates_combination([0.1, 0.3]) == pytest.approx(0.4**2 / 2)
    assert bates_combination([0.9, 0.8]) == pytest.approx(1 - 0.3**2 / 2)
    # the tip of the cube of five: s^5 / 5!
    assert bates_combination([0.1] * 5) == pytest.approx(0.5**5 / 120)
    assert bates_combination([0.0, 0.0]) == 0
    assert bates_combination([1.0, 1.0, 1.0]) == 1


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_bates_beside_the_sum_in_floating_point(p_values):
    """The definition, which floating point can still add for so few; and symmetry."""
    n, total = len(p_values), sum(p_values)
    terms = [(-1) ** k * comb(n, k) * (total - k) ** n for k in range(int(total) + 1)]
    found = bates_combination(p_values)
    assert found == pytest.approx(sum(terms) / factorial(n), abs=1e-6)
    mirrored = bates_combination([1 - p for p in p_values])
    assert found + mirrored == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("n", [30, 100, 400])
def test_bates_of_many(n):
    """Where the sum in floating point has no correct digit: beside a normal, and its skewness."""
    for z in (-3.0, -1.0, 0.0, 0.5, 2.0):
        mean = 0.5 + z / np.sqrt(12 * n)
        # Edgeworth: the fourth cumulant of a uniform number is -1/120, over a variance of 1/12
        excess = -1.2 / n
        expected = scipy.stats.norm.cdf(z) - scipy.stats.norm.pdf(z) * excess * (z**3 - 3 * z) / 24
        assert bates_combination(np.full(n, mean)) == pytest.approx(expected, abs=2e-5)


def test_bates_far_out_is_exact():
    """Half of a hundredth each: the tip of the cube, of volume s^n / n!, as a fraction."""
    total = 50 * Fraction(0.005)
    assert bates_combination([0.005] * 50) == pytest.approx(
        float(total**50 / factorial(50)), rel=1e-12
    )


def test_bates_is_calibrated():
    p_values = np.random.default_rng(0).uniform(size=(2000, 5))
    found = np.array([bates_combination(row) for row in p_values])
    assert scipy.stats.kstest(found, "uniform").pvalue > 0.01


@pytest.mark.parametrize("p_values", [[], [[0.1]], [0.5, np.nan], [-0.1], [1.1]])
def test_bates_refuses(p_values):
    with pytest.raises(InvalidInputError, match=r"expected .*each from 0 to 1"):
        bates_combination(p_values)
