"""Connected components beside networkx."""

import networkx
import numpy as np
from hypothesis import given, settings

from nn_clustering.graphs import Edges, UnitGraph
from nn_clustering.partitions._components import connected_components
from tests.graphs.sample_graphs import as_networkx, layered, unit_graphs


def as_sets(components):
    return {frozenset(np.flatnonzero(components == c).tolist()) for c in set(components.tolist())}


@given(unit_graphs())
@settings(max_examples=150)
def test_networkx(graph):
    found = connected_components(graph)
    expected = networkx.connected_components(as_networkx(graph))
    assert as_sets(found) == {frozenset(component) for component in expected}
    assert sorted(set(found.tolist())) == list(range(found.max() + 1))


def test_path_that_goes_to_and_fro():
    """Units 0 and 1 of each of two layers in a zigzag, which no single pass goes through."""
    n = 6
    graph = layered(np.eye(n) + np.eye(n, k=-1))
    assert not connected_components(graph).any()
    backwards = UnitGraph(graph.layers, (Edges(1, 0, graph.edges[0].weights.T),))
    assert not connected_components(backwards).any()


def test_weights_too_small_for_single_precision():
    assert not connected_components(layered([[1e-200, 1e200]])).any()
