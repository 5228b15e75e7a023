"""How weights lie in a graph's file: exact, in the precision they are computed with, and small."""

import io
import zipfile

import keras
import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Edges, Layer, UnitGraph, graph_from_weights
from nn_clustering.graphs._single_precision import in_single_precision
from tests.graphs.sample_graphs import dense_adjacency, layered

SIZE = 300  # a matrix with enough entries to be laid out otherwise than as it is
RANDOM = np.random.default_rng(0)
FULL = RANDOM.random((SIZE, SIZE))
SINGLE = FULL.astype(np.float32)
PRUNED = np.where(RANDOM.random((SIZE, SIZE)) < 0.1, SINGLE, 0).astype(np.float32)


def chain(*matrices):
    layers = tuple(Layer(f"layer_{index}", SIZE) for index in range(len(matrices) + 1))
    edges = tuple(Edges(index, index + 1, matrix) for index, matrix in enumerate(matrices))
    return UnitGraph(layers, edges)


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("matrices", "arrays"),
    [
        ([FULL], ["planes_0"]),
        ([SINGLE], ["planes_0"]),
        ([SINGLE.astype(np.float64)], ["number_bytes", "planes_0"]),
        ([SINGLE, FULL, SINGLE.astype(np.float64)],
         ["number_bytes", "planes_0", "planes_1", "same_weights"]),
        ([PRUNED], ["columns_0", "rows_0", "values_0"]),
        ([PRUNED.astype(np.float64), PRUNED.T],
         ["columns_0", "columns_1", "number_bytes", "rows_0", "rows_1", "values_0", "values_1"]),
        ([np.zeros_like(FULL)], ["columns_0", "number_bytes", "rows_0", "values_0"]),
    ],
)  # fmt: skip
def test_every_layout_is_read_as_it_was(matrices, arrays):
    content = chain(*matrices).to_npz()
    with np.load(io.BytesIO(content)) as stored:
        known = {"layer_names", "layer_units", "edge_layers", "isolated_below"}
        assert sorted(set(stored) - known) == arrays
    for block, matrix in zip(UnitGraph.from_npz(content).edges, matrices, strict=True):
        assert block.weights.dtype == matrix.dtype
        assert np.array_equal(block.weights, matrix)


def test_equal_numbers_of_another_shape_are_other_weights():
    graph = layered(np.ones((2, 3)), np.ones((3, 2)))
    again = UnitGraph.from_npz(graph.to_npz())
    assert [block.weights.tolist() for block in again.edges] == [[[1] * 3] * 2, [[1] * 2] * 3]


def test_sparse_matrices_fit_into_memory_together(monkeypatch):
    one, two = chain(PRUNED).to_npz(), chain(PRUNED, PRUNED.T).to_npz()
    monkeypatch.setattr(
        "nn_clustering.graphs._stored_weights.memory_bytes", lambda: 3 * PRUNED.nbytes
    )
    assert np.array_equal(UnitGraph.from_npz(one).edges[0].weights, PRUNED)
    with pytest.raises(InvalidInputError, match="half of this machine's memory"):
        UnitGraph.from_npz(two)


def test_sizes():
    """Of float32 numbers from 0 to 1 three bytes of four are noise; of sparse ones the rest."""
    full, twice, pruned = (len(chain(*m).to_npz()) for m in ([SINGLE], [SINGLE] * 2, [PRUNED]))
    assert full < 0.85 * SINGLE.nbytes
    assert twice < full + 1000
    assert pruned < 0.15 * SINGLE.nbytes
    assert len(chain(SINGLE.astype(np.float64)).to_npz()) < full + 1000


def test_sparse_matrices_by_hand():
    names = {"layer_names": ["a", "b"], "layer_units": [2, 3], "edge_layers": [[0, 1]]}
    places = {"rows_0": [1, 0], "columns_0": [2, 0], "values_0": [5, 7]}
    graph = UnitGraph.from_npz(npz(**names, **places))
    assert graph.edges[0].weights.tolist() == [[7, 0, 0], [0, 0, 5]]
    assert graph.isolated_below == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows_0": [1, 1], "columns_0": [2, 2]}, "a place twice"),
        ({"rows_0": [0, 2]}, "rows_0 from 0 to 2; expected 0 to 1"),
        ({"columns_0": [-1, 0]}, "columns_0 from -1 to 0; expected 0 to 2"),
        ({"columns_0": [0.0, 1.0]}, "expected integers"),
        ({"columns_0": [0]}, "three of one length"),
        ({"values_0": ["a", "b"]}, "expected numbers"),
        ({"values_0": [1, -1]}, "negative"),
        ({"layer_units": [2, 10**12]}, "half of this machine's memory"),
        ({"layer_units": [10**6, 10**6]}, "half of this machine's memory"),
        ({"same_weights": [1]}, "same_weights has 1 at 0"),
    ],
)
def test_sparse_matrices_refused(changes, message):
    arrays = {"layer_names": ["a", "b"], "layer_units": [2, 3], "edge_layers": [[0, 1]]}
    places = {"rows_0": [1, 0], "columns_0": [2, 0], "values_0": [5, 7]}
    with pytest.raises(InvalidInputError, match=message):
        UnitGraph.from_npz(npz(**arrays | places | changes))


def test_what_unpacks_to_more_than_the_memory_is_refused_unread(monkeypatch):
    """By the sizes that the archive declares; a header that declares more has nothing to read."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights_0.npy", bytes(10**6))
    graph = layered(np.ones((3, 3)))
    monkeypatch.setattr("nn_clustering.graphs._stored_weights.memory_bytes", lambda: 1000)
    with pytest.raises(InvalidInputError, match=r"1 MB; expected at most 500 bytes"):
        UnitGraph.from_npz(buffer.getvalue())
    monkeypatch.undo()
    assert np.array_equal(
        dense_adjacency(UnitGraph.from_npz(graph.to_npz())), dense_adjacency(graph)
    )


def test_weights_of_a_network_are_of_its_precision(monkeypatch):
    convolutions = [keras.layers.Conv2D(n_filters, 3) for n_filters in (4, 3, 2)]
    norm = keras.layers.BatchNormalization()
    network = keras.Sequential([keras.Input((9, 9, 2)), *convolutions[:2], norm, convolutions[2]])
    norm.set_weights([np.full(3, 0.3), np.zeros(3), np.zeros(3), np.full(3, 0.7)])
    weights = graph_from_weights(network).edges[0].weights
    assert weights.dtype == np.float64  # small graphs are computed with in it
    kernel = convolutions[1].kernel.numpy().astype(np.float64)
    expected = np.abs(kernel).sum(axis=(0, 1)) * 0.3 / np.sqrt(0.7 + norm.epsilon)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert np.array_equal(weights, weights.astype(np.float32))
    monkeypatch.setattr("nn_clustering.graphs._single_precision.MOST_IN_DOUBLE", 17)
    large = graph_from_weights(network).edges
    assert [block.weights.dtype for block in large] == [np.float32] * len(large)
    assert np.array_equal(large[0].weights, weights)


def test_weights_too_large_for_single_precision_stay():
    given = np.array([[1e39, 0.1]])
    (kept,) = in_single_precision({(0, 1): given.copy()}).values()
    assert np.array_equal(kept, given)
