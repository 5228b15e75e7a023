"""The joint p-value by hand, calibrated on sub-clusters of a simulated layer, and with power."""

import numpy as np
import pytest
import scipy.stats

from nn_clustering.errors import InvalidInputError
from nn_clustering.significance import fisher_combination, joint_p_value

N_DRAWS = 19


def harms(random, n_units):
    """What each unit's lesion costs; a few cost most."""
    return random.pareto(1.5, n_units)


def partitioned_layers(random, layers, n_clusters, *, afresh=False):
    """Harm of the clusters of random partitions of layers of units: true ones, and drawn ones.

    Returns:
        Arrays of shape (clusters of all layers,) and (clusters, draws).
    """
    states = []
    for n_units in layers:
        labels = np.arange(n_units) % n_clusters
        harm = harms(random, n_units)
        n_permutations = n_clusters * (N_DRAWS + 1) if afresh else N_DRAWS + 1
        permuted = random.permuted(np.tile(labels, (n_permutations, 1)), axis=1)
        of_clusters = np.stack([(permuted == c) @ harm for c in range(n_clusters)])
        if afresh:
            by_cluster = of_clusters.reshape(n_clusters, n_clusters, N_DRAWS + 1)
            of_clusters = by_cluster[np.arange(n_clusters), np.arange(n_clusters)]
            # the true clusters are those of one partition
            of_clusters[:, 0] = by_cluster[:, 0, 0]
        states.append(of_clusters)
    together = np.concatenate(states)
    return together[:, 0], together[:, 1:]


def of_many_partitions(n, layers, n_clusters, **kind):
    random = np.random.default_rng(0)
    return [partitioned_layers(random, layers, n_clusters, **kind) for _ in range(n)]


def test_by_hand():
    """Two tests, three draws: ranks of 4 states become normal scores, whose sums are compared."""
    observed, null = [5.0, 1.0], [[1.0, 2.0, 3.0], [0.0, 7.0, 1.0]]
    scores = scipy.stats.norm.ppf(np.array([1, 3, 5, 7]) / 8)
    tied = scipy.stats.norm.ppf((2.5 - 0.5) / 4)  # ranks 2 and 3 are shared
    true = scores[3] + tied
    drawn = np.array([scores[0] + scores[0], scores[1] + scores[3], scores[2] + tied])
    spread = np.sqrt(((drawn - drawn.mean()) ** 2).sum() / 2)
    t = (true - drawn.mean()) / (spread * np.sqrt(4 / 3))
    expected = scipy.stats.t(2).sf(t)
    assert joint_p_value(observed, null, tail="right") == pytest.approx(expected, rel=1e-6)
    mirrored = joint_p_value(np.negative(observed), np.negative(null), tail="left")
    assert mirrored == joint_p_value(observed, null, tail="right")


def test_only_ranks_count():
    random = np.random.default_rng(0)
    observed, null = random.normal(size=6), random.normal(size=(6, 9))
    found = joint_p_value(observed, null, tail="right")
    assert joint_p_value(np.exp(observed), np.exp(null), tail="right") == found
    top = observed.argmax()
    larger = np.where(np.arange(6) == top, np.inf, observed)
    null_below = np.where(np.arange(6)[:, None] == top, np.minimum(null, observed[top] - 1), null)
    infinite = joint_p_value(larger, null_below, tail="right")
    assert infinite == joint_p_value(
        np.where(np.isinf(larger), 99, larger), null_below, tail="right"
    )


def test_is_a_prediction_interval():
    """t is that of a regression on an indicator of the true state: a two-sample test with n = 1."""
    random = np.random.default_rng(3)
    observed, null = random.normal(size=30), random.normal(size=(30, N_DRAWS))
    ranks = scipy.stats.rankdata(np.column_stack([observed, null]), axis=1)
    totals = scipy.stats.norm.ppf((ranks - 0.5) / (N_DRAWS + 1)).sum(axis=0)
    expected = scipy.stats.ttest_ind(totals[:1], totals[1:], alternative="greater").pvalue
    assert joint_p_value(observed, null, tail="right") == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("layers", "n_clusters"), [((48, 48), 8), ((40,), 5)])
def test_uniform_on_random_partitions(layers, n_clusters):
    partitions = of_many_partitions(1500, layers, n_clusters)
    found = np.array([joint_p_value(*one, tail="right") for one in partitions])
    spread = scipy.stats.norm.isf(found).std()
    assert spread == pytest.approx(1, abs=0.06)  # three standard errors of 1500
    for level in (0.01, 0.05, 0.2, 0.5, 0.8, 0.95):
        error = np.sqrt(level * (1 - level) / found.size)
        # few tests: discrete, and conservative where p-values are small
        assert (found <= level).mean() <= level + 3 * error
        assert (found <= level).mean() >= 0.5 * level - 3 * error
    assert (found <= 0.5).mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("n_layers", [1, 3])
def test_small_ones_are_not_too_frequent_where_one_unit_matters(n_layers):
    """Nearly all states are equal: t alone would find 0.01 in 3% to 7% of random partitions."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(8), [40, 12, 4, 3, 2, 1, 1, 1])
    found = []
    for _ in range(1500):
        holders = random.choice(labels, (n_layers, N_DRAWS + 1))  # of the unit, state by state
        states = np.concatenate([np.arange(8)[:, None] == of_layer for of_layer in holders])
        p = joint_p_value(states[:, 0], states[:, 1:], tail="right")
        found.append(1.0 if p is None else p)
    for level in (0.001, 0.01, 0.05, 0.2):
        error = np.sqrt(level * (1 - level) / len(found))
        assert np.mean(np.array(found) <= level) <= level + 3 * error


def test_of_a_single_test_that_can_tell():
    """It has the p-value of its rank, with others beside it whose states are all equal too."""
    null = np.arange(19.0)
    for observed, expected in ((20.0, 1 / 20), (17.5, 2 / 20), (-1.0, 1.0)):
        assert joint_p_value([observed], [null], tail="right") == expected
        beside = joint_p_value([observed, 0.0], [null, np.zeros(19)], tail="right")
        assert beside == expected


def test_fisher_is_not_uniform_on_random_partitions():
    """What one sub-cluster has the others lack: p-values vary together less than independent ones.

    The joint p-value is the same test's on the same draws.
    """
    partitions = of_many_partitions(600, (48, 48), 8)
    fisher, joint = [], []
    for true, null in partitions:
        p_values = ((null >= true[:, None]).sum(axis=1) + 1) / (N_DRAWS + 1)
        fisher.append(fisher_combination(p_values, N_DRAWS))
        joint.append(joint_p_value(true, null, tail="right"))
    assert scipy.stats.norm.isf(fisher).std() < 0.6
    assert np.mean(np.array(fisher) <= 0.1) < 0.01
    assert scipy.stats.kstest(fisher, "uniform").pvalue < 1e-10
    assert scipy.stats.kstest(joint, "uniform").pvalue > 0.01


def test_needs_joint_draws():
    """Of sub-clusters drawn apart the sums are wider than the partition's own: not calibrated."""
    partitions = of_many_partitions(300, (48, 48), 8, afresh=True)
    found = np.array([joint_p_value(*one, tail="right") for one in partitions])
    assert scipy.stats.norm.isf(found).std() < 0.75


def test_power():
    """True sub-clusters that do more harm, all somewhat or all much: far below 1 / (n + 1)."""
    partitions = of_many_partitions(20, (64, 64), 8)
    for shift, highest in ((1.0, 0.01), (5.0, 1e-8)):
        found = [
            joint_p_value(true + shift * null.std(axis=1), null, tail="right")
            for true, null in partitions
        ]
        assert np.median(found) < highest


def test_draws_that_are_equally_extreme():
    never = np.zeros((3, 5))
    assert joint_p_value(np.zeros(3), never, tail="right") is None
    assert joint_p_value([0.0, 0.0, 2.0], never, tail="right") == 1 / 6
    assert joint_p_value([0.0, 0.0, -2.0], never, tail="right") == 1
    assert joint_p_value([1.0], [[2.0]], tail="right") is None
    # two halves of a layer: each is the other's mirror image, and their sum says nothing
    half = np.random.default_rng(0).normal(size=20)
    assert joint_p_value([half[0], -half[0]], [half[1:], -half[1:]], tail="right") is None


@pytest.mark.parametrize(
    ("observed", "null", "tail", "message"),
    [
        ([], np.zeros((0, 3)), "left", "expected .tests,. and .tests, draws., of at least one"),
        ([1.0], np.zeros((2, 3)), "left", r"of shape \(2, 3\)"),
        ([1.0, 2.0], np.zeros(2), "left", r"null values of shape \(2,\)"),
        ([np.nan], np.zeros((1, 3)), "left", "a NaN"),
        ([1.0], [[1.0, np.nan]], "left", "a NaN"),
        ([1.0], [[1.0, 2.0]], "both", "tail='both'; expected left or right"),
    ],
)
def test_refused(observed, null, tail, message):
    with pytest.raises(InvalidInputError, match=message):
        joint_p_value(observed, null, tail=tail)
