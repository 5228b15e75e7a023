"""What multiplies units for all that read them, and what for one alone."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.graphs import graph_from_weights
from tests.networks.sample_networks import block, dense, pointwise, set_batch_norm, weigh


def network_with(*readers):
    """A convolution of weights 1 and 2, batch norm by 10 and 1, and what reads it."""
    inputs = keras.Input((4, 4, 1))
    norm = layers.BatchNormalization(epsilon=0, name="norm")
    normal = norm(pointwise(2, "first")(inputs))
    network = keras.Model(inputs, [reader(normal) for reader in readers])
    weigh(network, "first", [[1, 2]])
    set_batch_norm(norm, [10.0, 1.0], [1.0, 1.0])
    return network


def reader(name="reader"):
    return pointwise(1, name, kernel_initializer="ones")


OTHERS = {
    "separable": lambda x: layers.SeparableConv2D(2, 1, name="other")(layers.ReLU()(x)),
    "separable of two": lambda x: layers.SeparableConv2D(2, 1, depth_multiplier=2)(
        layers.ReLU()(x)
    ),
    "depthwise": lambda x: pointwise(2, "other")(layers.DepthwiseConv2D(1)(x)),
    "depthwise of two": lambda x: pointwise(2, "other")(
        layers.DepthwiseConv2D(1, depth_multiplier=2)(x)
    ),
    "norm": lambda x: pointwise(2, "other")(layers.BatchNormalization()(layers.ReLU()(x))),
    "constant": lambda x: pointwise(2, "other")(3 * x),
    "joined": lambda x: pointwise(2, "other")(layers.Concatenate()([x, 2 * x])),
    "flattened": lambda x: layers.Dense(2, name="other")(layers.Flatten()(x)),
}


@pytest.mark.parametrize("other", OTHERS)
def test_reader_with_factors_of_its_own_changes_no_other_edge(other):
    alone = graph_from_weights(network_with(reader()), inputs=True)
    beside = graph_from_weights(
        network_with(reader(), OTHERS[other]), inputs=True, dense_layers=True
    )
    assert block(alone, "input", "first").tolist() == [[10, 2]]
    assert block(beside, "input", "first").tolist() == [[10, 2]]
    assert block(beside, "first", "reader").tolist() == [[1], [1]]


def test_factors_of_one_reader_multiply_its_weights():
    """Depthwise norms 5 and 7 are the separable layer's, batch norm is all's."""
    network = network_with(reader(), layers.SeparableConv2D(1, 1, name="separable"))
    separable = network.get_layer("separable")
    separable.depthwise_kernel.assign(np.reshape([5.0, -7.0], (1, 1, 2, 1)))
    separable.pointwise_kernel.assign(np.reshape([2.0, 3.0], (1, 1, 2, 1)))
    graph = graph_from_weights(network, inputs=True)
    assert block(graph, "first", "separable").tolist() == [[10], [21]]
    assert block(graph, "input", "first").tolist() == [[10, 2]]


def test_factor_of_two_paths_of_three_stays_with_them():
    """All see batch norm; two see it doubled, which the third does not."""
    network = network_with(
        reader(), lambda x: reader("left")(2 * x), lambda x: reader("right")(2 * x)
    )
    graph = graph_from_weights(network, inputs=True)
    assert block(graph, "input", "first").tolist() == [[10, 2]]
    assert block(graph, "first", "left").tolist() == [[2], [2]]
    assert block(graph, "first", "right").tolist() == [[2], [2]]
    assert block(graph, "first", "reader").tolist() == [[1], [1]]


def test_shared_factor_of_0_leaves_the_others_as_they_are():
    """No quotient of products: 0 / 0 would be no number."""
    inputs = keras.Input((1,))
    norm = layers.BatchNormalization(epsilon=0, name="norm")
    normal = norm(dense([[2, 3]], "first")(inputs))
    left, right = dense([[5], [7]], "left")(normal), dense([[11], [13]], "right")(4 * normal)
    network = keras.Model(inputs, [left, right])
    set_batch_norm(norm, [0.0, 1.0], [1.0, 1.0])
    graph = graph_from_weights(network)
    assert block(graph, "input", "first").tolist() == [[0, 3]]
    assert block(graph, "first", "right").tolist() == [[44], [52]]


def test_dense_layers_that_do_not_count_have_no_say():
    """An auxiliary head, which reads before the batch norm, is not in the graph."""
    graphs = []
    for with_head in (False, True):
        inputs = keras.Input((4, 4, 1))
        first = pointwise(2, "first")(inputs)
        norm = layers.BatchNormalization(epsilon=0, name="norm")
        made = [pointwise(1, "reader", kernel_initializer="ones")(norm(first))]
        if with_head:
            made.append(layers.Dense(2, name="head")(layers.Flatten()(first)))
        network = keras.Model(inputs, made)
        weigh(network, "first", [[1, 2]])
        set_batch_norm(norm, [10.0, 1.0], [1.0, 1.0])
        graphs.append(graph_from_weights(network, inputs=True))
    for graph in graphs:
        assert block(graph, "input", "first").tolist() == [[10, 2]]
        assert block(graph, "first", "reader").tolist() == [[1], [1]]


@pytest.mark.parametrize("gamma", [5.0, 7.0])
def test_each_reader_keeps_a_norm_of_its_own_whatever_its_numbers(gamma):
    """As where the norms are fresh, of equal factors that training makes different."""
    norms = [layers.BatchNormalization(epsilon=0, name=name) for name in ("a", "b")]
    network = network_with(
        lambda x: reader("left")(norms[0](x)), lambda x: reader("right")(norms[1](x))
    )
    set_batch_norm(norms[0], [5.0, 5.0], [1.0, 1.0])
    set_batch_norm(norms[1], [gamma, 5.0], [1.0, 1.0])
    graph = graph_from_weights(network, inputs=True)
    assert block(graph, "input", "first").tolist() == [[10, 2]]
    assert block(graph, "first", "left").tolist() == [[5], [5]]
    assert block(graph, "first", "right").tolist() == [[gamma], [5]]


@pytest.mark.parametrize("gamma", [5.0, 7.0])
def test_factors_of_two_places_of_a_concatenation_are_not_the_same(gamma):
    norm = layers.BatchNormalization(epsilon=0, name="of both")
    network = network_with(lambda x: reader("last")(norm(layers.Concatenate()([x, x]))))
    set_batch_norm(norm, [5.0, 5.0, gamma, 5.0], np.ones(4))
    graph = graph_from_weights(network, inputs=True)
    assert block(graph, "input", "first").tolist() == [[10, 2]]
    assert block(graph, "first", "last").tolist() == [[5 + gamma], [10]]


def test_depthwise_kernels_of_two_readers_stay_with_them_though_equal():
    others = [
        lambda x, name=name: reader(name)(
            layers.DepthwiseConv2D(1, depthwise_initializer=keras.initializers.Constant(3))(x)
        )
        for name in ("left", "right")
    ]
    graph = graph_from_weights(network_with(*others), inputs=True)
    assert block(graph, "input", "first").tolist() == [[10, 2]]
    assert block(graph, "first", "right").tolist() == [[3], [3]]


def test_one_factor_for_a_whole_concatenation_is_shared():
    graph = graph_from_weights(
        network_with(lambda x: reader("last")(3 * layers.Concatenate()([x, x]))), inputs=True
    )
    assert block(graph, "input", "first").tolist() == [[30, 6]]
    assert block(graph, "first", "last").tolist() == [[2], [2]]
