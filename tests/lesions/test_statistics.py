"""Class ranges, effects and their summary, by hand."""

import numpy as np
import pytest
import scipy.stats

from nn_clustering.lesions import (
    Coherence,
    Importance,
    class_range,
    ratio_effects,
    relative_effects,
)
from nn_clustering.lesions._statistics import class_mean


def test_class_range_by_hand():
    # mean -0.2; divided by it: 0.5, 0, 2.5; range 2.5
    assert class_range([-0.1, 0.0, -0.5]) == pytest.approx(2.5)
    # gains count: mean -0.1; divided: 4, -1, 0
    assert class_range([-0.4, 0.1, 0.0]) == pytest.approx(5)
    # the sign of the mean does not matter
    assert class_range([0.1, 0.0, 0.5]) == pytest.approx(2.5)


def test_class_range_of_nothing_and_of_a_balance():
    assert class_range([0.0, 0.0, 0.0]) == 0
    assert class_range([-0.3, -0.3, -0.3]) == 0
    assert class_range([0.2, -0.2, 0.0]) == np.inf
    # 0.1 + 0.2 - 0.3 is not 0 in floating point
    assert class_range([0.1, 0.2, -0.3]) == np.inf
    assert class_range([0.1 + 0.2 - 0.3, 0.0]) == 0


def test_class_range_of_many():
    changes = np.random.default_rng(0).normal(size=(3, 4, 10))
    ranges = class_range(changes)
    assert ranges.shape == (3, 4)
    for index in np.ndindex(3, 4):
        scaled = changes[index] / changes[index].mean()
        assert ranges[index] == pytest.approx(scaled.max() - scaled.min())


def test_the_order_of_classes_makes_no_difference():
    changes = np.random.default_rng(0).integers(-30, 10, (200, 10)) / 37
    shuffled = np.random.default_rng(1).permuted(changes, axis=1)
    assert (changes.mean(axis=1) != shuffled.mean(axis=1)).any()
    np.testing.assert_array_equal(class_mean(changes), class_mean(shuffled))
    np.testing.assert_array_equal(class_range(changes), class_range(shuffled))


def test_relative_effects_by_hand():
    true = [-0.3, -0.1, -0.2, 0.0, 0.2, 0.0]
    random = [-0.1, -0.1, 0.0, -0.2, -0.2, 0.0]
    np.testing.assert_allclose(relative_effects(true, random), [1.5, 1.0, 2.0, 0.0, np.nan, np.nan])
    np.testing.assert_allclose(relative_effects([np.inf, 2, np.nan], [1, np.inf, 1]), [np.nan] * 3)


def test_ratio_effects_by_hand():
    true = [0.4, 0.5, 0.0, np.inf, 2.0]
    random = [0.8, 0.25, 0.3, 1.0, np.nan]
    np.testing.assert_allclose(ratio_effects(true, random), [2.0, 0.5, np.nan, np.nan, np.nan])


@pytest.mark.parametrize("measure", [Importance, Coherence])
def test_summary(measure):
    p_values = np.array([0.05, 0.5, 1.0, 0.15])
    effects = np.array([1.5, np.nan, 0.7, 1.2])
    ratios = np.array([2.0, 4.0, np.nan, 1.0])
    summary = measure(p_values, effects, ratios, 19).summary()
    defined = effects[[0, 2, 3]]
    shifted = p_values - 1 / 40
    assert summary == {
        "fisher_p": pytest.approx(scipy.stats.combine_pvalues(shifted).pvalue),
        "effect": pytest.approx(defined.mean()),
        "effect_standard_error": pytest.approx(scipy.stats.sem(defined)),
        "effect_median": pytest.approx(1.2),
        "effect_ratio": pytest.approx(7 / 3),
        "effect_ratio_median": pytest.approx(2.0),
        "n_undefined": 1,
        "n_undefined_ratio": 1,
        "n_infinite_null": 0,
        "n_null": 19,
    }
    # the same by hand: -2 sum(ln p) is chi-square with two degrees of freedom a p-value
    statistic = -2 * np.log(shifted).sum()
    assert summary["fisher_p"] == pytest.approx(scipy.stats.chi2(8).sf(statistic))


def test_summary_of_few():
    one = Importance(np.array([0.5]), np.array([1.1]), np.array([np.nan]), 9).summary()
    assert one["effect"] == 1.1
    assert one["effect_standard_error"] is None
    assert one["effect_ratio"] is one["effect_ratio_median"] is None
    none = Importance(np.array([0.5]), np.array([np.nan]), np.array([1.0]), 9).summary()
    assert none["effect"] is none["effect_median"] is None
    assert none["n_undefined"] == 1
