"""Graphs that others have made: matrices between layers, and lists of edges."""

import io

import networkx
import numpy as np
import pytest
from hypothesis import given

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import graph_from_file
from tests.graphs.sample_graphs import dense_adjacency, unit_graphs

NAME = "graph.file=my.npz"
MATRICES = {
    "layer_names": ["a", "b", "c"],
    "layer_units": [2, 3, 2],
    "edge_layers": [[0, 1], [2, 1], [2, 2]],
    "weights_0": [[1, 0, 2], [0, 3, 0]],
    "rows_1": [0, 1, 1],
    "columns_1": [2, 0, 1],
    "values_1": np.array([0.5, 4, 1], np.float32),
    "weights_2": [[0, 7], [7, 0]],
}
# the same graph, its units numbered through the layers
LIST = {
    "layer_names": MATRICES["layer_names"],
    "layer_units": MATRICES["layer_units"],
    "sources": [0, 4, 3, 4, 2, 6, 6],
    "targets": [2, 0, 1, 5, 6, 3, 5],
    "weights": [1, 2, 3, 0.5, 4, 1, 7],
}


def npz(arrays, **changes):
    buffer = io.BytesIO()
    kept = {name: array for name, array in (arrays | changes).items() if array is not None}
    np.savez(buffer, **kept)
    return buffer.getvalue()


def read(arrays, **changes):
    return graph_from_file(npz(arrays, **changes), NAME)


def test_matrices_and_edges_make_one_graph():
    graph, listed = read(MATRICES), read(LIST)
    assert graph.layers == listed.layers
    assert [layer.n_units for layer in graph.layers] == [2, 3, 2]
    expected = np.zeros((7, 7))
    for source, target, weight in zip(
        LIST["sources"], LIST["targets"], LIST["weights"], strict=True
    ):
        expected[source, target] = expected[target, source] = weight
    assert np.array_equal(dense_adjacency(graph), expected)
    assert np.array_equal(dense_adjacency(listed), expected)
    assert [block.weights.dtype for block in graph.edges] == [float, np.float32, float]
    assert graph.isolated_below == 1e-8
    assert graph_from_file(npz(LIST), NAME, isolated_below=0.0).isolated_below == 0


@given(unit_graphs())
def test_edges_of_any_graph_in_either_order_or_both(graph):
    dense = dense_adjacency(graph)
    both = np.nonzero(dense)
    once = np.nonzero(np.triu(dense))
    layers = {
        "layer_names": [layer.name for layer in graph.layers],
        "layer_units": [layer.n_units for layer in graph.layers],
    }
    for sources, targets in (both, once, once[::-1]):
        edges = {"sources": sources, "targets": targets, "weights": dense[sources, targets]}
        assert np.array_equal(dense_adjacency(read(layers | edges)), dense)
    assert np.array_equal(dense_adjacency(graph_from_file(graph.to_npz(), NAME)), dense)


def test_a_list_alone_is_one_layer_without_weights_1_each():
    club = networkx.karate_club_graph()
    sources, targets = np.array(club.edges).T
    graph = read({"sources": sources, "targets": targets})
    assert [(layer.name, layer.n_units) for layer in graph.layers] == [("units", 34)]
    assert np.array_equal(graph.degrees, [degree for _, degree in club.degree])
    assert read({"sources": sources, "targets": targets}, n_units=40).isolated[34:].all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edge_layers": None}, r"it holds layer_names, .* and no edge_layers; expected"),
        ({"weights_0": None}, "no weights of edges 0; expected weights_0, planes_0, or rows_0"),
        ({"values_1": None}, "no weights of edges 1"),
        ({"edge_layers": [[0, 1], [2, 1], [2, 3]]}, "edge_layers from 0 to 3; expected 0 to 2"),
        ({"edge_layers": [[0, 1], [0, 1], [2, 2]]}, "every pair of layers once"),
        ({"edge_layers": [0, 1, 2]}, r"expected integers of shape \(matrices, 2\)"),
        ({"layer_units": [2, 3, 3]}, r"weights of shape \(2, 2\); expected \(3, 3\)"),
        ({"layer_units": [2, 3, -2]}, "how many units each layer has"),
        ({"layer_names": ["a", "b"]}, "one number for each"),
        ({"layer_names": ["a", "b", "a"]}, "two layers of units are named 'a'"),
        ({"weights_0": [[1, 0, 2], [0, -3, 0]]}, "negative, infinite or NaN"),
        ({"weights_0": [[1, 0, 2], [0, np.nan, 0]]}, "negative, infinite or NaN"),
        ({"weights_0": np.array([[{}] * 3] * 2)}, "allow_pickle=False"),
        ({"weights_0": [["a"] * 3] * 2}, "weights_0 of type <U1; expected numbers"),
        ({"weights_2": [[0, 7], [6, 0]]}, "within a layer: the weights are not symmetric"),
        ({"weights_2": [[1, 7], [7, 0]]}, "join a unit to itself"),
    ],
)
def test_matrices_refused(changes, message):
    with pytest.raises(InvalidInputError, match=f"^graph.file=my.npz: .*{message}"):
        read(MATRICES, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": None}, "no edge_layers"),
        ({"targets": [2, 0, 1, 5, 6, 3, 7]}, "targets from 0 to 7; expected 0 to 6, of 7 units"),
        ({"targets": [2.0, 0, 1, 5, 6, 3, 5]}, "targets of type float64; expected integers"),
        ({"targets": [2, 0, 1, 5, 6, 3]}, "three of one length"),
        ({"targets": [2, 0, 1, 5, 6, 3, 6]}, "an edge from unit 6 to itself"),
        ({"sources": list("abcdefg")}, "sources of type <U1; expected the units' numbers, from 0"),
        ({"sources": [0, 4, 3, 4, 2, 6, 4]}, "two edges between the units 4 and 5, of .* 0.5 and"),
        ({"sources": [0, 4, 3, 4, 2, 6, 4], "weights": [1, 2, 3, 0.5, 4, 1, 0.5]},
         "two edges between the units 4 and 5, of the weights 0.5 and 0.5"),
        ({"sources": [0, 4, 3, 4, 2, 5, 4], "targets": [2, 0, 1, 5, 6, 4, 5],
          "weights": [1, 2, 3, 0.5, 4, 0.5, 0.5]}, "two edges between the units 4 and 5"),
        ({"sources": [0, 4, 3, 4, 2, 5, 6], "targets": [2, 0, 1, 5, 6, 6, 5]},
         "two edges between the units 5 and 6, of the weights 1 and 7"),
        ({"weights": [1, 2, 3, 0.5, 4, 1, -7]}, "negative"),
        ({"weights": [1, 2, 3, 0.5, 4, 1, np.inf]}, "infinite"),
        ({"layer_names": None, "layer_units": None, "n_units": 6}, "n_units=6; .* above 6"),
        ({"layer_names": None, "layer_units": None, "n_units": 10**8}, "half of this machine's"),
    ],
)  # fmt: skip
def test_lists_refused(changes, message):
    with pytest.raises(InvalidInputError, match=f"^graph.file=my.npz: .*{message}"):
        read(LIST, **changes)


def test_no_edges_and_no_file():
    assert read({"sources": np.zeros(0, int), "targets": np.zeros(0, int)}, n_units=3).edges == ()
    with pytest.raises(InvalidInputError, match=r"my.npz: not the \.npz file of a unit graph"):
        graph_from_file(b"layer,unit", NAME)
