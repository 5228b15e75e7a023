"""Graphs of small Keras networks, by hand and beside what the networks compute."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import find_weight_layers, graph_from_weights


def sequential(input_shape, *parts):
    return keras.Sequential([keras.Input(input_shape), *parts], name="net")


def named(graph):
    return [(layer.name, layer.n_units) for layer in graph.layers]


def set_kernel(layer, kernel):
    layer.kernel.assign(np.asarray(kernel, np.float32))


def set_batch_norm(layer, gamma, variance):
    """Gamma and variance; beta and mean are set too, to show that they do not count."""
    if layer.scale:
        layer.gamma.assign(gamma)
    layer.beta.assign(np.full(len(variance), 7.0))
    layer.moving_mean.assign(np.full(len(variance), -3.0))
    layer.moving_variance.assign(variance)


def conv(filters, name, **options):
    return layers.Conv2D(filters, (2, 3), padding="same", name=name, **options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, 11), ({"kernel_norm": "l1"}, 11), ({"kernel_norm": "max_column_sum"}, 6)],
)
def test_kernel_norm(options, expected):
    """Of [[1, -2, 0], [3, 4, -1]]: the sum of all, 11, or the column 2 + 4."""
    network = sequential((4, 4, 1), conv(1, "first"), conv(1, "second"))
    kernel = np.reshape([[1, -2, 0], [3, 4, -1]], (2, 3, 1, 1))
    set_kernel(network.get_layer("second"), kernel)
    assert graph_from_weights(network, **options).edges[0].weights.tolist() == [[expected]]


def test_unknown_kernel_norm_refused():
    with pytest.raises(InvalidInputError, match="kernel_norm='l2'; expected one of l1, frob"):
        graph_from_weights(sequential((4,), layers.Dense(2)), kernel_norm="l2")


def test_dense_network_has_input_and_output_units():
    network = sequential(
        (1, 2, 1),
        layers.Rescaling(1 / 255),
        layers.Flatten(),
        layers.Dense(3, "relu", name="hidden"),
        layers.Dropout(0.5),
        layers.Dense(2, "softmax", name="output"),
    )
    first, second = [[1, -2, 0], [0.5, 0, -4]], [[1, 0], [-8, 2], [0, -0.25]]
    set_kernel(network.get_layer("hidden"), first)
    set_kernel(network.get_layer("output"), second)
    network.get_layer("hidden").bias.assign([9.0, 9.0, 9.0])  # biases do not count
    graph = graph_from_weights(network)
    assert named(graph) == [("input", 2), ("hidden", 3), ("output", 2)]
    assert [(block.source, block.target) for block in graph.edges] == [(0, 1), (1, 2)]
    assert graph.edges[0].weights.tolist() == np.abs(first).tolist()
    assert graph.edges[1].weights.tolist() == np.abs(second).tolist()
    assert graph.edges[0].weights.dtype == np.float64


def test_sizes_of_the_studies_mlp():
    """Methods C1: 1818 units before the isolated ones are removed."""
    hidden = [layers.Dense(256, "relu", name=f"dense_{index}") for index in range(4)]
    network = sequential((28, 28, 1), layers.Flatten(), *hidden, layers.Dense(10, name="output"))
    assert graph_from_weights(network).n_units == 1818


def test_functional_network():
    inputs = keras.Input((4,))
    outputs = layers.Dense(2, name="b")(layers.ReLU()(layers.Dense(3, name="a")(inputs)))
    assert named(graph_from_weights(keras.Model(inputs, outputs))) == [
        ("input", 4),
        ("a", 3),
        ("b", 2),
    ]


def test_convolutional_network_has_edges_between_convolutions_only():
    network = sequential(
        (8, 8, 3),
        conv(4, "first"),
        layers.ReLU(),
        layers.MaxPooling2D(),
        conv(5, "second"),
        layers.ZeroPadding2D(),
        conv(2, "third", strides=2),
        layers.Flatten(),
        layers.Dense(7, name="dense"),
        layers.Dense(3, name="output"),
    )
    graph = graph_from_weights(network, kernel_norm="frobenius")
    assert named(graph) == [("first", 4), ("second", 5), ("third", 2)]
    assert [(block.source, block.target) for block in graph.edges] == [(0, 1), (1, 2)]
    for block, name in zip(graph.edges, ("second", "third"), strict=True):
        kernel = keras.ops.convert_to_numpy(network.get_layer(name).kernel)
        expected = np.sqrt((kernel.astype(float) ** 2).sum(axis=(0, 1)))
        assert block.weights == pytest.approx(expected, rel=1e-6)


def test_batch_norm_by_hand():
    """gamma / sqrt(variance + epsilon): 2 / sqrt(0.24 + 0.01) = 4, |-3| / sqrt(3.99 + 0.01) = 1.5.

    The first convolution's batch norm multiplies the kernels that read the image, so no edge.
    """
    network = sequential(
        (6, 6, 1),
        conv(2, "first"),
        layers.BatchNormalization(epsilon=0.01, name="norm_1"),
        conv(2, "second"),
        layers.ReLU(),
        layers.MaxPooling2D(),
        layers.BatchNormalization(epsilon=0.01, name="norm_2"),
    )
    kernels = np.zeros((2, 3, 2, 2))
    kernels[0, 0] = [[1, -2], [3, 5]]
    set_kernel(network.get_layer("second"), kernels)
    set_batch_norm(network.get_layer("norm_1"), [100.0, 100.0], [1.0, 1.0])
    set_batch_norm(network.get_layer("norm_2"), [2.0, -3.0], [0.24, 3.99])
    folded = graph_from_weights(network).edges[0].weights
    assert folded == pytest.approx(np.array([[1 * 4, 2 * 1.5], [3 * 4, 5 * 1.5]]), rel=1e-5)
    unfolded = graph_from_weights(network, fold_normalisation=False).edges[0].weights
    assert unfolded.tolist() == [[1, 2], [3, 5]]


def test_batch_norms_multiply_and_may_lack_gamma():
    """2 / sqrt(0.25) = 4 times 1 / sqrt(4) = 0.5 for the one unit."""
    network = sequential(
        (1,),
        layers.Dense(1, name="dense"),
        layers.BatchNormalization(epsilon=0.0, name="norm_1"),
        layers.BatchNormalization(epsilon=0.0, scale=False, name="norm_2"),
    )
    set_kernel(network.get_layer("dense"), [[-3]])
    set_batch_norm(network.get_layer("norm_1"), [2.0], [0.25])
    set_batch_norm(network.get_layer("norm_2"), None, [4.0])
    assert graph_from_weights(network).edges[0].weights == pytest.approx(np.array([[6.0]]))


def test_folded_weights_are_what_the_network_computes():
    """Without activations, an input of 1 instead of 0 changes a unit by its folded weight."""
    network = sequential((5,), layers.Dense(4), layers.BatchNormalization(name="norm"))
    random = np.random.default_rng(0)
    set_kernel(network.layers[0], random.normal(size=(5, 4)))
    gamma, variance = random.normal(size=4), random.uniform(0.5, 2, 4)
    set_batch_norm(network.get_layer("norm"), gamma, variance)
    inputs = np.vstack([np.eye(5), np.zeros((1, 5))]).astype(np.float32)
    outputs = keras.ops.convert_to_numpy(network(inputs, training=False))
    expected = np.abs(outputs[:5] - outputs[5])
    assert graph_from_weights(network).edges[0].weights == pytest.approx(expected, abs=1e-5)


def test_batch_norm_after_flattened_filters_does_not_count():
    network = sequential(
        (2, 2, 1),
        conv(2, "first"),
        conv(2, "second"),
        layers.Flatten(),
        layers.BatchNormalization(name="norm"),
        layers.Dense(2),
    )
    set_batch_norm(network.get_layer("norm"), np.full(8, 50.0), np.full(8, 1.0))
    graph = graph_from_weights(network)
    unfolded = graph_from_weights(network, fold_normalisation=False)
    assert np.array_equal(graph.edges[0].weights, unfolded.edges[0].weights)


def test_batch_norm_of_another_axis_refused():
    network = sequential(
        (6, 5, 1), conv(2, "first"), conv(3, "second"), layers.BatchNormalization(1, name="norm")
    )
    with pytest.raises(InvalidInputError, match=r"'norm' normalises 6 values; .* layer 'second'"):
        graph_from_weights(network)


def test_weight_layers():
    network = sequential(
        (4, 4, 1),
        conv(2, "first"),
        layers.ReLU(),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dropout(0.1),
        layers.Dense(3, name="dense"),
        layers.Activation("relu"),
    )
    found = [
        (layer.name, layer.position, layer.last_unitwise, layer.is_convolution, layer.n_units)
        for layer in find_weight_layers(network)
    ]
    assert found == [("first", 0, 2, True, 2), ("dense", 5, 6, False, 3)]


def residual():
    inputs = keras.Input((3,))
    first = layers.Dense(3, name="first")(inputs)
    second = layers.Dense(3, name="second")(first)
    return keras.Model(inputs, layers.Add(name="sum")([first, second]), name="net")


def branching():
    inputs = keras.Input((3,))
    first = layers.Dense(3, name="first")(inputs)
    left, right = layers.Dense(2, name="left")(first), layers.Dense(2, name="right")(first)
    return keras.Model(inputs, layers.Concatenate(name="both")([left, right]), name="net")


def shared():
    inputs, dense = keras.Input((3,)), layers.Dense(3, name="again")
    return keras.Model(inputs, dense(dense(inputs)), name="net")


def shared_later():
    inputs, dense = keras.Input((3,)), layers.Dense(3, name="again")
    return keras.Model(inputs, dense(layers.ReLU(name="between")(dense(inputs))), name="net")


def two_outputs():
    inputs = keras.Input((3,))
    return keras.Model(inputs, [layers.Dense(2)(inputs), layers.Dense(2)(inputs)], name="net")


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="net")
        self.dense = layers.Dense(2)

    def call(self, inputs):
        return self.dense(inputs)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (residual, "layer 'sum' of network 'net' does not read the layer before it alone"),
        (branching, "layer 'right' of network 'net' does not read the layer before it alone"),
        (shared, "'net' does not put out what its last layer 'again' does"),
        (shared_later, "'net' does not put out what its last layer 'between' does"),
        (two_outputs, "network 'net' has 1 inputs and 2 outputs; expected one of each"),
        (lambda: keras.Sequential([layers.Dense(2)], name="net"), "'net' is a Sequential without"),
        (Subclassed, "'net' is a Subclassed without known inputs"),
    ],
)
def test_what_is_no_chain_is_refused(build, message):
    with pytest.raises(InvalidInputError, match=message):
        graph_from_weights(build())


def test_nested_network_refused():
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(3)], name="inner")
    with pytest.raises(InvalidInputError, match="layer 'inner' of network 'net' is a network"):
        graph_from_weights(sequential((3,), inner, layers.Dense(2)))


@pytest.mark.parametrize(
    ("input_shape", "layer", "kind"),
    [
        ((4, 4, 2), layers.DepthwiseConv2D(3, name="odd"), "DepthwiseConv2D"),
        ((4, 4, 2), layers.SeparableConv2D(3, 3, name="odd"), "SeparableConv2D"),
        ((4, 4, 2), layers.Conv2DTranspose(3, 3, name="odd"), "Conv2DTranspose"),
        ((4, 2), layers.Conv1D(3, 3, name="odd"), "Conv1D"),
        ((4, 2), layers.LSTM(3, name="odd"), "LSTM"),
        ((4,), layers.LayerNormalization(name="odd"), "LayerNormalization"),
        ((4,), layers.Reshape((2, 2), name="odd"), "Reshape"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unsupported_layers_refused_by_name(input_shape, layer, kind):
    with pytest.raises(InvalidInputError, match=f"layer 'odd' of network 'net' is a {kind},"):
        graph_from_weights(sequential(input_shape, layer))


def test_rescaling_between_units_refused():
    network = sequential((4,), layers.Dense(3), layers.Rescaling(2.0, name="odd"), layers.Dense(2))
    with pytest.raises(InvalidInputError, match="layer 'odd' of network 'net' is a Rescaling"):
        graph_from_weights(network)


def test_grouped_convolution_refused():
    network = sequential((4, 4, 2), conv(2, "first"), conv(2, "grouped", groups=2))
    with pytest.raises(InvalidInputError, match=r"layer 'grouped' .* is a grouped convolution"):
        graph_from_weights(network)


@pytest.mark.parametrize(
    "parts",
    [
        [layers.Flatten()],
        [layers.Rescaling(1 / 255), layers.ReLU()],
        [conv(3, "alone"), layers.Flatten(), layers.Dense(2), layers.Dense(2)],
    ],
    ids=["flatten", "no weights", "one convolution"],
)
def test_network_without_weights_between_units_refused(parts):
    with pytest.raises(InvalidInputError, match=r"'net' .* has no weights between units"):
        graph_from_weights(sequential((4, 4, 1), *parts))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_refused(value):
    network = sequential((2,), layers.Dense(2, name="good"), layers.Dense(2, name="bad"))
    set_kernel(network.get_layer("bad"), [[1, 2], [value, 3]])
    with pytest.raises(InvalidInputError, match="layer 'bad' of network 'net' holds NaN or inf"):
        graph_from_weights(network)


def test_batch_norm_that_is_no_number_refused():
    network = sequential((2,), layers.Dense(2, name="dense"), layers.BatchNormalization())
    set_batch_norm(network.layers[-1], [1.0, 1.0], [1.0, np.nan])
    with pytest.raises(InvalidInputError, match=r"'input' to 'dense': the weights hold .*NaN"):
        graph_from_weights(network)


def test_layer_that_takes_the_name_of_the_inputs_refused():
    network = sequential((2,), layers.Dense(2, name="input"), layers.Dense(2))
    with pytest.raises(InvalidInputError, match="two layers of units are named 'input'"):
        graph_from_weights(network)
