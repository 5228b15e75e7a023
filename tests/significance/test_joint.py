"""The joint p-value by hand, beside an enumeration and scipy, calibrated, and with power."""

import itertools

import numpy as np
import pytest
import scipy.stats

from benchmarks.calibration import (
    LEVELS,
    calibrate,
    joint_p_values,
    pools_of,
    student_p_values,
)
from nn_clustering.errors import InvalidInputError
from nn_clustering.significance import fisher_combination, joint_test, p_value_of_sum

N_DRAWS = 19


def harms(random, n_units):
    """What each unit's lesion costs; a few cost most."""
    return random.pareto(1.5, n_units)


def partitioned_layers(random, layers, n_clusters, *, afresh=False):
    """Harm of the clusters of random partitions of layers of units: true ones, and drawn ones.

    Returns:
        Arrays of shape (clusters of all layers,) and (clusters, draws), and the clusters' layers.
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
    return together[:, 0], together[:, 1:], np.repeat(np.arange(len(layers)), n_clusters).tolist()


def joint_p(observed, null, layers, tail="right"):
    return joint_test(observed, null, tail=tail, layers=layers).p_value


def enumerated(observed, null, layers):
    """The p-value over all combinations of states of the layers, one by one."""
    states = np.column_stack([observed, null])
    ranks = scipy.stats.rankdata(states, axis=1)
    scores = scipy.stats.norm.ppf((ranks - 0.5) / states.shape[1])
    of_layers = [scores[np.array(layers) == name].sum(axis=0) for name in set(layers)]
    sums = [sum(combination) for combination in itertools.product(*of_layers)]
    return np.mean(np.array(sums) >= sum(of_layer[0] for of_layer in of_layers) - 1e-7)


def test_by_hand():
    """Of a layer with two tests, and one with one: ranks of 4 states become normal scores."""
    observed, null = [5.0, 1.0, 2.0], [[1.0, 2.0, 3.0], [0.0, 7.0, 1.0], [1.0, 3.0, 0.0]]
    low, below, above, high = scipy.stats.norm.ppf(np.array([1, 3, 5, 7]) / 8)
    # ranks 2 and 3 of the second test are shared: the middle, 0
    first = [high + 0, low + low, below + high, above + 0]
    second = [above, below, high, low]
    pairs = [(a, b) for a in first for b in second if a + b >= first[0] + second[0] - 1e-9]
    assert len(pairs) == 4  # the true states, the highest of the second layer, a tie
    found = joint_test(observed, null, tail="right", layers=["one", "one", "two"])
    assert found.p_value == 4 / 16
    assert (found.n_draws, found.n_layers, found.smallest) == (3, 2, 1 / 16)
    expected = (first[0] - np.mean(first[1:]) + second[0] - np.mean(second[1:])) / np.sqrt(
        np.var(first[1:], ddof=1) + np.var(second[1:], ddof=1)
    )
    assert found.z == pytest.approx(expected)
    mirrored = joint_test(
        np.negative(observed), np.negative(null), tail="left", layers=["one", "one", "two"]
    )
    assert mirrored == found
    # tests of a layer need not stand side by side
    order = [0, 2, 1]
    shuffled = joint_test(
        np.array(observed)[order], np.array(null)[order], tail="right", layers=["one", "two", "one"]
    )
    assert shuffled == found


@pytest.mark.parametrize("n_draws", [1, 3, 4, 5])
@pytest.mark.parametrize("layers", [(0,), (0, 0, 0), (0, 1), (0, 0, 1, 2), (0, 1, 1, 0, 2, 2, 2)])
@pytest.mark.parametrize("values", [2, 5, 1000])
def test_beside_an_enumeration(layers, n_draws, values):
    """With many ties and without."""
    random = np.random.default_rng(7)
    for _ in range(20):
        states = random.integers(values, size=(len(layers), n_draws + 1)).astype(float)
        states[:, 0] += random.integers(2) * values / 4
        found = joint_p(states[:, 0], states[:, 1:], layers)
        assert found == pytest.approx(enumerated(states[:, 0], states[:, 1:], layers), rel=1e-12)


def test_beside_scipy():
    """Of two layers with one draw each it is a permutation test of swaps within pairs."""
    random = np.random.default_rng(1)
    for _ in range(10):
        pairs = random.integers(1, 40, size=(6, 2))
        expected = scipy.stats.permutation_test(
            (pairs[:, 0], pairs[:, 1]),
            lambda x, y, axis: x.sum(axis=axis),
            permutation_type="samples",
            vectorized=True,
            alternative="greater",
            n_resamples=np.inf,
        )
        assert p_value_of_sum(pairs) == pytest.approx(expected.pvalue, rel=1e-12)


def test_rounding_of_sums_never_makes_it_smaller():
    """Coarse steps against all sums: above, by little; with all digits where it is tiny."""
    random = np.random.default_rng(2)
    for shift in (0, 5, 20):
        states = random.integers(-(10**10), 10**10, size=(6, 20))
        states[:, 0] += shift * 10**9
        halves = [
            np.array([sum(combination) for combination in itertools.product(*half)])
            for half in (states[:3].tolist(), states[3:].tolist())
        ]
        second = np.sort(halves[1])
        needed = states[:, 0].sum() - halves[0]
        exact = (len(second) - np.searchsorted(second, needed)).sum() / 20**6
        for n_steps, highest in ((2**10, 1.1), (2**16, 1.002)):
            assert exact <= p_value_of_sum(states, n_steps=n_steps) <= highest * exact
    assert p_value_of_sum([[3, *range(-20, -1)]] * 12) == pytest.approx(20.0**-12, rel=1e-12)


def test_only_ranks_count():
    random = np.random.default_rng(0)
    layers = [0, 0, 1, 1, 2, 2]
    observed, null = random.normal(size=6), random.normal(size=(6, 9))
    found = joint_p(observed, null, layers)
    assert joint_p(np.exp(observed), np.exp(null), layers) == found
    top = observed.argmax()
    larger = np.where(np.arange(6) == top, np.inf, observed)
    null_below = np.where(np.arange(6)[:, None] == top, np.minimum(null, observed[top] - 1), null)
    infinite = joint_p(larger, null_below, layers)
    assert infinite == joint_p(np.where(np.isinf(larger), 99, larger), null_below, layers)


def too_frequent(p_values):
    """By how many standard errors p-values at most as large as each level exceed 1.2 times it."""
    levels = np.array(LEVELS[:3])
    rates = (p_values[:, None] <= levels * (1 + 1e-9)).mean(axis=0)
    return (rates - 1.2 * levels) / np.sqrt(1.2 * levels / len(p_values))


# Harm, clusters, draws and layers, and how many layers are simulated; Student's t was most wrong of
# the first three.
SIMULATED = {
    ("mirrored", 2, 19, 1): 1000,
    ("mirrored", 2, 19, 4): 1000,
    ("normal", 3, 19, 1): 2000,
    ("Cauchy", 10, 99, 1): 500,
    ("Pareto", 4, 199, 2): 1200,
    ("mirrored", 10, 19, 12): 600,
    ("tied", 3, 19, 2): 1000,
}


@pytest.fixture(scope="module")
def simulated():
    """p-values without any effect, of this method and of Student's t."""
    found = {}
    for (harm, n_clusters, n_draws, n_layers), n_simulated in SIMULATED.items():
        pool = pools_of(harm, n_clusters, n_simulated, [n_draws], seed=1)[n_draws]
        networks = pool.networks(n_layers)
        found[harm, n_clusters, n_draws, n_layers] = (
            joint_p_values(pool.sums[networks]),
            student_p_values(pool, networks),
        )
    return found


@pytest.mark.parametrize("case", list(SIMULATED), ids=str)
def test_never_smaller_than_they_say(simulated, case):
    joint, _ = simulated[case]
    assert (too_frequent(joint) < 3).all()
    assert joint.min() >= (1 + case[2]) ** -float(case[3]) * (1 - 1e-9)


@pytest.mark.parametrize("case", list(SIMULATED)[:3], ids=str)
def test_the_same_simulations_find_students_t_wrong(simulated, case):
    _, student = simulated[case]
    assert (too_frequent(student) > 3).any()


def test_p_values_are_not_larger_than_they_need_be(simulated):
    """Of several layers, where ties are few, they are nearly uniform."""
    for case in (("Pareto", 4, 199, 2), ("mirrored", 10, 19, 12)):
        joint, _ = simulated[case]
        error = np.sqrt(0.05 / len(joint))
        assert np.mean(joint <= 0.05) == pytest.approx(0.05, abs=3 * error + 0.0025)


def test_a_table_of_calibration():
    """The command's own count is that of p-values one by one."""
    found = calibrate(["Pareto"], [3], [19], [1, 2], n_simulated=100)
    cells = found.cells
    assert cells["networks"].tolist() == [1000] * 4 + [500] * 4
    pool = pools_of("Pareto", 3, 100, [19])[19]
    one_by_one = [p_value_of_sum([sums]) for sums in pool.sums]
    for row in cells[cells["layers"] == 1].to_dict("records"):
        assert row["joint"] == np.sum(np.array(one_by_one) <= row["level"] * (1 + 1e-9))
    assert 20 <= cells["joint"][0] <= 80
    text = str(found)
    assert text.count("\n| 19 | ") == 2
    counted = int(cells["joint"][0])
    at_least = scipy.stats.binomtest(counted, 1000).proportion_ci(0.998, "exact").low / 0.05
    assert f"| 19 | 1 | {counted / 50:.2f} ({at_least:.2f}) |" in text


def test_of_a_single_test_that_can_tell():
    """It has the p-value of its rank, with others beside it whose states are all equal too."""
    null = np.arange(19.0)
    for observed, expected in ((20.0, 1 / 20), (17.5, 2 / 20), (-1.0, 1.0)):
        assert joint_p([observed], [null], [0]) == expected
        beside = joint_test(
            [observed, 0.0, 0.0], [null, np.zeros(19), np.zeros(19)], tail="right", layers=[0, 0, 1]
        )
        assert beside.p_value == expected
        assert beside.n_layers == 1


def test_fisher_is_not_uniform_on_random_partitions():
    """What one sub-cluster has the others lack: p-values vary together less than independent ones.

    The joint p-value is the same test's on the same draws.
    """
    random = np.random.default_rng(0)
    fisher, joint = [], []
    for _ in range(600):
        true, null, layers = partitioned_layers(random, (48, 48), 8)
        p_values = ((null >= true[:, None]).sum(axis=1) + 1) / (N_DRAWS + 1)
        fisher.append(fisher_combination(p_values, N_DRAWS))
        joint.append(joint_p(true, null, layers))
    assert scipy.stats.norm.isf(fisher).std() < 0.6
    assert np.mean(np.array(fisher) <= 0.1) < 0.01
    assert scipy.stats.kstest(fisher, "uniform").pvalue < 1e-10
    assert scipy.stats.kstest(joint, "uniform").pvalue > 0.01


def test_needs_joint_draws():
    """Of sub-clusters drawn apart the sums are wider than the partition's own: not calibrated."""
    random = np.random.default_rng(0)
    found = [joint_p(*partitioned_layers(random, (48, 48), 8, afresh=True)) for _ in range(300)]
    assert scipy.stats.norm.isf(found).std() < 0.75


def test_power():
    """True sub-clusters that do more harm: at the smallest p-value if all do much."""
    random = np.random.default_rng(0)
    partitions = [partitioned_layers(random, (64, 64), 8) for _ in range(20)]
    for shift, highest in ((1.0, 0.01), (5.0, 1 / 400)):
        found = [
            joint_p(true + shift * null.std(axis=1), null, layers)
            for true, null, layers in partitions
        ]
        assert np.median(found) <= highest


def test_draws_that_are_equally_extreme():
    """They say nothing: the p-value is 1, and there is no z."""
    never = np.zeros((3, 5))
    for observed, layers in (([0.0] * 3, [0, 0, 0]), ([0.0] * 3, [0, 1, 2])):
        found = joint_test(observed, never, tail="right", layers=layers)
        assert (found.p_value, found.smallest, found.z, found.n_layers) == (1, 1, None, 0)
    # one layer says something, its draws alone are equal
    assert joint_test([0.0, 0.0, 2.0], never, tail="right", layers=[0, 0, 1]).z is None
    assert joint_p([0.0, 0.0, 2.0], never, [0, 0, 1]) == 1 / 6
    assert joint_p([0.0, 0.0, -2.0], never, [0, 0, 1]) == 1
    assert joint_p([1.0], [[2.0]], [0]) == 1
    assert joint_p([2.0], [[1.0]], [0]) == 1 / 2
    # two halves of a layer: each is the other's mirror image, and their sum says nothing
    half = np.random.default_rng(0).normal(size=20)
    assert joint_p([half[0], -half[0]], [half[1:], -half[1:]], [0, 0]) == 1
    # in different layers they say something
    assert joint_p([half[0], -half[0]], [half[1:], -half[1:]], [0, 1]) < 1


@pytest.mark.parametrize(
    ("observed", "null", "tail", "layers", "message"),
    [
        ([], np.zeros((0, 3)), "left", [], "expected .tests,. and .tests, draws., of at least one"),
        ([1.0], np.zeros((2, 3)), "left", [0], r"of shape \(2, 3\)"),
        ([1.0, 2.0], np.zeros(2), "left", [0, 0], r"null values of shape \(2,\)"),
        ([1.0], np.zeros((1, 0)), "left", [0], "expected one draw at least"),
        ([1.0], np.zeros((1, 2)), "left", [0, 1], "layers of 2 tests, observed values of 1"),
        ([np.nan], np.zeros((1, 3)), "left", [0], "a NaN"),
        ([1.0], [[1.0, np.nan]], "left", [0], "a NaN"),
        ([1.0], [[1.0, 2.0]], "both", [0], "tail='both'; expected left or right"),
    ],
)
def test_refused(observed, null, tail, layers, message):
    with pytest.raises(InvalidInputError, match=message):
        joint_test(observed, null, tail=tail, layers=layers)
