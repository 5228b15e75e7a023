"""Rewiring: every unit keeps its number of edges; all places are equally likely."""

from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Edges, Layer, UnitGraph
from nn_clustering.significance import shuffle, shuffled_edges
from nn_clustering.significance._rewiring import can_be_rewired, rewired
from tests.graphs.sample_graphs import WEIGHTS, layered, mirrored, random_layered

SEEDS = st.integers(0, 2**32)
SMALL = st.tuples(st.integers(1, 7), st.integers(1, 7))


@given(arrays.arrays(float, SMALL, elements=WEIGHTS), SEEDS)
def test_degrees_and_the_weights_of_every_row_are_kept(weights, seed):
    before = weights.copy()
    found = rewired(weights, np.random.default_rng(seed))
    assert np.array_equal(weights, before)
    assert found.shape == weights.shape
    assert np.array_equal((found != 0).sum(axis=0), (weights != 0).sum(axis=0))
    for row, original in zip(found, weights, strict=True):
        assert Counter(row.tolist()) == Counter(original.tolist())


def all_with_the_sums_of(support):
    """Every matrix of noughts and ones with the row and column sums of another, by trying all."""
    rows = [
        [row for row in product((0, 1), repeat=support.shape[1]) if sum(row) == original.sum()]
        for original in support
    ]
    return {
        matrix
        for matrix in product(*rows)
        if np.array_equal(np.sum(matrix, axis=0), support.sum(axis=0))
    }


@pytest.mark.parametrize(
    "support",
    [
        np.eye(2),
        np.eye(4),
        [[1, 1, 0], [0, 1, 1], [1, 0, 0]],
        [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]],
        [[1, 0, 0, 1, 0], [0, 1, 1, 0, 1]],
        [[1, 0], [1, 0], [0, 1], [1, 1], [0, 1]],
        # the three cyclic orders of a triangle: no switch of two edges leads from one to another,
        # were loops not allowed
        [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
    ],
)
def test_uniform_over_all_places(support):
    support = np.asarray(support, float)
    possible = all_with_the_sums_of(support)
    random = np.random.default_rng(0)
    counts = Counter(
        tuple(tuple(int(x) for x in row) for row in rewired(support, random))
        for _ in range(60 * len(possible))
    )
    assert set(counts) == possible
    assert scipy.stats.chisquare(list(counts.values())).pvalue > 0.01


def test_weights_of_a_row_are_in_a_random_order():
    """Two rows of two edges each, in full columns: only the order of weights can change."""
    weights = np.array([[1.0, 2, 0], [0, 3, 4]])
    random = np.random.default_rng(0)
    counts = Counter(tuple(rewired(weights, random)[:, 1]) for _ in range(800))
    # the middle column is full, and each row puts either of its weights there
    assert set(counts) == set(product((1.0, 2.0), (3.0, 4.0)))
    assert scipy.stats.chisquare(list(counts.values())).pvalue > 0.01


@given(arrays.arrays(bool, st.tuples(st.integers(1, 4), st.integers(1, 4))))
def test_what_can_be_rewired(support):
    assert can_be_rewired(support) == (len(all_with_the_sums_of(support)) > 1)


def test_places_are_forgotten():
    """As many edges stay where they were as in matrices that never knew them."""
    graph = random_layered([90, 40], seed=1, keep=0.2)
    (block,) = graph.edges
    support = block.weights != 0
    random = np.random.default_rng(0)
    found = [rewired(block.weights, random) != 0 for _ in range(40)]
    kept = np.array([(one & support).sum() for one in found])
    by_chance = np.array([(one & two).sum() for one, two in pairwise(found)])
    spread = np.sqrt(kept.var(ddof=1) / kept.size + by_chance.var(ddof=1) / by_chance.size)
    assert abs(kept.mean() - by_chance.mean()) < 4 * spread
    assert kept.mean() < 0.4 * support.sum()


def test_isolated_units_stay_isolated():
    graph = random_layered([12, 9, 6], seed=0, keep=0.2)
    shuffled = shuffle(graph, "rewiring", np.random.default_rng(0))
    assert graph.isolated.any()
    assert np.array_equal(shuffled.isolated, graph.isolated)


def test_dense_matrices_beside_sparse_ones():
    """Where all units are joined, each unit's weights change places."""
    sparse = random_layered([8, 6], seed=0, keep=0.4).edges[0].weights
    dense = np.arange(1.0, 13).reshape(6, 2)
    graph = layered(sparse, dense)
    _, second = shuffle(graph, "rewiring", np.random.default_rng(0)).edges
    assert np.array_equal(np.sort(second.weights, axis=1), dense)
    assert not np.array_equal(second.weights, dense)


@pytest.mark.parametrize(
    "weights",
    [np.ones((3, 4)), np.ones((1, 5)), [[1.0, 1, 1], [0, 1, 1], [0, 0, 1]]],
)
def test_refused_where_nothing_can_be_moved(weights):
    with pytest.raises(InvalidInputError, match=r"no edge can be moved.*method=layer"):
        shuffled_edges(layered(weights), "rewiring")


def test_refused_within_layers():
    weights = mirrored(np.ones((3, 3)))
    graph = UnitGraph((Layer("alone", 3),), (Edges(0, 0, weights),))
    with pytest.raises(InvalidInputError, match="'alone' has edges within the layer"):
        shuffled_edges(graph, "rewiring")
