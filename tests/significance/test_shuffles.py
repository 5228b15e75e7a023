"""What a shuffle keeps, and that every order is as likely as any other."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from nn_clustering.errors import InvalidInputError
from nn_clustering.significance import SHUFFLES, shuffle
from tests.graphs.sample_graphs import layered, unit_graphs

SEEDS = st.integers(0, 2**32)


def test_methods():
    assert sorted(SHUFFLES) == ["layer", "layer_nonzero"]


@given(unit_graphs(), SEEDS, st.sampled_from(sorted(SHUFFLES)))
def test_every_matrix_keeps_its_weights(graph, seed, method):
    before = [block.weights.copy() for block in graph.edges]
    shuffled = shuffle(graph, method, np.random.default_rng(seed))
    assert shuffled.layers == graph.layers
    for block, original, weights in zip(shuffled.edges, graph.edges, before, strict=True):
        assert (block.source, block.target) == (original.source, original.target)
        assert block.weights.shape == weights.shape
        assert Counter(block.weights.ravel().tolist()) == Counter(weights.ravel().tolist())
        assert np.array_equal(original.weights, weights)  # the graph itself is left alone


@given(unit_graphs(), SEEDS)
def test_layer_nonzero_keeps_the_places(graph, seed):
    shuffled = shuffle(graph, "layer_nonzero", np.random.default_rng(seed))
    for block, original in zip(shuffled.edges, graph.edges, strict=True):
        assert np.array_equal(block.weights != 0, original.weights != 0)


def assert_uniform(outcomes, n_possible):
    counts = Counter(outcomes)
    assert len(counts) == n_possible
    assert scipy.stats.chisquare(list(counts.values())).pvalue > 0.01


def outcomes(graph, method, n_shuffles):
    """The weights of every shuffle, all matrices one after the other."""
    random = np.random.default_rng(0)
    return [
        tuple(
            weight
            for block in shuffle(graph, method, random).edges
            for weight in block.weights.ravel().tolist()
        )
        for _ in range(n_shuffles)
    ]


def test_layer_is_uniform_over_all_orders():
    found = outcomes(layered([[0, 1], [2, 3]]), "layer", 2400)
    assert set(found) == set(permutations([0.0, 1.0, 2.0, 3.0]))
    assert_uniform(found, 24)


def test_layer_nonzero_is_uniform_over_the_orders_of_the_nonzero():
    found = outcomes(layered([[0, 1, 0], [2, 0, 3]]), "layer_nonzero", 1200)
    assert set(found) == {(0, a, 0, b, 0, c) for a, b, c in permutations([1.0, 2.0, 3.0])}
    assert_uniform(found, 6)


@pytest.mark.parametrize("method", sorted(SHUFFLES))
def test_matrices_are_shuffled_independently(method):
    found = outcomes(layered([[1, 2, 3]], [[4, 5], [6, 7], [8, 9]]), method, 500)
    firsts = [(outcome[0], outcome[3]) for outcome in found]
    table = [[firsts.count((a, b)) for b in range(4, 10)] for a in (1, 2, 3)]
    assert_uniform([first for first, _ in firsts], 3)
    assert_uniform([second for _, second in firsts], 6)
    assert scipy.stats.chi2_contingency(table).pvalue > 0.01


def test_unknown_method_refused():
    graph = layered([[1]])
    with pytest.raises(InvalidInputError, match="method='rows'; expected one of layer, layer_non"):
        shuffle(graph, "rows", np.random.default_rng(0))
