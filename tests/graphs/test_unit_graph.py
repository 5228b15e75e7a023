"""UnitGraph beside networkx and dense matrices; what it refuses; its file."""

import io

import networkx
import numpy as np
import pytest
from hypothesis import given

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Edges, Layer, UnitGraph
from tests.graphs.sample_graphs import as_networkx, dense_adjacency, layered, unit_graphs

# A 2-3-1 network in which unit 1 of the middle layer (number 3) is isolated:
#     0 -2- 2, 0 -1- 4, 1 -4- 4, 2 -5- 5
SMALL = layered([[2, 0, 1], [0, 0, 4]], [[5], [0], [0]])


def test_small_graph_by_hand():
    assert SMALL.n_units == 6
    assert SMALL.offsets.tolist() == [0, 2, 5, 6]
    assert SMALL.units(1) == slice(2, 5)
    assert SMALL.degrees.tolist() == [2 + 1, 4, 2 + 5, 0, 1 + 4, 5]
    assert SMALL.isolated.tolist() == [False, False, False, True, False, False]
    assert SMALL.adjacency().toarray().tolist() == [
        [0, 0, 2, 0, 1, 0],
        [0, 0, 0, 0, 4, 0],
        [2, 0, 0, 0, 0, 5],
        [0, 0, 0, 0, 0, 0],
        [1, 4, 0, 0, 0, 0],
        [0, 0, 5, 0, 0, 0],
    ]


@given(unit_graphs())
def test_adjacency_and_degrees(graph):
    dense = dense_adjacency(graph)
    assert np.array_equal(graph.adjacency().toarray(), dense)
    assert graph.adjacency().nnz == np.count_nonzero(dense)
    degrees = dict(as_networkx(graph).degree(weight="weight"))
    assert graph.degrees.tolist() == pytest.approx([degrees[unit] for unit in range(len(dense))])
    assert np.flatnonzero(graph.isolated).tolist() == list(networkx.isolates(as_networkx(graph)))


@given(unit_graphs())
def test_without_isolated(graph):
    kept = np.flatnonzero(dense_adjacency(graph).any(axis=1))
    connected = graph.without_isolated()
    assert np.array_equal(dense_adjacency(connected), dense_adjacency(graph)[np.ix_(kept, kept)])
    assert [layer.name for layer in connected.layers] == [layer.name for layer in graph.layers]
    assert not connected.isolated.any()


@given(unit_graphs())
def test_without_isolated_but_in_the_last_layer(graph):
    keep = dense_adjacency(graph).any(axis=1)
    keep[-graph.layers[-1].n_units :] = True
    kept = graph.without_isolated(but_in_last_layer=True)
    assert np.array_equal(dense_adjacency(kept), dense_adjacency(graph)[np.ix_(keep, keep)])
    assert kept.layers[-1] == graph.layers[-1]


def test_without_isolated_by_hand():
    graph = layered([[2, 0, 1], [0, 0, 4]], [[5, 0], [0, 0], [0, 0]])
    connected = graph.without_isolated()
    assert [layer.n_units for layer in connected.layers] == [2, 2, 1]
    assert connected.edges[0].weights.tolist() == [[2, 1], [0, 4]]
    assert connected.edges[1].weights.tolist() == [[5], [0]]
    kept = graph.without_isolated(but_in_last_layer=True)
    assert kept.edges[1].weights.tolist() == [[5, 0], [0, 0]]
    assert connected.without_isolated() is connected


@given(unit_graphs())
def test_two_colouring(graph):
    """Layers are coloured, so what counts is the graph of layers."""
    of_layers = networkx.Graph()
    of_layers.add_nodes_from(range(len(graph.layers)))
    of_layers.add_edges_from((block.source, block.target) for block in graph.edges)
    side = graph.two_colouring()  # None where a layer has edges within
    assert (side is not None) == networkx.is_bipartite(of_layers)
    if side is not None:
        assert side.shape == (len(graph.layers),)
        assert all(side[block.source] != side[block.target] for block in graph.edges)
        assert networkx.is_bipartite(as_networkx(graph))


def test_two_colouring_by_hand():
    ones = np.ones((1, 1))
    layers = tuple(Layer(name, 1) for name in "abcd")
    chain = UnitGraph(layers, (Edges(0, 1, ones), Edges(1, 2, ones), Edges(2, 3, ones)))
    assert chain.two_colouring().tolist() == [False, True, False, True]
    triangle = UnitGraph(layers, (Edges(0, 1, ones), Edges(1, 2, ones), Edges(0, 2, ones)))
    assert triangle.two_colouring() is None


def test_with_weights():
    weights = [np.full((2, 3), 7.0), np.zeros((3, 1))]
    graph = SMALL.with_weights(weights)
    assert graph.layers == SMALL.layers
    assert [block.weights.tolist() for block in graph.edges] == [w.tolist() for w in weights]
    assert SMALL.degrees.sum() == 24  # the first graph is as before: 2 * (2 + 1 + 4 + 5)
    with pytest.raises(ValueError, match="shorter"):
        SMALL.with_weights(weights[:1])
    with pytest.raises(InvalidInputError, match="'layer_0' to 'layer_1'"):
        SMALL.with_weights([weights[0].T, weights[1]])


def with_entry(value):
    weights = np.ones((2, 3))
    weights[1, 2] = value
    return weights


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (with_entry(-1e-9), "'a' to 'b': the weights hold negative"),
        (with_entry(np.nan), "infinite or NaN"),
        (with_entry(np.inf), "infinite or NaN"),
        (np.ones((3, 2)), r"shape \(3, 2\); expected \(2, 3\)"),
        (np.ones(6), r"shape \(6,\); expected \(2, 3\)"),
    ],
)
def test_weights_refused(weights, message):
    with pytest.raises(InvalidInputError, match=message):
        UnitGraph((Layer("a", 2), Layer("b", 3)), (Edges(0, 1, weights),))


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([(0, 2)], "from layer 0 to layer 2 of 2"),
        ([(-1, 0)], "from layer -1 to layer 0 of 2"),
        ([(1, 1), (1, 1)], "every pair of layers once"),
        ([(0, 1), (0, 1)], "every pair of layers once"),
        ([(0, 1), (1, 0)], "every pair of layers once"),
    ],
)
def test_edges_refused(pairs, message):
    edges = tuple(Edges(source, target, np.ones((2, 2))) for source, target in pairs)
    with pytest.raises(InvalidInputError, match=message):
        UnitGraph((Layer("a", 2), Layer("b", 2)), edges)


@pytest.mark.parametrize("weights", [[[0, 1], [2, 0]], [[1, 2], [2, 0]]])
def test_weights_within_a_layer_refused(weights):
    with pytest.raises(InvalidInputError, match="symmetric matrix with a zero diagonal"):
        UnitGraph((Layer("a", 2),), (Edges(0, 0, np.array(weights, float)),))


def test_edges_within_a_layer_by_hand():
    """Units 0 -2- 1 -3- 2 of one layer; the clusters {0, 1} and {2}."""
    graph = UnitGraph(
        (Layer("a", 3),), (Edges(0, 0, np.array([[0, 2, 0], [2, 0, 3], [0, 3, 0]], np.float32)),)
    )
    assert graph.degrees.tolist() == [2, 5, 3]
    assert graph.adjacency().toarray().tolist() == [[0, 2, 0], [2, 0, 3], [0, 3, 0]]
    assert graph.two_colouring() is None
    read = UnitGraph.from_npz(graph.to_npz())
    assert read.edges[0].weights.dtype == np.float32
    assert graph.edges[0].is_within_layer


@pytest.mark.parametrize("kind", [int, bool, object])
def test_weights_that_are_no_floats_refused(kind):
    with pytest.raises(InvalidInputError, match="expected floating point"):
        UnitGraph((Layer("a", 1), Layer("b", 1)), (Edges(0, 1, np.zeros((1, 1), kind)),))


def test_layers_of_one_name_refused():
    """A layer is known by its name, so sub-clusters of two would be taken for one another."""
    with pytest.raises(InvalidInputError, match="two layers of units are named 'a'"):
        UnitGraph((Layer("a", 2), Layer("b", 2), Layer("a", 1)), ())


@given(unit_graphs())
def test_npz_round_trip(graph):
    read = UnitGraph.from_npz(graph.to_npz())
    assert read.layers == graph.layers
    assert [(b.source, b.target) for b in read.edges] == [(b.source, b.target) for b in graph.edges]
    for block, expected in zip(read.edges, graph.edges, strict=True):
        assert block.weights.dtype == np.float64
        assert np.array_equal(block.weights, expected.weights)


def test_npz_round_trip_without_edges():
    graph = UnitGraph((Layer("a", 2), Layer("b", 3)), ())
    read = UnitGraph.from_npz(graph.to_npz())
    assert (read.layers, read.edges) == (graph.layers, ())
    assert read.adjacency().shape == (5, 5)


def rewritten(**changes):
    """The file of SMALL with some of its arrays replaced, or left out where None."""
    with np.load(io.BytesIO(SMALL.to_npz())) as archive:
        arrays = {**archive, **changes}
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in arrays.items() if array is not None})
    return buffer.getvalue()


def test_rewritten_without_changes_is_read():
    assert np.array_equal(UnitGraph.from_npz(rewritten()).degrees, SMALL.degrees)


@pytest.mark.parametrize(
    "changes",
    [
        {"weights_1": None},
        {"layer_units": None},
        {"layer_units": np.array([2, 3])},
        {"layer_units": np.array([2, 4, 1])},
        {"edge_layers": np.array([[0, 1], [1, 9]])},
        {"edge_layers": np.array([0, 1])},
        {"weights_0": np.full((2, 3), np.nan)},
        {"weights_0": np.full((2, 3), -1.0)},
        {"weights_0": np.full((2, 3), "many")},
        {"weights_0": np.array([[{}] * 3] * 2)},
    ],
    ids=str,
)
def test_wrong_arrays_refused(changes):
    with pytest.raises(InvalidInputError):
        UnitGraph.from_npz(rewritten(**changes))


def test_what_is_no_npz_is_refused():
    array = io.BytesIO()
    np.save(array, np.ones(3))
    for content in (b"", b"some text", array.getvalue()):
        with pytest.raises(InvalidInputError, match=r"not the \.npz file of a unit graph"):
            UnitGraph.from_npz(content)


def test_damage_is_refused_or_harmless():
    """Every cut, and every flipped bit of a byte: the same graph is read, or none."""
    content = SMALL.to_npz()
    refused = 0
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        for candidate in (bytes(damaged), content[:place]):
            try:
                graph = UnitGraph.from_npz(candidate)
            except InvalidInputError:
                refused += 1
            else:
                assert graph.layers == SMALL.layers
                assert np.array_equal(graph.adjacency().toarray(), dense_adjacency(SMALL))
    assert refused > len(content)
