"""Class ranges, importance, coherence and their summary, by hand and beside scipy."""

import numpy as np
import pytest
import scipy.stats

from nn_clustering.errors import InvalidInputError
from nn_clustering.lesions._statistics import (
    Measure,
    class_mean,
    class_range,
    coherence_measure,
    finite_mean,
    importance_measure,
    ratio_effects,
    relative_effects,
)
from nn_clustering.significance import bootstrap_interval, joint_p_value

# Three sub-clusters, four random ones each; mean random changes -0.1, 0.05, -0.1.
CHANGES = np.array([-0.3, -0.1, 0.0])
RANDOM_CHANGES = np.array([[-0.1, -0.3, 0.1, -0.1], [0.2, -0.1, 0.1, 0.0], [-0.4, 0.0, 0.0, 0.0]])


def test_class_range_by_hand():
    # mean -0.2; divided by it: 0.5, 0, 2.5; range 2.5
    assert class_range([-0.1, 0.0, -0.5]) == pytest.approx(2.5)
    # gains count: mean -0.1; divided: 4, -1, 0
    assert class_range([-0.4, 0.1, 0.0]) == pytest.approx(5)
    # the sign of the mean does not matter
    assert class_range([0.1, 0.0, 0.5]) == pytest.approx(2.5)


def test_class_range_of_one_class_is_the_same_whatever_its_size():
    """Ties are what p-values count: rounding of changes must not tell such lesions apart."""
    sizes = np.array([980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
    changes = -np.diag(1 / sizes)
    assert class_range([changes, 2 * changes, 7 * changes]).tolist() == [[10.0] * 10] * 3


def test_class_mean_of_next_to_nothing_is_plain_zero():
    assert np.signbit(class_mean([[-1e-16, 0.0], [-0.5, 0.0]])).tolist() == [False, True]


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


def test_finite_mean():
    values = [[1.0, np.inf, 2.0], [np.nan, np.inf, -np.inf], [3.0, 3.0, 3.0]]
    np.testing.assert_array_equal(finite_mean(values), [1.5, np.nan, 3.0])


def importance(changes=CHANGES, random_changes=RANDOM_CHANGES, **kind):
    defaults = {"intact": 0.9, "harm": -1, "tail": "left", "count_ties": True}
    given = {"jointly_drawn": True, "combined": np.ones(len(changes), bool), **kind}
    return importance_measure(changes, random_changes, **{**defaults, **given})


def coherence(ranges, random_ranges, **kind):
    given = {"count_ties": True, "jointly_drawn": True, "combined": np.ones(len(ranges), bool)}
    return coherence_measure(ranges, random_ranges, **{**given, **kind})


def test_importance_by_hand():
    measure = importance()
    np.testing.assert_allclose(measure.p_values, [2 / 5, 2 / 5, 5 / 5])  # ties count
    # 2 * 0.3 / (0.3 + 0.1); a random gain, then no loss: no importance
    np.testing.assert_allclose(measure.effects, [1.5, 0, 0])
    # accuracies: 0.8 / 0.6, 0.95 / 0.8, 0.8 / 0.9
    np.testing.assert_allclose(measure.ratios, [0.8 / 0.6, 0.95 / 0.8, 0.8 / 0.9])
    assert measure.joint_p == joint_p_value(CHANGES, RANDOM_CHANGES, tail="left")
    assert measure.n_null == 4
    assert importance(count_ties=False).p_values.tolist() == [1 / 5, 1 / 5, 2 / 5]


def test_importance_of_errors_mirrors_that_of_accuracies():
    """What is gained of errors is harm: the same p-values and effects; above 1 is still worse."""
    of_errors = importance(-CHANGES, -RANDOM_CHANGES, harm=1, tail="right")
    of_accuracies = importance()
    np.testing.assert_array_equal(of_errors.p_values, of_accuracies.p_values)
    np.testing.assert_array_equal(of_errors.effects, of_accuracies.effects)
    assert of_errors.joint_p == of_accuracies.joint_p
    # errors: 1.2 / 1, 1 / 0.85, 0.9 / 1
    np.testing.assert_allclose(of_errors.ratios, [1.2, 1 / 0.85, 0.9])
    # the studies' tail looks for lesions that lower the error
    published = importance(-CHANGES, -RANDOM_CHANGES, harm=1, tail="left")
    np.testing.assert_allclose(published.p_values, [5 / 5, 5 / 5, 4 / 5])
    np.testing.assert_array_equal(published.effects, of_accuracies.effects)
    expected = joint_p_value(-CHANGES, -RANDOM_CHANGES, tail="left")
    assert published.joint_p == expected != of_errors.joint_p


def test_importance_of_nothing():
    measure = importance(np.zeros(3), np.zeros((3, 4)), intact=0.0)
    assert measure.p_values.tolist() == [1, 1, 1]
    assert measure.effects.tolist() == [0, 0, 0]
    assert np.isnan(measure.ratios).all()  # no accuracy at all
    assert measure.joint_p is None
    summary = measure.summary(seed=0)
    assert summary["n_undefined_ratio"] == 3
    assert summary["effect_ratio"] is None
    assert (summary["effect"], summary["effect_low"], summary["effect_high"]) == (0, 0, 0)


def test_coherence_by_hand():
    ranges = np.array([3.0, np.inf, 0.0, 1.0])
    random_ranges = np.array(
        [
            [1.0, 1.0, np.inf, 1.0],
            [2.0, np.inf, np.inf, 2.0],
            [0.0, 0.0, 0.0, 0.0],
            [np.inf, np.inf, np.inf, np.inf],
        ]
    )
    measure = coherence(ranges, random_ranges)
    np.testing.assert_allclose(measure.p_values, [2 / 5, 3 / 5, 1, 1])
    # 2 * 3 / (3 + 1); infinite; 0 of 0; no finite random one
    np.testing.assert_allclose(measure.effects, [1.5, np.nan, np.nan, np.nan])
    np.testing.assert_allclose(measure.ratios, [1 / 3, np.nan, np.nan, np.nan])
    assert measure.joint_p == joint_p_value(ranges, random_ranges, tail="right")
    summary = measure.summary(seed=0)
    assert summary["n_undefined"] == summary["n_undefined_ratio"] == 3
    assert summary["n_infinite_null"] == 7
    assert summary["effect"] == summary["effect_median"] == 1.5
    assert summary["effect_standard_error"] is summary["effect_low"] is None


@pytest.mark.parametrize("of", ["importance", "coherence"])
def test_what_is_not_combined_counts_for_nothing(of):
    """Its own values are there; the summary is that of the others."""
    random = np.random.default_rng(0)
    true, drawn = random.uniform(1, 2, 6), random.uniform(1, 2, (6, 9))
    drawn[2, :4] = np.inf if of == "coherence" else 1.5
    make = importance if of == "importance" else coherence
    combined = np.arange(6) != 2
    measure, others = make(true, drawn, combined=combined), make(true[combined], drawn[combined])
    assert measure.p_values.size == 6
    assert measure.summary(seed=0) == others.summary(seed=0)
    assert measure.summary(seed=0)["n_combined"] == 5
    assert measure.summary(seed=0)["n_infinite_null"] == 0
    nothing = make(true, drawn, combined=np.zeros(6, bool)).summary(seed=0)
    assert nothing["n_combined"] == nothing["n_undefined"] == 0
    for name in ("joint_p", "fisher_p", "stouffer_p", "chi_square_p", "fisher_statistic", "effect"):
        assert nothing[name] is None


def test_draws_that_were_not_joint_have_no_joint_p():
    assert importance(jointly_drawn=False).joint_p is None
    drawn_apart = coherence(-CHANGES, -RANDOM_CHANGES, jointly_drawn=False)
    assert drawn_apart.summary(seed=0)["joint_p"] is None


def test_summary():
    p_values = np.array([0.05, 0.5, 1.0, 0.15])
    effects = np.array([1.5, np.nan, 0.7, 1.2])
    ratios = np.array([2.0, 4.0, np.nan, 1.0])
    measure = Measure(p_values, effects, ratios, np.ones(4, bool), 0.123, 19, 2)
    summary = measure.summary(seed=5)
    defined, shifted = effects[[0, 2, 3]], p_values - 1 / 40
    low, high = bootstrap_interval(defined, seed=5)
    ratio_low, ratio_high = bootstrap_interval([2.0, 4.0, 1.0], seed=5)
    counts = np.bincount([0, 9, 19, 2], minlength=20)
    assert summary == {
        "joint_p": 0.123,
        "fisher_p": pytest.approx(scipy.stats.combine_pvalues(shifted).pvalue),
        "stouffer_p": pytest.approx(scipy.stats.combine_pvalues(shifted, "stouffer").pvalue),
        "chi_square_p": pytest.approx(scipy.stats.chisquare(counts).pvalue),
        "fisher_statistic": pytest.approx(-np.log(shifted).mean()),
        "effect": pytest.approx(defined.mean()),
        "effect_standard_error": pytest.approx(scipy.stats.sem(defined)),
        "effect_low": low,
        "effect_high": high,
        "effect_median": pytest.approx(1.2),
        "effect_ratio": pytest.approx(7 / 3),
        "effect_ratio_low": ratio_low,
        "effect_ratio_high": ratio_high,
        "effect_ratio_median": pytest.approx(2.0),
        "n_undefined": 1,
        "n_undefined_ratio": 1,
        "n_infinite_null": 2,
        "n_null": 19,
        "n_combined": 4,
    }
    # the first of them by hand: -2 sum(ln p) is chi-square with two degrees of freedom a p-value
    statistic = -2 * np.log(shifted).sum()
    assert summary["fisher_p"] == pytest.approx(scipy.stats.chi2(8).sf(statistic))


def test_nan_is_refused():
    with pytest.raises(InvalidInputError, match="no NaN"):
        importance(np.array([np.nan, 0, 0]))
