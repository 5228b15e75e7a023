"""Null models of recurrent networks, whose units read one another within their layer."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import graph_from_weights, normalise_units
from nn_clustering.networks.structure import read_weights
from nn_clustering.partitions import local_partition, ncut, spectral_partition
from nn_clustering.significance import shuffled_edges, shuffled_kernels

LAYER = layers.LSTM(8, return_sequences=True, name="first")
NETWORK = keras.Sequential(
    [keras.Input((4, 5)), LAYER, layers.GRU(7, name="second"), layers.Dense(3, name="output")]
)
GRAPH = graph_from_weights(NETWORK)


@pytest.mark.parametrize(
    "method",
    [
        *("layer", "layer_nonzero", "layer_nonzero_distribution", "layer_all_distribution"),
        "layer_strength",
    ],
)
def test_shuffles_of_edges_stay_within_their_layer(method):
    """That they are symmetric, with a zero diagonal, the graph itself sees to."""
    shuffled = shuffled_edges(GRAPH, method).draw(np.random.default_rng(0))
    for block, before in zip(shuffled.edges, GRAPH.edges, strict=True):
        assert (block.source, block.target) == (before.source, before.target)
        assert not np.array_equal(block.weights, before.weights)
        if method in ("layer", "layer_nonzero"):
            np.testing.assert_array_equal(
                np.sort(block.weights, None), np.sort(before.weights, None)
            )
    if method == "layer_strength":
        np.testing.assert_allclose(shuffled.degrees, GRAPH.degrees, rtol=1e-5)


@pytest.mark.parametrize(
    ("method", "reason"),
    [("rewiring", "'first' has edges within the layer"), ("all_edges", "no weights between")],
)
def test_shuffles_that_edges_within_layers_do_not_allow(method, reason):
    with pytest.raises(InvalidInputError, match=reason):
        shuffled_edges(GRAPH, method)


def test_weights_of_both_kernels_are_shuffled_over_gates_and_units():
    weights = read_weights(NETWORK)
    assert [kernel.shape for kernel in weights.kernels] == [
        (4, 5, 8), (4, 8, 8), (3, 8, 7), (3, 7, 7), (7, 3)
    ]  # fmt: skip
    null = shuffled_kernels(weights, "layer", {"gate_norm": "l2"})
    kernels = null.kernels(np.random.default_rng(0))
    for kernel, before in zip(kernels, weights.kernels, strict=True):
        np.testing.assert_array_equal(np.sort(kernel, None), np.sort(before, None))
        if kernel.ndim == 3:  # not gate by gate
            assert not np.array_equal(np.sort(kernel[0], None), np.sort(before[0], None))
    drawn = null.draw(np.random.default_rng(0))
    both = np.linalg.norm(kernels[1].astype(float), axis=0)
    expected = both + both.T
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(drawn.edges[1].weights, expected, rtol=1e-6)


def test_weights_of_isolated_recurrent_units_stay():
    """A unit that nothing reads or leads into, not even its like, keeps its weight to itself."""
    network = keras.models.clone_model(NETWORK)
    cell, reader = network.layers[0].cell, network.layers[1].cell
    for variable, axis in (
        (cell.kernel, 1),
        (cell.recurrent_kernel, 1),
        (cell.recurrent_kernel, 0),
    ):
        values = variable.numpy()
        values[(slice(None),) * axis + (slice(2, None, 8) if axis else 2,)] = 0
        variable.assign(values)
    values = reader.kernel.numpy()
    values[2] = 0
    reader.kernel.assign(values)
    weights = read_weights(network)
    assert graph_from_weights(network).isolated[5:13].tolist() == [i == 2 for i in range(8)]
    kernels = shuffled_kernels(weights, "layer", {}).kernels(np.random.default_rng(0))
    assert not kernels[0][:, :, 2].any()
    assert not kernels[1][:, :, 2].any()
    assert not kernels[1][:, 2].any()
    assert not kernels[2][:, 2].any()


def test_partitions_take_edges_within_layers():
    whole = spectral_partition(GRAPH, 3, seed=0)
    adjacency = GRAPH.adjacency().toarray()
    masks = whole.labels == np.arange(3)[:, None]
    by_hand = sum(adjacency[own][:, ~own].sum() / adjacency[own].sum() for own in masks)
    assert ncut(GRAPH, whole.labels) == pytest.approx(by_hand)
    # every layer by what leads into it, out of it and around in it
    local = local_partition(GRAPH, whole, seed=0)
    assert (local.partition.labels >= 0).all()
    with pytest.raises(InvalidInputError, match="of a recurrent network"):
        normalise_units(GRAPH)
