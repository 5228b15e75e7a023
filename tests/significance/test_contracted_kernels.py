"""Kernels that join units through a stream which is left out, shuffled."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.graphs import graph_of_weights
from nn_clustering.networks.structure import read_weights
from nn_clustering.partitions import spectral_partition
from nn_clustering.significance import shuffle_test, shuffled_kernels

CONTRACTED = {"residual": "contracted", "inputs": False}


@pytest.fixture(scope="module")
def weights():
    """Two blocks of neurons, one of which is dead, on an embedding; and an output."""
    inputs = keras.Input((5,))
    stream = layers.Dense(4, name="embedding")(inputs)
    for name in "ab":
        neurons = layers.Dense(9, activation="relu", name=f"in_{name}")(stream)
        stream = layers.Add()([stream, layers.Dense(4, name=f"out_{name}")(neurons)])
    network = keras.Model(inputs, layers.Dense(3, name="output")(stream))
    random = np.random.default_rng(0)
    network.set_weights([random.normal(size=array.shape) for array in network.get_weights()])
    out = network.get_layer("out_a")
    kernel = np.array(out.kernel)
    kernel[2] = 0
    out.kernel.assign(kernel)
    return read_weights(network)


def test_weights_move_within_kernels_that_join_units(weights):
    null = shuffled_kernels(weights, "layer", CONTRACTED)
    shuffled = null.kernels(np.random.default_rng(1))
    moved = {
        name: (old != new).mean(axis=1)
        for name, old, new in zip(weights.kernel_layers, weights.kernels, shuffled, strict=True)
    }
    # what reads inputs alone joins no units, for inputs are none; outputs are
    assert not moved["embedding"].any()
    assert not moved["in_a"].any()
    assert moved["in_b"].any()
    assert moved["output"].any()
    # the weights of a unit that nothing joins stay, and are none of those that move
    assert not moved["out_a"][2]
    assert (np.delete(moved["out_a"], 2) > 0).any()
    for old, new in zip(weights.kernels, shuffled, strict=True):
        np.testing.assert_array_equal(np.sort(new, axis=None), np.sort(old, axis=None))


def test_shuffles_are_graphs_of_the_same_units(weights):
    null = shuffled_kernels(weights, "layer", CONTRACTED)
    graph = graph_of_weights(weights, **CONTRACTED)
    drawn = null.draw(np.random.default_rng(1))
    assert drawn.layers == graph.layers
    found = shuffle_test(null, _clustered, 1.0, n_shuffles=3, seed=0)
    assert np.ptp(found.shuffled_ncuts) > 0


def _clustered(graph, *, seed):
    return spectral_partition(graph, 3, seed=seed, n_init=2)
