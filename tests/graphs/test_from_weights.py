"""Graphs of small Keras networks, by hand and beside what the networks compute."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import _edge_blocks, graph_from_weights
from tests.networks.sample_networks import (
    SUBCLASSED_OR_UNBUILT,
    block,
    branching,
    conv,
    dense,
    named,
    pointwise,
    residual,
    sequential,
    set_batch_norm,
    set_kernel,
    shared,
    shared_later,
    two_outputs,
)


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
    assert [(edges.source, edges.target) for edges in graph.edges] == [(0, 1), (1, 2)]
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
    assert [(edges.source, edges.target) for edges in graph.edges] == [(0, 1), (1, 2)]
    for edges, name in zip(graph.edges, ("second", "third"), strict=True):
        kernel = keras.ops.convert_to_numpy(network.get_layer(name).kernel)
        expected = np.sqrt((kernel.astype(float) ** 2).sum(axis=(0, 1)))
        assert edges.weights == pytest.approx(expected, rel=1e-6)


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


def test_normalisation_by_statistics_of_another_axis_refused():
    normal = layers.Normalization(axis=1, mean=np.zeros(2), variance=np.full(2, 4.0), name="norm")
    network = sequential((2, 3, 1), pointwise(2, "first"), normal, pointwise(2, "second"))
    with pytest.raises(InvalidInputError, match=r"'norm' normalises 2 values; .* layer 'first'"):
        graph_from_weights(network)


def weigh(network, name, kernel):
    """Set the kernel of a layer that reads one position: values by (input, unit)."""
    layer = network.get_layer(name)
    set_kernel(layer, np.reshape(kernel, layer.kernel.shape))


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


def gated(gate):
    """Channels of which a gate, computed from their means, lets more or less through."""
    inputs = keras.Input((2, 2, 1))
    stem = pointwise(2, "stem")(inputs)
    squeezed = layers.GlobalAveragePooling2D(keepdims=True)(stem)
    outputs = layers.Multiply(name="gated")([stem, gate(squeezed)])
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


def test_set_that_only_a_gate_left_out_reads_is_left_out():
    """With it, the weights of "stem" would count twice: into the stem and into the product."""
    inputs = keras.Input((4, 4, 1))
    before = pointwise(3, "before")(inputs)
    stem = pointwise(2, "stem")(before)
    gate = layers.Dense(2, "sigmoid", name="gate")(layers.GlobalAveragePooling2D()(stem))
    product = layers.Multiply(name="gated")([stem, layers.Reshape((1, 1, 2))(gate)])
    network = keras.Model(inputs, pointwise(1, "last")(product), name="net")
    weigh(network, "stem", [[1, 2], [3, 4], [5, 6]])
    graph = graph_from_weights(network)
    assert named(graph) == [("before", 3), ("gated", 2), ("last", 1)]
    assert block(graph, "before", "gated").tolist() == [[1, 2], [3, 4], [5, 6]]
    # the gate's weights read the stem's units, which are then units of the graph
    whole = graph_from_weights(network, dense_layers=True)
    assert named(whole) == [("before", 3), ("stem", 2), ("gated", 2), ("last", 1)]


def test_one_gate_for_all_channels_refused():
    with pytest.raises(InvalidInputError, match=r"'gated' of network 'net' is a Multiply, .* 1 ch"):
        graph_from_weights(gated(pointwise(1, "gate")))


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


@pytest.mark.parametrize(
    ("norm", "expected"),
    [("l1", 11), ("max_column_sum", 6), ("frobenius", 31**0.5)],
)
@pytest.mark.parametrize("n_values", [4_000_000, 1])
def test_dense_layer_behind_a_flatten_joins_channels(norm, expected, n_values, monkeypatch):
    """Of unit 0 the weights over positions are, for channel 1, [[1, -2, 0], [3, 4, -1]]."""
    monkeypatch.setattr(_edge_blocks, "VALUES_AT_A_TIME", n_values)
    network = sequential(
        (2, 3, 1), pointwise(2, "conv"), layers.Flatten(), layers.Dense(2, name="dense")
    )
    kernel = np.zeros((2, 3, 2, 2))
    kernel[:, :, 1, 0] = [[1, -2, 0], [3, 4, -1]]
    set_kernel(network.get_layer("dense"), kernel.reshape(12, 2))
    assert named(graph_from_weights(network, dense_layers=True)) == [("conv", 2), ("dense", 2)]
    found = graph_from_weights(network, dense_layers=True, kernel_norm=norm).edges[0].weights
    assert found == pytest.approx(np.array([[0, 0], [expected, 0]]))


def test_normalisation_behind_a_flatten_multiplies_position_by_position():
    """1 * |2| + 10 * |3|, and nothing of it in the weights into the channels."""
    network = sequential(
        (1, 2, 1),
        pointwise(1, "conv"),
        layers.Flatten(),
        layers.BatchNormalization(epsilon=0, name="norm"),
        layers.Dense(1, name="dense"),
    )
    weigh(network, "conv", [[5]])
    set_kernel(network.get_layer("dense"), [[2], [3]])
    set_batch_norm(network.get_layer("norm"), [1.0, -10.0], [1.0, 1.0])
    graph = graph_from_weights(network, dense_layers=True, inputs=True)
    assert [edges.weights.item() for edges in graph.edges] == [5, 32]


def test_norm_over_positions_is_that_of_the_signed_folded_weights():
    """[[1, 1], [1, -1]] has the singular values sqrt(2), unlike its absolute values."""
    network = sequential(
        (2, 2, 1),
        pointwise(1, "conv"),
        layers.Flatten(),
        layers.BatchNormalization(epsilon=0, name="norm"),
        layers.Dense(1, name="dense"),
    )
    set_kernel(network.get_layer("dense"), np.ones((4, 1)))
    set_batch_norm(network.get_layer("norm"), [1.0, 1.0, 1.0, -1.0], np.ones(4))
    graph = graph_from_weights(network, dense_layers=True, kernel_norm="spectral")
    assert graph.edges[0].weights.item() == pytest.approx(2**0.5)


def test_normalisation_of_flattened_maps_in_a_sum():
    """A negative gamma behind a flatten adds to the weights into the sum, and takes nothing off."""
    inputs = keras.Input((1, 2, 1))
    flat = layers.Flatten()(pointwise(1, "conv")(inputs))
    normal = layers.BatchNormalization(epsilon=0, name="norm")(flat)
    network = keras.Model(inputs, layers.Dense(1, name="dense")(layers.Add(name="sum")([normal])))
    weigh(network, "conv", [[5]])
    set_batch_norm(network.get_layer("norm"), [2.0, -3.0], np.ones(2))
    graph = graph_from_weights(network, dense_layers=True, inputs=True)
    assert block(graph, "input", "sum").tolist() == [[10, 15]]


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(2, 1, name="odd"),
        layers.Conv2DTranspose(2, 1, name="odd"),
        layers.SeparableConv2D(2, 1, name="odd"),
        layers.DepthwiseConv2D(1, name="odd"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_convolution_of_flattened_maps_refused(layer):
    network = sequential(
        (2, 2, 1),
        pointwise(3, "conv"),
        layers.Flatten(),
        layers.BatchNormalization(),
        layers.Reshape((1, 1, 12)),
        layer,
        layers.Flatten(),
        layers.Dense(2),
    )
    with pytest.raises(InvalidInputError, match=r"layer 'odd' .* reads flattened maps"):
        graph_from_weights(network)


def test_maps_flattened_twice_refused():
    network = sequential(
        (2, 2, 1),
        pointwise(3, "conv"),
        layers.Flatten(),
        layers.RepeatVector(2),
        layers.Flatten(name="again"),
        layers.Dense(2),
    )
    with pytest.raises(InvalidInputError, match=r"layer 'again' .* flattened already"):
        graph_from_weights(network)


def test_pixels_of_a_flattened_input_are_units_each_and_in_order():
    network = sequential((2, 1, 2), layers.Flatten(), dense([[1], [2], [3], [4]], "dense"))
    graph = graph_from_weights(network)
    assert named(graph) == [("input", 4), ("dense", 1)]
    assert graph.edges[0].weights.tolist() == [[1], [2], [3], [4]]


def test_input_that_becomes_an_image():
    network = sequential((4,), layers.Reshape((2, 2, 1)), pointwise(2, "a"), pointwise(1, "b"))
    assert named(graph_from_weights(network)) == [("a", 2), ("b", 1)]
    assert named(graph_from_weights(network, inputs=True))[0] == ("input", 1)


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


def test_normalisation_that_one_of_two_readers_sees_is_that_readers():
    """The left layer reads the units times 2 and 3, the right one as they are."""
    inputs = keras.Input((1,))
    first = dense([[1, 1]], "first")(inputs)
    norm = layers.BatchNormalization(epsilon=0, name="norm")
    left, right = dense([[5], [7]], "left")(norm(first)), dense([[11], [13]], "right")(first)
    network = keras.Model(inputs, [left, right])
    set_batch_norm(norm, [2.0, -3.0], [1.0, 1.0])
    graph = graph_from_weights(network)
    assert block(graph, "input", "first").tolist() == [[1, 1]]
    assert block(graph, "first", "left").tolist() == [[10], [21]]
    assert block(graph, "first", "right").tolist() == [[11], [13]]


def test_normalisation_on_the_way_into_a_sum():
    """The branch counts times 4 and the shortcut as it is: 4 * 3, and 5."""
    inputs = keras.Input((1,))
    norm = layers.BatchNormalization(epsilon=0, name="norm")
    first = dense([[5]], "first")(inputs)
    total = layers.Add(name="sum")([first, norm(dense([[3]], "second")(first))])
    network = keras.Model(inputs, total)
    set_batch_norm(norm, [4.0], [1.0])
    graph = graph_from_weights(network)
    assert block(graph, "input", "sum").tolist() == [[5]]
    assert block(graph, "first", "sum").tolist() == [[12]]
    assert block(graph_from_weights(network, fold_normalisation=False), "first", "sum") == [[3]]


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.LayerNormalization(), 6),
        (layers.GroupNormalization(1), 6),
        (layers.LayerNormalization(scale=False, center=False), 3),
        (layers.UnitNormalization(), 3),
    ],
)
def test_other_normalisations(layer, expected):
    """gamma, -2 here, times the weight 3; what they divide by is common to all units."""
    network = sequential((2,), dense([[3, 1], [3, 1]], "dense"), layer)
    for variable in layer.weights:
        variable.assign([-2.0, 1.0])
    assert graph_from_weights(network).edges[0].weights.tolist() == [[expected, 1]] * 2


def test_what_scales_all_units_alike_between_layers_counts():
    network = sequential((1,), dense([[3]], "a"), layers.Rescaling(-2.0), dense([[5]], "b"))
    assert [edges.weights.item() for edges in graph_from_weights(network).edges] == [6, 5]


def test_nested_networks_are_opened_and_name_their_layers():
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="a")], name="inner")
    outer = keras.Sequential([keras.Input((3,)), inner, layers.ReLU()], name="outer")
    network = sequential((3,), outer, layers.Dense(1, name="a"))
    assert named(graph_from_weights(network)) == [("input", 3), ("outer/inner/a", 2), ("a", 1)]


def test_layers_that_other_networks_use_too():
    inputs = keras.Input((2,))
    shared_layer = dense([[1, 2], [3, 4]], "shared")
    keras.Model(inputs, shared_layer(shared_layer(inputs)))
    network = sequential((2,), shared_layer, dense([[5], [6]], "last"))
    assert named(graph_from_weights(network)) == [("input", 2), ("shared", 2), ("last", 1)]


def test_several_inputs_and_outputs_have_their_own_names():
    left, right = keras.Input((2,), name="left"), keras.Input((1,), name="right")
    hidden = layers.Dense(2, name="hidden")(layers.Concatenate()([left, right]))
    outputs = [layers.Dense(1, name="one")(hidden), layers.Dense(3, name="other")(hidden)]
    graph = graph_from_weights(keras.Model([left, right], outputs))
    names = [("left", 2), ("right", 1), ("hidden", 2), ("one", 1), ("other", 3)]
    assert named(graph) == names


def cnn():
    return sequential(
        (2, 2, 3),
        pointwise(4, "first"),
        pointwise(5, "second"),
        layers.Flatten(),
        layers.Dense(6, name="dense"),
        layers.Dense(2, name="last"),
    )


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, "first second"),
        ({"inputs": True}, "input first second"),
        ({"dense_layers": True}, "first second dense last"),
        ({"dense_layers": True, "outputs": False}, "first second dense"),
        ({"dense_layers": True, "inputs": True}, "input first second dense last"),
        ({"outputs": False}, "first second"),
    ],
)
def test_what_counts_in_a_network_with_convolutions(options, names):
    assert [name for name, _ in named(graph_from_weights(cnn(), **options))] == names.split()


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"inputs": False}, "a b c"),
        ({"outputs": False}, "input a b"),
        ({"inputs": False, "outputs": False}, "a b"),
    ],
)
def test_what_counts_in_a_network_without_convolutions(options, names):
    network = sequential((4,), *[layers.Dense(3, name=name) for name in "abc"])
    assert [name for name, _ in named(graph_from_weights(network, **options))] == names.split()


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (cnn, {"outputs": True}, "outputs=True for network 'net', but no .* units of 'last'"),
        (
            lambda: sequential((4,), layers.Dense(3), layers.Dense(2)),
            {"dense_layers": False},
            "has no weights between units with inputs=True, outputs=True, dense_layers=False",
        ),
        (
            lambda: sequential((4,), layers.Dense(3)),
            {"outputs": False},
            "has no weights between units with inputs=True, outputs=False",
        ),
    ],
)
def test_choices_that_leave_nothing_refused(build, options, message):
    with pytest.raises(InvalidInputError, match=message):
        graph_from_weights(build(), **options)


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (residual, "input first sum"),
        (branching, "input first left right"),
        (two_outputs, "input left right"),
    ],
)
def test_branched_networks(build, names):
    assert [name for name, _ in named(graph_from_weights(build()))] == names.split()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (shared, "layer 'again' of network 'net' is a Dense, used 2 times"),
        (shared_later, "layer 'again' of network 'net' is a Dense, used 2 times"),
        *SUBCLASSED_OR_UNBUILT,
    ],
)
def test_what_has_no_graph_is_refused(build, message):
    with pytest.raises(InvalidInputError, match=message):
        graph_from_weights(build())


class OwnCode(layers.Dense):
    def call(self, inputs):
        return super().call(inputs)[:, ::-1]


class WithoutWeights(layers.Layer):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(
    ("input_shape", "layer", "reason"),
    [
        ((4, 2), layers.LSTM(3, name="odd"), "LSTM, which is recurrent"),
        ((4, 2), layers.Bidirectional(layers.GRU(3), name="odd"), "Bidirectional, .*recurrent"),
        ((4,), layers.Embedding(3, 2, name="odd"), "Embedding, which looks"),
        ((4,), layers.Lambda(lambda x: x, name="odd"), "Lambda, whose code cannot be read"),
        ((4, 2), layers.Permute((2, 1), name="odd"), "Permute, which moves the channels"),
        ((4, 2), layers.Reshape((2, 4), name="odd"), r"Reshape, which makes \(None, 2, 4\)"),
        ((4, 2), layers.EinsumDense("abc,cd->abd", (4, 3), name="odd"), "EinsumDense, which has w"),
        ((4, 4, 4, 1), layers.Conv3D(2, 1, name="odd"), "Conv3D, whose kernels have three dim"),
        ((4, 4, 2), layers.Conv2D(2, 1, data_format="channels_first", name="odd"), "first axis"),
        ((4,), OwnCode(3, name="odd"), "OwnCode, which has weights"),
        ((4,), WithoutWeights(name="odd"), "WithoutWeights, of which it is not known"),
    ],
    ids=lambda value: "",
)
def test_layers_without_a_place_in_the_graph_refused_by_name(input_shape, layer, reason):
    first = pointwise(2, "conv") if len(input_shape) == 3 else layers.Dense(input_shape[-1])
    with pytest.raises(InvalidInputError, match=rf"layer 'odd' of network 'net' is a .*{reason}"):
        graph_from_weights(sequential(input_shape, first, layer))


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (lambda x: keras.ops.transpose(x, (0, 2, 1)), "Transpose, of which"),
        (lambda x: keras.ops.mean(x, axis=-1, keepdims=True), r"Mean, over the axes \[-1\]"),
        (lambda x: 1 / x, "Divide, which divides by channels"),
        (lambda x: x * np.ones(2, np.float32), "Multiply, whose factor is not known"),
        (lambda x: keras.ops.matmul(x, x), "Matmul, of which"),
    ],
)
def test_operations_without_a_place_in_the_graph_refused(operation, reason):
    inputs = keras.Input((2, 2))
    outputs = operation(layers.Dense(2)(inputs))
    with pytest.raises(InvalidInputError, match=f"of network 'net' is a (True)?{reason}"):
        graph_from_weights(keras.Model(inputs, outputs, name="net"))


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


def test_normalisation_of_the_inputs_does_not_count():
    normalisation = layers.Normalization(mean=[1.0, 2.0], variance=[4.0, 9.0])
    network = sequential((2,), normalisation, layers.BatchNormalization(), dense([[3], [5]], "a"))
    network.layers[1].gamma.assign([7.0, 11.0])
    assert graph_from_weights(network).edges[0].weights.tolist() == [[3], [5]]


def test_quantised_layer_refused():
    network = sequential((4,), layers.Dense(3, name="dense"))
    network.layers[0].quantize("int8")
    with pytest.raises(
        InvalidInputError, match=r"layer 'dense' of .* is a Dense, quantised to int"
    ):
        graph_from_weights(network)


def test_input_of_unknown_width_refused():
    inputs = keras.Input((None,), name="x")
    outputs = keras.ops.sum(inputs, axis=1)
    with pytest.raises(
        InvalidInputError, match=r"input 'x' of network 'net' has the shape \(None,"
    ):
        graph_from_weights(keras.Model(inputs, outputs, name="net"))


def test_residual_network_of_keras():
    """Methods C4's ResNet-50: 16 sums, 32 layers inside the blocks, and the stem."""
    network = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3))
    graph = graph_from_weights(network)
    assert len(graph.layers) == 16 + 2 * 16 + 1
    assert graph.n_units == 64 + 3 * 384 + 4 * 768 + 6 * 1536 + 3 * 3072
    stages = [layer.name.partition("_")[0] for layer in graph.layers]
    assert stages == sorted(stages)
    assert not graph.isolated.any()


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
