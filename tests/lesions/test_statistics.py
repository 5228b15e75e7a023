"""Class ranges, importance, coherence and their summary, by hand and beside scipy."""

import numpy as np
import pytest
import scipy.stats

from nn_clustering.errors import InvalidInputError
from nn_clustering.lesions._statistics import (
    class_mean,
    class_range,
    coherence_measure,
    importance_measure,
)
from nn_clustering.significance import (
    JointTest,
    Measure,
    bootstrap_interval,
    finite_mean,
    joint_test,
    null_interval,
)

# Three sub-clusters, four random ones each; mean random changes -0.1, 0.05, -0.1.
CHANGES = np.array([-0.3, -0.1, 0.0])
LAYERS = ["first", "first", "second", "second", "third", "third"]
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


def importance(changes=CHANGES, random_changes=RANDOM_CHANGES, **kind):
    defaults = {"intact": 0.9, "harm": -1, "tail": "left", "count_ties": True}
    given = {"layers": LAYERS[: len(changes)], "combined": np.ones(len(changes), bool), **kind}
    return importance_measure(changes, random_changes, **{**defaults, **given})


def coherence(ranges, random_ranges, **kind):
    given = {"count_ties": True, "combined": np.ones(len(ranges), bool)}
    given["layers"] = LAYERS[: len(ranges)]
    return coherence_measure(ranges, random_ranges, **{**given, **kind})


def test_importance_by_hand():
    measure = importance()
    np.testing.assert_allclose(measure.p_values, [2 / 5, 2 / 5, 5 / 5])  # ties count
    # 2 * 0.3 / (0.3 + 0.1); a random gain, then no loss: no importance
    np.testing.assert_allclose(measure.effects, [1.5, 0, 0])
    # accuracies: 0.8 / 0.6, 0.95 / 0.8, 0.8 / 0.9
    np.testing.assert_allclose(measure.ratios, [0.8 / 0.6, 0.95 / 0.8, 0.8 / 0.9])
    layers = LAYERS[:3]
    assert measure.joint == joint_test(CHANGES, RANDOM_CHANGES, tail="left", layers=layers)
    assert measure.joint_p == measure.joint.p_value
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
    expected = joint_test(-CHANGES, -RANDOM_CHANGES, tail="left", layers=LAYERS[:3])
    assert published.joint == expected != of_errors.joint


def test_importance_of_nothing():
    measure = importance(np.zeros(3), np.zeros((3, 4)), intact=0.0)
    assert measure.p_values.tolist() == [1, 1, 1]
    assert measure.effects.tolist() == [0, 0, 0]
    assert np.isnan(measure.ratios).all()  # no accuracy at all
    assert measure.joint_p == 1
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
    assert measure.joint == joint_test(ranges, random_ranges, tail="right", layers=LAYERS[:4])
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
    measure = make(true, drawn, combined=combined)
    layers = [layer for layer, is_one in zip(LAYERS, combined, strict=True) if is_one]
    others = make(true[combined], drawn[combined], layers=layers)
    assert measure.p_values.size == 6
    assert measure.summary(seed=0) == others.summary(seed=0)
    assert measure.summary(seed=0)["n_combined"] == 5
    assert measure.summary(seed=0)["n_infinite_null"] == 0
    nothing = make(true, drawn, combined=np.zeros(6, bool)).summary(seed=0)
    assert nothing["n_combined"] == nothing["n_undefined"] == 0
    for name in ("joint_p", "fisher_p", "stouffer_p", "chi_square_p", "fisher_statistic", "effect"):
        assert nothing[name] is None


def test_effects_of_draws_by_hand():
    """Each draw in the place of the true partition, the three others being its random ones."""
    measure = importance()
    # of the first sub-cluster -0.1 beside -0.1, -0.3 beside -0.1 / 3, a gain, -0.1 beside -0.1; of
    # the others there is no draw that does harm as the others do on average
    expected = [[1.0, 1.8, 0.0, 1.0], [0.0] * 4, [0.0] * 4]
    np.testing.assert_allclose(measure.null_effects, expected)
    np.testing.assert_allclose(measure.mean_null_effects(), [1 / 3, 0.6, 0, 1 / 3])
    summary = measure.summary(seed=0)
    assert summary["effect_null"] == pytest.approx(0.95 / 3)
    # 5% and 95% of the way from the lowest of four numbers to the highest
    assert summary["effect_null_low"] == pytest.approx(0.15 / 3)
    assert summary["effect_null_high"] == pytest.approx(0.15 / 3 + 0.85 * 0.6)
    # lesioned accuracies of 0.8, 0.6, 1 and 0.8, and means of the others
    np.testing.assert_allclose(
        measure.null_ratios[0], [0.8 / 0.8, (2.6 / 3) / 0.6, (2.2 / 3) / 1, 0.8 / 0.8]
    )


@pytest.mark.parametrize("of", ["importance", "errors", "coherence"])
def test_effects_of_draws_are_those_of_true_sub_clusters(of):
    """Each draw given as the true partition, and the others as its random ones; infinities too."""
    random = np.random.default_rng(0).normal(-0.02, 0.05, (6, 9)).round(2)
    combined = np.arange(6) != 2
    if of == "coherence":
        random = np.abs(random)
        random[0, 3:5] = random[1, 1:] = random[3] = np.inf
    options = {"harm": 1, "tail": "right"} if of == "errors" else {}

    def make(true, drawn):
        if of == "coherence":
            return coherence(true, drawn, combined=combined)
        return importance(true, drawn, combined=combined, **options)

    measure = make(random[:, 0], random)
    assert measure.null_effects.shape == measure.null_ratios.shape == (6, 9)
    for draw in range(9):
        alone = make(random[:, draw], np.delete(random, draw, axis=1))
        np.testing.assert_allclose(measure.null_effects[:, draw], alone.effects)
        np.testing.assert_allclose(measure.null_ratios[:, draw], alone.ratios)
        mean = finite_mean(alone.effects[combined])
        np.testing.assert_allclose(measure.mean_null_effects()[draw], mean)


def test_effects_are_not_1_where_there_is_nothing():
    """Of skewed changes a draw's effect is below 1; the true partition's is one like the others."""
    random = np.random.default_rng(0)
    inside = []
    for _ in range(200):
        drawn = -random.pareto(1.5, (20, 40))
        found = importance(drawn[:, 0], drawn[:, 1:], layers=None)
        null, low, high = null_interval("effect", found.mean_null_effects()).values()
        assert low < null < high < 1
        inside.append(low <= found.effects.mean() <= high)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.06)


def test_a_single_draw_has_no_effect_beside_it():
    measure = importance(CHANGES, RANDOM_CHANGES[:, :1])
    assert measure.null_effects.shape == (3, 0)
    summary = measure.summary(seed=0)
    for name in ("effect_null", "effect_null_low", "effect_ratio_null_high"):
        assert summary[name] is None
    assert null_interval("x", [1.0, np.nan]) == {"x": None, "x_low": None, "x_high": None}


def test_draws_that_were_not_joint_have_no_joint_p():
    assert importance(layers=None).joint_p is None
    drawn_apart = coherence(-CHANGES, -RANDOM_CHANGES, layers=None)
    assert drawn_apart.summary(seed=0)["joint_p"] is None


def test_summary():
    p_values = np.array([0.05, 0.5, 1.0, 0.15])
    effects = np.array([1.5, np.nan, 0.7, 1.2])
    ratios = np.array([2.0, 4.0, np.nan, 1.0])
    null_effects = np.array([[1.0, 0.5, 0.3], [0.4, np.nan, 0.5], [0.8, 0.7, 1.0], [0.6, 0.0, 1.0]])
    joint = JointTest(0.123, 1.5, 19, 2)
    measure = Measure(
        p_values, effects, ratios, null_effects, null_effects + 1, np.ones(4, bool), joint, 19, 2
    )
    summary = measure.summary(seed=5)
    defined, shifted = effects[[0, 2, 3]], p_values - 1 / 40
    low, high = bootstrap_interval(defined, seed=5)
    ratio_low, ratio_high = bootstrap_interval([2.0, 4.0, 1.0], seed=5)
    counts = np.bincount([0, 9, 19, 2], minlength=20)
    assert summary == {
        "joint_p": 0.123,
        "joint_p_smallest": pytest.approx(1 / 400),
        "joint_z": 1.5,
        "joint_layers": 2,
        "fisher_p": pytest.approx(scipy.stats.combine_pvalues(shifted).pvalue),
        "stouffer_p": pytest.approx(scipy.stats.combine_pvalues(shifted, "stouffer").pvalue),
        "chi_square_p": pytest.approx(scipy.stats.chisquare(counts).pvalue),
        "fisher_statistic": pytest.approx(-np.log(shifted).mean()),
        "effect": pytest.approx(defined.mean()),
        "effect_standard_error": pytest.approx(scipy.stats.sem(defined)),
        "effect_low": low,
        "effect_high": high,
        "effect_median": pytest.approx(1.2),
        # of draws 0.7, 0.4 and 0.7
        "effect_null": pytest.approx(0.6),
        "effect_null_low": pytest.approx(0.43),
        "effect_null_high": pytest.approx(0.7),
        "effect_ratio": pytest.approx(7 / 3),
        "effect_ratio_low": ratio_low,
        "effect_ratio_high": ratio_high,
        "effect_ratio_median": pytest.approx(2.0),
        "effect_ratio_null": pytest.approx(1.6),
        "effect_ratio_null_low": pytest.approx(1.43),
        "effect_ratio_null_high": pytest.approx(1.7),
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
