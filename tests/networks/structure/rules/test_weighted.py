"""Dense layers and convolutions of every kind, by hand."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import graph_from_weights
from tests.networks.sample_networks import (
    block,
    named,
    pointwise,
    sequential,
    set_kernel,
    weigh,
)


def test_depthwise_kernels_multiply_their_channels():
    """Norms 3 = |1| + |-2| and 5: |6| * 3, |7| * 5; what reads the channels is left alone."""
    network = sequential(
        (2, 2, 1),
        pointwise(2, "first"),
        layers.DepthwiseConv2D((1, 2), padding="same", name="depthwise"),
        pointwise(1, "last"),
    )
    weigh(network, "first", [[6, -7]])
    weigh(network, "last", [[1], [10]])
    kernel = np.reshape([[1, 5], [-2, 0]], (1, 2, 2, 1))
    set_kernel(network.get_layer("depthwise"), kernel)
    graph = graph_from_weights(network, inputs=True)
    assert named(graph) == [("input", 1), ("first", 2), ("last", 1)]
    assert block(graph, "input", "first").tolist() == [[18, 35]]
    assert block(graph, "first", "last").tolist() == [[1], [10]]


def test_depthwise_kernels_with_a_multiplier():
    """Channel c becomes 2 c and 2 c + 1: 1 * 1 + 2 * 10, 3 * 100 + 4 * 1000."""
    network = sequential(
        (2, 2, 1),
        pointwise(2, "first"),
        layers.DepthwiseConv2D(1, depth_multiplier=2, use_bias=False, name="depthwise"),
        pointwise(1, "last", use_bias=False),
    )
    weigh(network, "first", [[1, 1]])
    set_kernel(network.get_layer("depthwise"), np.reshape([[1, 2], [3, 4]], (1, 1, 2, 2)))
    weigh(network, "last", [[1], [10], [100], [1000]])
    graph = graph_from_weights(network, inputs=True)
    assert block(graph, "input", "first").tolist() == [[1, 1]]
    assert block(graph, "first", "last").tolist() == [[21], [4300]]
    # which is what the network computes of either channel, set to 1 at every place
    rest = keras.Sequential([keras.Input((2, 2, 2)), *network.layers[1:]])
    maps = np.ones((2, 2, 2, 2), np.float32) * np.eye(2)[:, None, None, :]
    computed = keras.ops.convert_to_numpy(rest(maps))[:, 0, 0]
    assert computed.tolist() == [[21], [4300]]


def test_separable_convolution():
    """Depthwise norms 2 and 3 times pointwise weights."""
    network = sequential(
        (2, 2, 1), pointwise(2, "first"), layers.SeparableConv2D(2, 1, name="separable")
    )
    separable = network.get_layer("separable")
    separable.depthwise_kernel.assign(np.reshape([2.0, -3.0], (1, 1, 2, 1)))
    separable.pointwise_kernel.assign(np.reshape([[1.0, 2.0], [3.0, 4.0]], (1, 1, 2, 2)))
    weigh(network, "first", [[1, 1]])
    graph = graph_from_weights(network, inputs=True)
    assert named(graph) == [("input", 1), ("first", 2), ("separable", 2)]
    # one layer reads the set, so that the factors are those of the weights into it
    assert block(graph, "input", "first").tolist() == [[2, 3]]
    assert block(graph, "first", "separable").tolist() == [[1, 2], [3, 4]]


def test_grouped_convolution_is_block_diagonal():
    network = sequential((2, 2, 1), pointwise(4, "first"), pointwise(2, "grouped", groups=2))
    weigh(network, "grouped", [[1, 3], [-2, 4]])
    weights = graph_from_weights(network).edges[0].weights
    assert weights.tolist() == [[1, 0], [2, 0], [0, 3], [0, 4]]


def test_convolution_in_one_dimension():
    network = sequential(
        (5, 1), layers.Conv1D(1, 1, name="first"), layers.Conv1D(1, 3, dilation_rate=2, name="last")
    )
    set_kernel(network.get_layer("last"), np.reshape([1, -2, 4], (3, 1, 1)))
    assert graph_from_weights(network).edges[0].weights.tolist() == [[7]]


def test_transposed_convolution():
    network = sequential(
        (2, 2, 1), pointwise(2, "first"), layers.Conv2DTranspose(1, (1, 2), name="up")
    )
    # (height, width, units, inputs)
    set_kernel(network.get_layer("up"), np.reshape([[1, 10], [-2, 20]], (1, 2, 1, 2)))
    assert graph_from_weights(network).edges[0].weights.tolist() == [[3], [30]]


def test_quantised_layer_refused():
    network = sequential((4,), layers.Dense(3, name="dense"))
    network.layers[0].quantize("int8")
    with pytest.raises(
        InvalidInputError, match=r"layer 'dense' of .* is a Dense, quantised to int"
    ):
        graph_from_weights(network)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_refused(value):
    network = sequential((2,), layers.Dense(2, name="good"), layers.Dense(2, name="bad"))
    set_kernel(network.get_layer("bad"), [[1, 2], [value, 3]])
    with pytest.raises(InvalidInputError, match="layer 'bad' of network 'net' holds NaN or inf"):
        graph_from_weights(network)
