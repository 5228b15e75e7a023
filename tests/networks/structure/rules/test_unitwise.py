"""What keeps channels apart passes them on as they are."""

import keras
import pytest
from keras import layers, ops

from nn_clustering.graphs import graph_from_weights
from tests.networks.sample_networks import dense, pointwise, weigh

OF_UNITS = (
    ops.abs, ops.negative, ops.exp, ops.log, ops.log1p, ops.sqrt, ops.square, ops.sign,
    ops.stop_gradient, ops.relu, ops.relu6, ops.sigmoid, ops.softplus, ops.softsign, ops.silu,
    ops.log_sigmoid, ops.leaky_relu, ops.hard_sigmoid, ops.hard_silu, ops.hard_tanh, ops.elu,
    ops.selu, ops.gelu, ops.celu, ops.tanh, ops.softmax, ops.log_softmax, ops.copy,
    lambda x: ops.clip(x, 0, 1), lambda x: ops.cast(x, "float32"),
    lambda x: ops.squeeze(ops.expand_dims(x, 1), 1), lambda x: x + 1, lambda x: 2 - x,
    lambda x: ops.maximum(x, 0), lambda x: ops.minimum(x, 1),
)  # fmt: skip
OF_MAPS = (
    lambda x: ops.max_pool(x, 2), lambda x: ops.average_pool(x, 2),
    lambda x: ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))),
    lambda x: ops.mean(x, (1, 2), keepdims=True), lambda x: ops.sum(x, (1, 2), keepdims=True),
    lambda x: ops.max(x, (1, 2), keepdims=True), lambda x: ops.min(x, (1, 2), keepdims=True),
    lambda x: ops.amax(x, (1, 2), keepdims=True), lambda x: ops.amin(x, (1, 2), keepdims=True),
    layers.Identity(), layers.Resizing(3, 3), layers.RandomFlip(), layers.RandomZoom(0.1),
    layers.GaussianDropout(0.1), layers.AlphaDropout(0.1), layers.ActivityRegularization(),
    layers.UpSampling2D(), layers.Cropping2D(), layers.GlobalMaxPooling2D(keepdims=True),
    layers.GlobalAveragePooling2D(keepdims=True), layers.ZeroPadding2D(), layers.PReLU(),
)  # fmt: skip


@pytest.mark.parametrize("function", OF_UNITS)
def test_functions_of_each_unit(function):
    inputs = keras.Input((1,))
    made = function(dense([[3, -4]], "first")(inputs))
    graph = graph_from_weights(keras.Model(inputs, dense([[5], [-6]], "last")(made)))
    assert [edges.weights.tolist() for edges in graph.edges] == [[[3, 4]], [[5], [6]]]


@pytest.mark.parametrize("function", OF_MAPS)
def test_functions_of_each_map(function):
    inputs = keras.Input((4, 4, 1))
    made = function(pointwise(2, "first")(inputs))
    network = keras.Model(inputs, pointwise(1, "last")(made))
    weigh(network, "last", [[5], [-6]])
    assert graph_from_weights(network).edges[0].weights.tolist() == [[5], [6]]
