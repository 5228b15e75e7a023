"""Bootstrap intervals: how often they hold the mean, beside the normal ones, degenerate samples."""

import numpy as np
import pytest
import scipy.stats

from nn_clustering.errors import InvalidInputError
from nn_clustering.significance import bootstrap_interval, estimate_mean


def test_beside_the_normal_interval():
    values = np.random.default_rng(0).normal(3, 2, 400)
    interval = scipy.stats.norm(values.mean(), scipy.stats.sem(values)).interval(0.9)
    found = bootstrap_interval(values, confidence=0.9, seed=0)
    assert found == pytest.approx(interval, abs=0.03)


def test_the_same_for_the_same_seed():
    values = np.random.default_rng(0).exponential(size=50)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)
    assert bootstrap_interval(values, seed=3) == pytest.approx(
        bootstrap_interval(values[::-1], seed=4), abs=0.03
    )


def test_holds_the_mean_of_a_skewed_distribution():
    random = np.random.default_rng(0)
    intervals = np.array(
        [bootstrap_interval(random.exponential(size=40), seed=seed) for seed in range(120)]
    )
    holds = (intervals[:, 0] <= 1) & (intervals[:, 1] >= 1)
    assert 0.87 <= holds.mean() <= 0.99
    # skewed as the distribution is: further above the mean than below
    assert intervals.mean(axis=0).sum() > 2


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        ([2.0], None),
        ([2.0, 2.0], (2.0, 2.0)),
        ([0.1] * 9, (0.1, 0.1)),
        ([1.0, 1.0, 1.0, 1.0, np.nextafter(1, 2)], (1.0, 1.0)),
    ],
)
def test_degenerate(values, expected):
    assert bootstrap_interval(values, seed=0) == expected


def test_of_two():
    low, high = bootstrap_interval([1.0, 2.0], seed=0)
    assert (low, high) == (1, 2)


@pytest.mark.parametrize("values", [[1.0, np.nan], [np.inf, 1.0], [[1.0, 2.0]]])
def test_refused(values):
    with pytest.raises(InvalidInputError, match="expected finite numbers in a row"):
        bootstrap_interval(values, seed=0)


@pytest.mark.parametrize("confidence", [0, 1.0, 95])
def test_confidence_refused(confidence):
    with pytest.raises(InvalidInputError, match=f"confidence={confidence}; expected a number"):
        bootstrap_interval([1.0, 2.0], confidence=confidence, seed=0)


def test_estimate_leaves_out_what_is_undefined():
    found = estimate_mean([1.0, np.nan, 4.0, np.inf, -np.inf, 1.0], seed=0)
    assert found.mean == 2
    assert found.median == 1
    assert found.standard_error == pytest.approx(1)  # deviations -1, 2, -1: sqrt(6 / 2 / 3)
    assert (found.low, found.high) == bootstrap_interval([1.0, 4.0, 1.0], seed=0)
    assert found.n_undefined == 3


def test_estimate_of_few():
    one = estimate_mean([0.5, np.nan], seed=0)
    assert (one.mean, one.median, one.n_undefined) == (0.5, 0.5, 1)
    assert one.standard_error is one.low is one.high is None
    none = estimate_mean([np.nan], seed=0)
    assert none.mean is none.median is none.low is None
    assert none.n_undefined == 1
