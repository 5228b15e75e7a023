"""Sums, gates and concatenations, by hand."""

import keras
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import graph_from_weights
from tests.networks.sample_networks import (
    block,
    dense,
    named,
    pointwise,
    weigh,
)


def test_sum_is_one_set_of_units_that_all_before_it_lead_into():
    """The shortcut carries the first layer's weights, not weights of its own."""
    inputs = keras.Input((2,))
    first = dense([[1, -2], [3, 4]], "first")(inputs)
    second = dense([[5, 6], [-7, 8]], "second")(layers.ReLU()(first))
    total = layers.Add(name="sum")([first, second])
    network = keras.Model(inputs, dense([[9], [10]], "last")(total))
    graph = graph_from_weights(network)
    assert named(graph) == [("input", 2), ("first", 2), ("sum", 2), ("last", 1)]
    assert len(graph.edges) == 4
    assert block(graph, "input", "first").tolist() == [[1, 2], [3, 4]]
    assert block(graph, "input", "sum").tolist() == [[1, 2], [3, 4]]
    assert block(graph, "first", "sum").tolist() == [[5, 6], [7, 8]]
    assert block(graph, "sum", "last").tolist() == [[9], [10]]


def test_layer_read_by_a_sum_alone_has_no_set_and_parallel_weights_add_up():
    """|1| + |-2| + |-2|, the last twice because it is added twice."""
    inputs = keras.Input((1,))
    left, right = dense([[1]], "left")(inputs), dense([[-2]], "right")(inputs)
    outputs = layers.Add(name="sum")([left, right, layers.ReLU()(right)])
    graph = graph_from_weights(keras.Model(inputs, outputs))
    assert named(graph) == [("input", 1), ("sum", 1)]
    assert graph.edges[0].weights.tolist() == [[5]]


@pytest.mark.parametrize(
    ("merge", "expected"),
    [
        (layers.Subtract(name="merge"), 7),
        (layers.Multiply(name="merge"), 7),
        (layers.Maximum(name="merge"), 7),
        (layers.Minimum(name="merge"), 7),
        (layers.Average(name="merge"), 3.5),
        (lambda pair: pair[0] + pair[1], 7),
        (lambda pair: pair[0] - pair[1], 7),
        (lambda pair: pair[0] * pair[1], 7),
        (lambda pair: keras.ops.maximum(*pair), 7),
        (lambda pair: 3 * pair[0] + pair[1] / 2 - 1, 3 * 3 + 4 / 2),
    ],
)
def test_merges(merge, expected):
    """Weights 3 and -4; half of both in an average, whose unit is half of their sum."""
    inputs = keras.Input((1,))
    outputs = merge([dense([[3]], "left")(inputs), dense([[-4]], "right")(inputs)])
    graph = graph_from_weights(keras.Model(inputs, outputs))
    assert [layer.n_units for layer in graph.layers] == [1, 1]
    assert graph.edges[0].weights.tolist() == [[expected]]


def gated(gate, merge=layers.Multiply):
    """Channels of which a gate, computed from their means, lets more or less through."""
    inputs = keras.Input((2, 2, 1))
    stem = pointwise(2, "stem")(inputs)
    squeezed = layers.GlobalAveragePooling2D(keepdims=True)(stem)
    outputs = merge(name="gated")([stem, gate(squeezed)])
    return keras.Model(inputs, pointwise(1, "last")(outputs), name="net")


def test_gate_leads_into_the_set_that_it_gates():
    network = gated(lambda x: layers.Activation("sigmoid")(pointwise(2, "gate")(x)))
    weigh(network, "stem", [[1, 2]])
    weigh(network, "gate", [[3, -4], [5, 6]])
    weigh(network, "last", [[7], [8]])
    graph = graph_from_weights(network, inputs=True)
    assert named(graph) == [("input", 1), ("stem", 2), ("gated", 2), ("last", 1)]
    assert block(graph, "input", "stem").tolist() == [[1, 2]]
    assert block(graph, "input", "gated").tolist() == [[1, 2]]
    assert block(graph, "stem", "gated").tolist() == [[3, 4], [5, 6]]
    assert block(graph, "gated", "last").tolist() == [[7], [8]]


@pytest.mark.parametrize(
    ("merge", "share"), [(layers.Multiply, 1), (layers.Add, 1), (layers.Average, 0.5)]
)
def test_one_gate_for_all_channels_leads_into_each(merge, share):
    network = gated(pointwise(1, "gate"), merge)
    weigh(network, "stem", [[1, 2]])
    weigh(network, "gate", [[3], [-5]])
    graph = graph_from_weights(network, inputs=True)
    assert named(graph) == [("input", 1), ("stem", 2), ("gated", 2), ("last", 1)]
    assert block(graph, "input", "gated").tolist() == [[1 * share, 2 * share]]
    assert block(graph, "stem", "gated").tolist() == [[3 * share] * 2, [5 * share] * 2]


def test_tensors_that_are_aligned_by_their_last_axes_refused():
    """The samples of the one would meet the positions of the other."""
    inputs = keras.Input((3, 2), batch_size=3)
    maps = dense([[1, 2], [3, 4]], "first")(inputs)
    total = maps + dense([[1, 2], [3, 4]], "second")(keras.ops.mean(inputs, 1))
    with pytest.raises(InvalidInputError, match=r"is a Add, which joins tensors of the shapes"):
        graph_from_weights(keras.Model(inputs, total))


def test_gate_by_operations_and_dense_layers():
    """The mean over positions, dense layers, positions put back, and a product."""
    inputs = keras.Input((2, 2, 1))
    stem = pointwise(2, "stem")(inputs)
    gate = dense([[3, -4], [5, 6]], "gate", activation="sigmoid")(keras.ops.mean(stem, (1, 2)))
    gated = stem * keras.ops.reshape(gate, (-1, 1, 1, 2))
    network = keras.Model(inputs, pointwise(1, "last")(gated))
    graph = graph_from_weights(network, dense_layers=True)
    stem, product, last = graph.layers
    assert (stem.name, product.n_units, last.name) == ("stem", 2, "last")
    assert block(graph, "stem", product.name).tolist() == [[3, 4], [5, 6]]
    assert len(graph_from_weights(network).edges) == 1  # of the product to the last


def test_concatenation_splits_the_kernel_of_the_layer_that_reads_it():
    inputs = keras.Input((1,))
    left, right = dense([[1]], "left")(inputs), dense([[2, 3]], "right")(inputs)
    both = layers.Concatenate()([left, layers.ReLU()(right)])
    network = keras.Model(inputs, dense([[4, 5], [-6, 7], [8, 9]], "last")(both))
    graph = graph_from_weights(network)
    assert named(graph) == [("input", 1), ("left", 1), ("right", 2), ("last", 2)]
    assert block(graph, "left", "last").tolist() == [[4, 5]]
    assert block(graph, "right", "last").tolist() == [[6, 7], [8, 9]]


def test_concatenation_in_a_sum():
    """Each part leads into its own units of the sum, none of which the other reaches."""
    inputs = keras.Input((1,))
    left, right = dense([[1]], "left")(inputs), dense([[2]], "right")(inputs)
    both = layers.Concatenate()([left, right])
    total = layers.Add(name="sum")([both, dense([[10, 20]], "third")(inputs)])
    graph = graph_from_weights(keras.Model(inputs, total))
    assert named(graph) == [("input", 1), ("sum", 2)]
    assert graph.edges[0].weights.tolist() == [[11, 22]]


def test_concatenation_along_positions_refused():
    inputs = keras.Input((2, 2, 1))
    maps = pointwise(1, "conv")(inputs)
    stacked = layers.Concatenate(axis=1, name="odd")([maps, maps])
    with pytest.raises(
        InvalidInputError, match=r"layer 'odd' of .* is a Concatenate, along axis 1"
    ):
        graph_from_weights(keras.Model(inputs, pointwise(1, "last")(stacked)))
