"""Commute-time graphs by hand, and beside numpy's pseudo-inverse and networkx."""

import networkx
import numpy as np
import pytest
from hypothesis import given, settings

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Edges, Layer, UnitGraph, commute_time_graph
from tests.graphs.sample_graphs import (
    as_networkx,
    dense_adjacency,
    layered,
    random_layered,
    unit_graphs,
)


def test_path_by_hand():
    """A path 0 -2- 1 -3- 2 has resistances 1/2, 1/3 and 5/6 and the volume 10."""
    commute = commute_time_graph(layered([[2]], [[3]]))
    expected = 10 * np.array([[0, 2, 6 / 5], [2, 0, 3], [6 / 5, 3, 0]])
    assert dense_adjacency(commute) == pytest.approx(expected)
    assert [(block.source, block.target) for block in commute.edges] == [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 1),
        (1, 2),
        (2, 2),
    ]


def test_parallel_paths_by_hand():
    """Two paths of conductances 1 and 1 from unit 0 to unit 3: resistance (2 * 2) / (2 + 2) = 1.

    Neighbours on the square have the resistance 1 * 3 / (1 + 3); the volume is 8.
    """
    commute = dense_adjacency(commute_time_graph(layered([[1, 1]], [[1], [1]])))
    assert commute[0, 3] == pytest.approx(8)
    assert commute[0, 1] == pytest.approx(8 * 4 / 3)
    assert commute[1, 2] == pytest.approx(8)


def test_formula_of_a_connected_graph():
    graph = random_layered([3, 4, 2], 0)
    adjacency = dense_adjacency(graph)
    pseudo_inverse = np.linalg.pinv(np.diag(adjacency.sum(axis=0)) - adjacency)
    diagonal = pseudo_inverse.diagonal()
    with np.errstate(divide="ignore"):
        expected = adjacency.sum() / (diagonal + diagonal[:, None] - 2 * pseudo_inverse)
    np.fill_diagonal(expected, 0)
    assert dense_adjacency(commute_time_graph(graph)) == pytest.approx(expected, rel=1e-9)


@settings(deadline=None, max_examples=40)
@given(unit_graphs())
def test_beside_networkx(graph):
    """Each component on its own; no edge from one to another; isolated units stay so."""
    found = dense_adjacency(commute_time_graph(graph))
    expected = np.zeros_like(found)
    for component in networkx.connected_components(as_networkx(graph)):
        part = as_networkx(graph).subgraph(component)
        if len(part) > 1:
            resistances = networkx.resistance_distance(part, weight="weight", invert_weight=False)
            for i in part:
                for j in set(part) - {i}:
                    expected[i, j] = graph.degrees.sum() / resistances[i][j]
    assert found == pytest.approx(expected, rel=1e-8)


def test_random_walk_takes_that_long():
    """Volume squared by the weight is the time from one unit to another and back."""
    graph = random_layered([2, 3, 2], 1)
    adjacency = dense_adjacency(graph)
    step = adjacency / adjacency.sum(axis=1, keepdims=True)
    others = np.delete(np.arange(len(step)), 5)
    to_5 = np.linalg.solve(np.eye(6) - step[np.ix_(others, others)], np.ones(6))  # of unit 0 first
    others = np.arange(1, len(step))
    to_0 = np.linalg.solve(np.eye(6) - step[np.ix_(others, others)], np.ones(6))
    commute = to_5[0] + to_0[4]
    weight = dense_adjacency(commute_time_graph(graph))[0, 5]
    assert graph.degrees.sum() ** 2 / weight == pytest.approx(commute)


def test_weights_of_any_scale():
    """Degrees from 1e-12 to 1 are no trouble, on a path where the answer is known."""
    weights = [1, 1e-6, 1e-12]
    commute = dense_adjacency(commute_time_graph(layered(*[[[weight]] for weight in weights])))
    volume = 2 * sum(weights)
    for i in range(3):
        for j in range(i + 1, 4):
            resistance = sum(1 / weight for weight in weights[i:j])
            assert commute[i, j] == pytest.approx(volume / resistance, rel=1e-5)


def test_without_edges():
    graph = layered(np.zeros((2, 3)))
    assert commute_time_graph(graph).isolated.all()


def test_parts_that_hardly_hang_together_refused():
    """Two strong pairs, joined by what rounding loses beside them."""
    graph = layered([[1, 0], [1e-14, 1]])
    with pytest.raises(InvalidInputError, match=r"4 units hang .* \(smallest 1e-14, largest 1\)"):
        commute_time_graph(graph)


def test_too_many_units_refused():
    layers = (Layer("a", 10_000), Layer("b", 1))
    graph = UnitGraph(layers, (Edges(0, 1, np.ones((10_000, 1), np.float32)),))
    with pytest.raises(InvalidInputError, match="10001 units; expected 10000 or fewer"):
        commute_time_graph(graph)
