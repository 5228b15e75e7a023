"""p-values by hand and by enumeration; Cohen's d by hand and beside others."""

from collections import Counter
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, strategies as st

from nn_clustering.errors import InvalidInputError
from nn_clustering.significance import (
    cohens_d,
    p_in_words,
    p_value,
    sequential_p_value,
)

NULL = [1.0, 2.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("observed", "tail", "with_ties", "without_ties"),
    [
        (2.0, "left", 4 / 5, 2 / 5),  # 1 is below, two are equal
        (2.0, "right", 4 / 5, 2 / 5),  # 3 is above, two are equal
        (0.0, "left", 1 / 5, 1 / 5),
        (0.0, "right", 1, 1),
        (1.0, "left", 2 / 5, 1 / 5),
        (2.5, "left", 4 / 5, 4 / 5),
        (2.5, "right", 2 / 5, 2 / 5),
        (3.0, "right", 2 / 5, 1 / 5),
        (9.0, "left", 1, 1),
        (np.inf, "right", 1 / 5, 1 / 5),
    ],
)
def test_by_hand(observed, tail, with_ties, without_ties):
    assert p_value(observed, NULL, tail=tail) == with_ties
    assert p_value(observed, NULL, tail=tail, count_ties=False) == without_ties


@given(st.lists(st.floats(-5, 5), unique=True, min_size=2, max_size=30), st.booleans())
def test_exactly_uniform_under_the_null(values, left):
    """Of n + 1 exchangeable values each is the observed one as likely as any other."""
    tail = "left" if left else "right"
    found = [
        p_value(value, values[:index] + values[index + 1 :], tail=tail)
        for index, value in enumerate(values)
    ]
    assert sorted(found) == [rank / len(values) for rank in range(1, len(values) + 1)]


@given(st.lists(st.integers(0, 3), min_size=2, max_size=25), st.booleans())
def test_valid_with_ties(values, left):
    """No level is exceeded more often than it says."""
    tail = "left" if left else "right"
    found = np.array(
        [
            p_value(value, values[:index] + values[index + 1 :], tail=tail)
            for index, value in enumerate(values)
        ]
    )
    for rank in range(1, len(values) + 1):
        level = rank / len(values)
        assert (found <= level).mean() <= level + 1e-12


@given(st.floats(-5, 5), st.lists(st.floats(-5, 5), min_size=1), st.booleans())
def test_tails_mirror_each_other(observed, null, count_ties):
    mirrored = [-value for value in null]
    left = p_value(observed, null, tail="left", count_ties=count_ties)
    assert left == p_value(-observed, mirrored, tail="right", count_ties=count_ties)


@pytest.mark.parametrize(
    ("observed", "null", "tail", "message"),
    [
        (1.0, [], "left", "against 0 null values: expected at least one"),
        (1.0, [1.0, np.nan], "left", "no NaN"),
        (np.nan, [1.0], "left", "p-value of nan"),
        (1.0, [1.0], "both", "tail='both'; expected left or right"),
    ],
)
def test_refused(observed, null, tail, message):
    with pytest.raises(InvalidInputError, match=message):
        p_value(observed, null, tail=tail)


@pytest.mark.parametrize(
    ("null", "stop_at", "expected"),
    [
        ([1.0], 1, 1),  # the very first is extreme: 1 of 1
        ([5, 1.0], 1, 1 / 2),
        ([5, 2, 7, 1.0], 2, 2 / 4),  # 2 is a tie
        ([5, 7, 1, 9], 2, 2 / 5),  # did not end early: (1 + 1) / (4 + 1)
        ([5, 7, 8], 1, 1 / 4),
    ],
)
def test_sequential_by_hand(null, stop_at, expected):
    assert sequential_p_value(2.0, null, stop_at=stop_at, tail="left") == expected
    mirrored = [-value for value in null]
    assert sequential_p_value(-2.0, mirrored, stop_at=stop_at, tail="right") == expected


@pytest.mark.parametrize("null", [[1.0, 5.0], [1.0, 1.0], [1.0, 5.0, 1.0]])
def test_sequential_refuses_values_after_the_last(null):
    with pytest.raises(InvalidInputError, match="expected none after number 1 of these"):
        sequential_p_value(2.0, null, stop_at=1, tail="left")


@pytest.mark.parametrize(("stop_at", "n_planned"), [(1, 5), (2, 5), (3, 5), (5, 5)])
def test_sequential_is_exact_under_the_null(stop_at, n_planned):
    """Over all orders of 6 exchangeable values, P(p <= a) is a for every a that p can have."""
    found = [drawn_until(values, stop_at) for values in permutations(range(n_planned + 1))]
    counts = Counter(found)
    below = 0
    for value in sorted(counts):
        below += counts[value]
        assert value == Fraction(below, len(found))


def drawn_until(values, stop_at):
    """The p-value of the first value against the others, drawn one by one."""
    observed, *null = values
    extreme = np.cumsum(np.array(null) <= observed)
    drawn = int(np.searchsorted(extreme, stop_at)) + 1  # all where there are not enough
    p = sequential_p_value(observed, null[:drawn], stop_at=stop_at, tail="left")
    return Fraction(p).limit_denominator(100)


def test_sequential_is_calibrated():
    """Many tests of statistics that are drawn like their null values, ties included."""
    random = np.random.default_rng(0)
    values = random.integers(0, 40, size=(4000, 100))
    found = np.array([float(drawn_until(row, 5)) for row in values])
    for level in (0.02, 0.05, 0.1, 0.3, 0.5):
        # three standard errors above the level
        assert (found <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / 4000)
    assert (found <= 0.1).mean() > 0.07  # nor is it without power


def test_cohens_d_by_hand():
    """Means 2 and 5, squared deviations 1 + 0 + 1 and 4 + 0 + 4: variance 10 / (3 + 3 - 2)."""
    assert cohens_d([1, 2, 3], [3, 5, 7]) == pytest.approx(-3 / np.sqrt(10 / 4))
    # samples of different sizes: variance (0.5 + 8) / (2 + 3 - 2)
    assert cohens_d([1, 2], [3, 5, 7]) == pytest.approx(-3.5 / np.sqrt(8.5 / 3))


@given(st.lists(st.integers(-9, 9), unique=True, min_size=2), st.integers(-3, 3))
def test_cohens_d_is_the_t_statistic(values, shift):
    """t = d sqrt(n m / (n + m)), of the t-test with equal variances."""
    first, second = np.array(values), np.linspace(0, 1, 7) + shift
    expected = scipy.stats.ttest_ind(first, second).statistic
    size = first.size * 7 / (first.size + 7)
    assert cohens_d(first, second) * np.sqrt(size) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert cohens_d(second, first) == -cohens_d(first, second)


@pytest.mark.parametrize(("first", "second"), [([], [1, 2]), ([1], [2]), ([3, 3], [4, 4])])
def test_cohens_d_undefined(first, second):
    assert np.isnan(cohens_d(first, second))


def test_in_words():
    """No digits beyond what draws carry, and nothing below 0.0001."""
    assert p_in_words(0.012345) == "0.012"
    assert p_in_words(0.05, "joint p") == "joint p = 0.05"
    assert p_in_words(1.0, "p") == "p = 1"
    assert p_in_words(1e-4, "p") == "p = 0.0001"
    for tiny in (9.9e-5, 6e-18, 0.0):
        assert p_in_words(tiny) == "< 0.0001"
        assert p_in_words(tiny, "Fisher p") == "Fisher p < 0.0001"
    for missing in (None, np.nan):
        assert p_in_words(missing) == "undefined"
        assert p_in_words(missing, "joint p") == "joint p undefined"
