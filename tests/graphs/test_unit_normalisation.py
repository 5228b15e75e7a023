"""Unit normalisation by hand, what it leaves the same, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Edges, Layer, UnitGraph, normalise_units
from tests.graphs.sample_graphs import layered, random_layered


def test_chain_by_hand():
    """Hidden units have the incoming means 2 and 0.5, which then multiply what goes out.

    The second hidden layer has one unit of incoming weights 3 * 2 and 8 * 0.5, mean 5; the outputs
    are not scaled, so that their weight is 7 * 5.
    """
    graph = normalise_units(layered([[1, 0], [3, 1]], [[3], [8]], [[7]]))
    assert [block.weights.tolist() for block in graph.edges] == [
        [[0.5, 0], [1.5, 2]],
        [[6 / 5], [4 / 5]],
        [[35]],
    ]


def test_several_incoming_matrices_count_together():
    """A unit that reads 2 and 4 from one layer and 9 from another has the mean 15 / 3 = 5.

    Edges are given in any order, and layers too.
    """
    layers = (Layer("sum", 1), Layer("a", 2), Layer("b", 1), Layer("output", 2))
    edges = (
        Edges(0, 3, np.array([[1.0, 2.0]])),
        Edges(1, 0, np.array([[2.0], [4.0]])),
        Edges(2, 0, np.array([[9.0]])),
    )
    graph = normalise_units(UnitGraph(layers, edges))
    assert [block.weights.tolist() for block in graph.edges] == [
        [[5, 10]],
        [[2 / 5], [4 / 5]],
        [[9 / 5]],
    ]
    assert graph.layers == layers


def test_unit_without_incoming_weights_is_left_alone():
    graph = layered([[0, 2], [0, 2]], [[5, 6], [7, 8]])
    assert [block.weights.tolist() for block in normalise_units(graph).edges] == [
        [[0, 1], [0, 1]],
        [[5, 6], [14, 16]],
    ]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.lists(st.integers(1, 5), min_size=2, max_size=5))
def test_what_it_changes_and_what_not(seed, sizes):
    """Means are 1; scaled hidden units make no difference; a second time changes nothing."""
    graph = random_layered(sizes, seed)
    before = [block.weights.copy() for block in graph.edges]
    once = normalise_units(graph)
    for block in once.edges[:-1]:
        assert block.weights.mean(axis=0) == pytest.approx(1)
    products = [np.linalg.multi_dot([np.eye(sizes[0]), *before, np.eye(sizes[-1])])]
    after = [block.weights for block in once.edges]
    products.append(np.linalg.multi_dot([np.eye(sizes[0]), *after, np.eye(sizes[-1])]))
    assert products[0] == pytest.approx(products[1])  # of a ReLU network with these weights
    scales = [np.random.default_rng(seed).uniform(0.1, 10, size) for size in sizes]
    scales[0][:] = scales[-1][:] = 1
    scaled = graph.with_weights(
        [w * scales[i + 1] / scales[i][:, None] for i, w in enumerate(before)]
    )
    for block, same, again in zip(
        once.edges, normalise_units(scaled).edges, normalise_units(once).edges, strict=True
    ):
        assert same.weights == pytest.approx(block.weights)
        assert again.weights == pytest.approx(block.weights)
    assert all(np.array_equal(b.weights, w) for b, w in zip(graph.edges, before, strict=True))


def test_float32_stays():
    graph = random_layered([3, 2, 2], 0)
    graph = graph.with_weights([block.weights.astype(np.float32) for block in graph.edges])
    assert {block.weights.dtype for block in normalise_units(graph).edges} == {np.dtype("float32")}


def test_refused():
    layers = (Layer("a", 2), Layer("b", 2))
    within = UnitGraph(layers, (Edges(0, 1, np.eye(2)), Edges(1, 1, 1 - np.eye(2))))
    with pytest.raises(InvalidInputError, match="layer 'b' has edges within it"):
        normalise_units(within)
    ones = np.ones((1, 1))
    layers = tuple(Layer(name, 1) for name in "abc")
    round_trip = UnitGraph(layers, (Edges(0, 1, ones), Edges(1, 2, ones), Edges(2, 0, ones)))
    with pytest.raises(InvalidInputError, match="lead round in a circle"):
        normalise_units(round_trip)
