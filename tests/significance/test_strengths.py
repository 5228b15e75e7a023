"""The shuffle that keeps strengths: what stays, what does not, and what it can tell apart."""

from collections import Counter
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import chisquare

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Edges, Layer, UnitGraph
from nn_clustering.partitions import ncut, spectral_partition
from nn_clustering.significance import check_shuffle_test, shuffle, shuffle_test, shuffled_edges
from nn_clustering.significance._strengths import leave_strengths_a_choice, with_strengths_kept
from tests.graphs.sample_graphs import (
    layered,
    mirrored,
    planted,
    random_layered,
    unit_graphs,
)

SEEDS = st.integers(0, 2**32)


def alone(weights):
    """A graph of one layer, with edges within it."""
    return UnitGraph((Layer("alone", len(weights)),), (Edges(0, 0, weights),))


@given(unit_graphs(), SEEDS)
def test_every_unit_keeps_its_strength_towards_every_layer(graph, seed):
    random = np.random.default_rng(seed)
    for block in graph.edges:
        before = block.weights.copy()
        found = with_strengths_kept(before, random, within_layer=block.is_within_layer)
        assert np.array_equal(before, block.weights)
        assert (found >= 0).all()
        for axis in (0, 1):
            assert found.sum(axis=axis) == pytest.approx(before.sum(axis=axis), rel=1e-5)
            numbers = np.count_nonzero(found, axis=axis), np.count_nonzero(before, axis=axis)
            assert np.array_equal(*numbers)
        if block.is_within_layer:
            assert np.array_equal(found, found.T)
            assert not found.diagonal().any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("keep", [1.0, 0.1])
def test_strengths_of_a_network(dtype, keep):
    """Heavy-tailed units, pruned or not: degrees to six digits, weights almost as they were."""
    random = np.random.default_rng(0)
    strong = [random.lognormal(sigma=1, size=size) for size in (200, 150, 100)]
    matrices = [
        np.outer(one, other) * random.exponential(size=(one.size, other.size))
        * (random.uniform(size=(one.size, other.size)) < keep)
        for one, other in pairwise(strong)
    ]  # fmt: skip
    graph = layered(*matrices).with_weights([matrix.astype(dtype) for matrix in matrices])
    shuffled = shuffle(graph, "layer_strength", random)
    np.testing.assert_allclose(shuffled.degrees, graph.degrees, rtol=2e-6)
    assert np.array_equal(shuffled.isolated, graph.isolated)
    for block, original in zip(shuffled.edges, graph.edges, strict=True):
        assert block.weights.dtype == dtype
        support, before = block.weights != 0, original.weights != 0
        n_moved = (before & ~support).sum()
        assert n_moved == 0 if keep == 1 else n_moved > 0.5 * before.sum()
        ours, theirs = (np.sort(one.weights[one.weights != 0]) for one in (block, original))
        assert np.corrcoef(np.log(ours), np.log(theirs))[0, 1] > 0.99
        if keep == 1:  # else some edges have to stay
            by_strength = np.outer(original.weights.sum(axis=1), original.weights.sum(axis=0))
            rest = [np.log(one.weights / by_strength).ravel() for one in (block, original)]
            assert abs(np.corrcoef(*rest)[0, 1]) < 4 / np.sqrt(before.size)


def test_layer_does_not_keep_them():
    """What the others lose: a weak unit is as strong as all in their shuffles."""
    weights = np.random.default_rng(0).uniform(size=(40, 30))
    weights[5] *= 1e-4
    graph = layered(weights)
    for method, expected in (("layer", 1.0), ("layer_nonzero", 1.0), ("layer_strength", 1e-4)):
        shuffled = shuffle(graph, method, np.random.default_rng(1))
        share = shuffled.degrees[5] / np.median(shuffled.degrees[:40])
        assert share == pytest.approx(expected, rel=0.4), method


def test_draws_differ_and_seeds_fix_them():
    (block,) = random_layered([30, 20], seed=0, keep=0.4).edges
    one, again, other = (
        with_strengths_kept(block.weights, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert one.tobytes() == again.tobytes()
    assert not np.array_equal(one != 0, other != 0)


@given(arrays.arrays(float, (2, 2), elements=st.floats(0.3, 3)), SEEDS)
def test_two_by_two(weights, seed):
    """One number is free, the ratio that scaling leaves alone.

    Scaled to sums of 2, the matrix is p q, q p: a permutation of these has the ratio that it had,
    or the inverse, or 1.
    """
    before, after = (
        w[0, 0] * w[1, 1] / (w[0, 1] * w[1, 0])
        for w in (weights, with_strengths_kept(weights, np.random.default_rng(seed)))
    )
    assert np.isclose(after, [before, 1 / before, 1], rtol=1e-3).any()


def test_two_by_two_takes_all_three():
    """Of the six orders of p, p, q, q one has the ratio 4, one 1/4, four have 1."""
    random = np.random.default_rng(0)
    found = [with_strengths_kept(np.array([[2.0, 1], [1, 2]]), random) for _ in range(300)]
    ratios = Counter(round(w[0, 0] * w[1, 1] / (w[0, 1] * w[1, 0]), 3) for w in found)
    assert set(ratios) == {4.0, 0.25, 1.0}
    expected = [50, 50, 200]
    assert chisquare([ratios[4.0], ratios[0.25], ratios[1.0]], expected).pvalue > 0.01


def test_where_strengths_are_out_of_reach_the_places_stay():
    """Each unit has one edge of its own: no other has the weight to be its neighbour."""
    weights = np.diag([1.0, 10.0, 100.0, 1000.0])
    found = with_strengths_kept(weights, np.random.default_rng(0))
    np.testing.assert_allclose(found, weights, rtol=1e-5)


def test_only_edges_whose_strengths_are_out_of_reach_stay():
    """Three strong units have one edge each, to one strong unit each: no other has their weight."""
    random = np.random.default_rng(0)
    weights = random.uniform(0.5, 1, size=(24, 18)) * (random.uniform(size=(24, 18)) < 0.3)
    weights[:3], weights[[0, 1, 2], [0, 1, 2]] = 0, [100, 200, 400]
    found = with_strengths_kept(weights, np.random.default_rng(1))
    assert (found[[0, 1, 2], [0, 1, 2]] > 0).all()
    for axis in (0, 1):
        np.testing.assert_allclose(found.sum(axis=axis), weights.sum(axis=axis), rtol=1e-5)
    others = weights[3:] != 0
    assert (others & (found[3:] == 0)).sum() > 0.3 * others.sum()


def test_weights_of_many_orders():
    """As weight decay leaves them: fitted all the same."""
    random = np.random.default_rng(0)
    weights = 10.0 ** random.uniform(-18, 0, size=(50, 40))
    found = with_strengths_kept(weights, random)
    for axis in (0, 1):
        np.testing.assert_allclose(found.sum(axis=axis), weights.sum(axis=axis), rtol=1e-2)


def brute_force_choice(weights, *, within_layer=False):
    """Whether edges outnumber the rank of the equations that the sums are."""
    places = np.argwhere(np.triu(weights) if within_layer else weights)
    n_rows = len(weights)
    equations = np.zeros((n_rows + (0 if within_layer else weights.shape[1]), len(places)))
    for index, (row, column) in enumerate(places):
        equations[row, index] += 1
        equations[column if within_layer else n_rows + column, index] += 1
    return len(places) > (np.linalg.matrix_rank(equations) if len(places) else 0)


@given(arrays.arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 5))))
def test_what_leaves_a_choice(support):
    assert leave_strengths_a_choice(support * 1.0) == brute_force_choice(support)


@given(st.integers(1, 6).flatmap(lambda n: arrays.arrays(bool, (n, n))))
def test_what_leaves_a_choice_within_a_layer(support):
    weights = mirrored(support * 1.0)
    expected = brute_force_choice(weights, within_layer=True)
    assert leave_strengths_a_choice(weights, within_layer=True) == expected


@pytest.mark.parametrize(
    "graph",
    [layered(np.eye(3)), layered([[1.0, 2, 3]]), alone(mirrored(np.ones((3, 3))))],
    ids=["one edge each", "a star", "a triangle"],
)
def test_refused_where_no_weight_can_change(graph):
    with pytest.raises(InvalidInputError, match=r"no weight can change.*method=layer"):
        shuffled_edges(graph, "layer_strength")


def test_refused_for_single_weights_of_kernels():
    with pytest.raises(InvalidInputError, match="kernels=weights with method=layer_strength"):
        check_shuffle_test(n_shuffles=9, method="layer_strength", n_workers=1, kernels="weights")


def compared(graph, method, n_shuffles=19):
    cluster = partial(spectral_partition, n_clusters=3)
    own = ncut(graph, cluster(graph, seed=0).labels)
    return shuffle_test(shuffled_edges(graph, method), cluster, own, n_shuffles=n_shuffles, seed=0)


def test_strengths_alone_are_no_modules():
    """Weights that strengths explain: `layer` calls them clusterable, this null model does not."""
    random = np.random.default_rng(3)
    strong = [10.0 ** random.uniform(-2, 0, size=size) for size in (40, 30, 20)]
    graph = layered(
        *[
            np.outer(one, other) * random.uniform(0.5, 1.5, size=(one.size, other.size))
            for one, other in pairwise(strong)
        ]
    )
    by_layer, by_strength = (compared(graph, method) for method in ("layer", "layer_strength"))
    assert abs(by_layer.z_score) > 5
    assert abs(by_strength.z_score) < 2.5
    assert by_strength.p_value > 0.05


def test_planted_modules_are_found():
    graph, _ = planted([24, 18, 12], 3, seed=0, between=0.3)
    test = compared(graph, "layer_strength")
    assert test.p_value == 1 / 20
    assert test.z_score < -5
